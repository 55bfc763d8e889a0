//! What can be asked. Whatever is wrong with it ends the program with exit code 2.

use clap::{CommandFactory, Parser, error::ErrorKind};
use equipoise::{EndpointId, EndpointSpec, StrategySpec};

/// Where does each key land? Reads keys, one a line, and prints the endpoint of each.
///
///     seq 5 | cargo run --release --example placement -- maglev --endpoint a:80 --endpoint b:80=2
///     seq 100000 | cargo run --release --example placement -- ring --summary \
///         --endpoint a:80 --endpoint b:80 --endpoint c:80 --down b:80
///
/// A key is the line without its end (LF or CR LF). An empty line is a request without a key. A strategy that does not
/// place by key picks once for each line. Each request is over at once, before the next one is read, and takes no time.
///
/// Answers come as soon as there is nothing more to read, so a program may ask through pipes, a line at a time.
///
/// Exit code: 0 if every line found an endpoint, 1 if one did not (and no more is read) or reading or writing failed,
/// 2 if the options make no sense.
#[derive(Debug, Parser)]
#[command(
    name = "placement",
    verbatim_doc_comment,
    override_usage = "placement STRATEGY --endpoint ID[=WEIGHT]… [OPTIONS] < KEYS\n       placement --list"
)]
pub(crate) struct Args {
    /// How endpoints are chosen: a name from --list, with parameters in brackets, such as "ring(points=40)"
    #[arg(required_unless_present = "list")]
    pub(crate) strategy: Option<StrategySpec>,

    /// An endpoint: HOST:PORT or any name, and its weight; repeat for each
    ///
    /// The weight is what follows the last '=' if that is digits only. So an id that ends so needs one: x=1=1.
    #[arg(long = "endpoint", value_name = "ID[=WEIGHT]", required_unless_present = "list", value_parser = endpoint)]
    pub(crate) endpoints: Vec<EndpointSpec>,

    /// An endpoint among them that takes nothing; repeat for each
    #[arg(long, value_name = "ID")]
    pub(crate) down: Vec<String>,

    /// The zone that an endpoint among them is in, for strategies that look at zones; repeat for each
    #[arg(long = "zone", value_name = "ID=ZONE", value_parser = zone)]
    pub(crate) zones: Vec<(EndpointId, String)>,

    /// Makes chance repeatable; placement by key is anyway
    ///
    /// Seeds of hashing strategies are parameters of theirs, and stay what they are.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Instead of each line's endpoint: their shares, and how many keys move when one leaves or goes down
    ///
    /// What moves is looked up for each endpoint in a pool without it: for all keys if there are at most 1 million of
    /// them and 10 million to look up (keys times endpoints), else for so many drawn at random, but at least 1000.
    /// Pools are built one after another, two tables for each endpoint: of n endpoints, this takes time that grows
    /// with n², some seconds for 1000 of them.
    ///
    /// With bounded-load, shares depend on the load in flight. Here each request is over before the next, so nobody is
    /// ever full, and shares are those of the strategy inside: under load they are evener, and fewer keys are at home.
    #[arg(long)]
    pub(crate) summary: bool,

    /// Name every strategy with its parameters, and do nothing else
    #[arg(long)]
    pub(crate) list: bool,
}

impl Args {
    pub(crate) fn refuse(why: impl std::fmt::Display) -> ! {
        Self::command().error(ErrorKind::ValueValidation, why).exit()
    }
}

fn endpoint(text: &str) -> Result<EndpointSpec, String> {
    match text.rsplit_once('=') {
        Some((id, weight)) if !weight.is_empty() && weight.bytes().all(|byte| byte.is_ascii_digit()) => {
            let weight = weight.parse().map_err(|_| format!("{weight} is too large for a weight"))?;
            Ok(EndpointSpec::new(id).weight(weight))
        }
        _ => Ok(EndpointSpec::new(text)),
    }
}

fn zone(text: &str) -> Result<(EndpointId, String), String> {
    match text.rsplit_once('=') {
        Some((id, zone)) if !id.is_empty() && !zone.is_empty() => Ok((id.into(), zone.to_owned())),
        _ => Err("an endpoint and its zone are written as ID=ZONE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_the_digits_after_the_last_equals_sign() {
        for (text, expected) in [
            ("host:80", EndpointSpec::new("host:80")),
            ("host:80=3", EndpointSpec::new("host:80").weight(3)),
            ("[::1]:80=0", EndpointSpec::new("[::1]:80").weight(0)),
            ("zone=a", EndpointSpec::new("zone=a")),
            ("zone=", EndpointSpec::new("zone=")),
            ("shard=1=2", EndpointSpec::new("shard=1").weight(2)),
            ("a=-1", EndpointSpec::new("a=-1")),
        ] {
            assert_eq!(endpoint(text), Ok(expected), "{text}");
        }
        assert!(endpoint("a=99999999999").is_err());
    }

    #[test]
    fn a_zone_is_what_follows_the_last_equals_sign() {
        assert_eq!(zone("host:80=eu-1a"), Ok(("host:80".into(), "eu-1a".to_owned())));
        assert_eq!(zone("shard=1=eu-1a"), Ok(("shard=1".into(), "eu-1a".to_owned())));
        for nothing in ["", "host:80", "=eu-1a", "host:80="] {
            assert!(zone(nothing).is_err(), "{nothing:?}");
        }
    }
}

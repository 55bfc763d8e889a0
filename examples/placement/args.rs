//! The options. Invalid options end the program with exit code 2.

use clap::{CommandFactory, Parser, error::ErrorKind};
use equipoise::{EndpointId, EndpointSpec, StrategySpec};

/// Prints the endpoint of each key. Reads one key per line.
///
///     seq 5 | cargo run --release --example placement -- maglev --endpoint a:80 --endpoint b:80=2
///     seq 100000 | cargo run --release --example placement -- ring --summary \
///         --endpoint a:80 --endpoint b:80 --endpoint c:80 --down b:80
///
/// A key is the line without its end (LF or CR LF). An empty line is a request without a key. A strategy that does not
/// hash keys picks once for each line. Each request ends before the next line is read, and takes no time.
///
/// Results are flushed as soon as there is no more input, so a program can send and read one line at a time through
/// pipes.
///
/// Exit code: 0 if every line got an endpoint; 1 if one did not (reading then stops), or reading or writing failed; 2
/// if the options are invalid.
#[derive(Debug, Parser)]
#[command(
    name = "placement",
    verbatim_doc_comment,
    override_usage = "placement STRATEGY --endpoint ID[=WEIGHT]… [OPTIONS] < KEYS\n       placement --list"
)]
pub(crate) struct Args {
    /// Strategy: a name from --list, with parameters in brackets, such as "ring(points=40)"
    #[arg(required_unless_present = "list")]
    pub(crate) strategy: Option<StrategySpec>,

    /// An endpoint: HOST:PORT or any name, and its weight; repeat for each
    ///
    /// The weight is the text after the last '=' if it is all digits. An id that ends in this way needs a weight:
    /// x=1=1.
    #[arg(long = "endpoint", value_name = "ID[=WEIGHT]", required_unless_present = "list", value_parser = endpoint)]
    pub(crate) endpoints: Vec<EndpointSpec>,

    /// An endpoint that is down and gets no requests; repeat for each
    #[arg(long, value_name = "ID")]
    pub(crate) down: Vec<String>,

    /// The zone of an endpoint, for strategies that use zones; repeat for each
    #[arg(long = "zone", value_name = "ID=ZONE", value_parser = zone)]
    pub(crate) zones: Vec<(EndpointId, String)>,

    /// Seed of random picks; hashing is repeatable without it
    ///
    /// Seeds of hashing strategies are parameters of the strategy and do not change.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Print shares and moved keys instead of the endpoint of each line
    ///
    /// For each endpoint, the keys are looked up in a pool without it: all keys if there are at most 1 million, and at
    /// most 10 million lookups (keys times endpoints); otherwise a random sample of that size, but at least 1000 keys.
    /// Two tables are built for each endpoint, so the time grows with the square of their number: some seconds for 1000
    /// endpoints.
    ///
    /// With bounded-load, shares depend on the requests in flight. Here each request ends before the next, so no
    /// endpoint is full, and shares are those of the inner strategy. Under load they are more even, and more keys
    /// overflow.
    #[arg(long)]
    pub(crate) summary: bool,

    /// List all strategies with their parameters, and exit
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

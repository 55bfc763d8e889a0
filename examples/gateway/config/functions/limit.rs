//! The table `limit`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::{positive, some_timeout};

/// How many requests pass. `gateway.toml` describes each key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitTable {
    pub(crate) rate: Vec<Spanned<RateTable>>,
    pub(crate) in_flight: Vec<Spanned<InFlightTable>>,
    pub(crate) status: Option<Spanned<u16>>,
    pub(crate) headers: LimitHeaders,
    pub(crate) redis: Option<Spanned<RedisTable>>,
}

/// The server in which several gateways share rate limits.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisTable {
    pub(crate) url: Option<Spanned<String>>,
    /// A file with the URL, which may have a password.
    pub(crate) url_file: Option<Spanned<PathBuf>>,
    /// The root certificates of a server with a `rediss://` URL. Default: the public ones.
    pub(crate) ca_file: Option<Spanned<PathBuf>>,
    pub(crate) prefix: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) timeout: Option<Spanned<Duration>>,
    /// What decides while the server is away.
    #[serde(default)]
    pub(crate) fallback: Fallback,
    /// The number of gateways that share the quotas, each of which admits its part with fallback = "local".
    #[serde(default = "one", deserialize_with = "positive")]
    pub(crate) gateways: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fallback {
    #[default]
    Local,
    Allow,
    Deny,
}

fn one() -> u32 {
    1
}

impl FunctionTable for LimitTable {
    const VALID: &'static str = "a table such as { rate = [{ quota = \"10/s\", by = \"client\" }] }";
}

/// A limit of the rate of requests.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateTable {
    /// Default: what requests are counted by, such as `client`.
    pub(crate) name: Option<String>,
    pub(crate) quota: Rate,
    pub(crate) burst: Option<u32>,
    pub(crate) by: Option<Spanned<KeyTable>>,
    #[serde(default)]
    pub(crate) missing: Missing,
    pub(crate) delay_after: Option<u32>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) max_delay: Option<Spanned<Duration>>,
    pub(crate) max_keys: Option<usize>,
    pub(crate) announce: Option<bool>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// A limit of the requests at the same time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct InFlightTable {
    #[serde(deserialize_with = "positive")]
    pub(crate) max: u32,
    pub(crate) by: Option<Spanned<KeyTable>>,
    #[serde(default)]
    pub(crate) missing: Missing,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) retry_after: Option<Spanned<Duration>>,
}

/// By what requests are counted: one part, or several ones together.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "write one such as \"client\", or a list such as [\"client\", \"route\"]")]
pub(crate) enum KeyTable {
    One(String),
    Several(Vec<String>),
}

impl KeyTable {
    pub(crate) fn parts(&self) -> &[String] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Several(parts) => parts,
        }
    }
}

/// What happens to requests without the key.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Missing {
    /// They are counted together.
    #[default]
    Shared,
    Skip,
    Deny,
}

/// The fields in which responses show limits.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LimitHeaders {
    #[default]
    Standard,
    Legacy,
    Both,
    None,
}

/// A number of requests in a period, such as "10/s", "100/m", or "5/10s".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) units: u32,
    pub(crate) period: Duration,
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = || {
            let (units, period) = text.split_once('/')?;
            let period = match period {
                "s" => Duration::from_secs(1),
                "m" => Duration::from_secs(60),
                "h" => Duration::from_secs(3600),
                "d" => Duration::from_secs(24 * 3600),
                period => equipoise::spec::time::read(period)?,
            };
            Some(Self { units: units.parse().ok()?, period })
        };
        let rate = read().ok_or_else(|| {
            D::Error::custom(format_args!(
                "{text:?} is not a quota: write it as \"10/s\", \"100/m\", \"1000/h\" or \"5/10s\""
            ))
        })?;
        match rate.units {
            0 => Err(D::Error::custom(format_args!("{text:?} would admit nothing: use 1 or more, such as \"1/h\""))),
            _ => Ok(rate),
        }
    }
}

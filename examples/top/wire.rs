//! The JSON of a status page, as far as it is shown. What is missing or unknown is left out, so that other versions of the
//! page can be read.

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Map, Value};

use crate::text::Text;

/// The values of a row by their names. An update has those that have changed.
pub(crate) type Fields = Map<String, Value>;

/// The whole state.
#[derive(Deserialize)]
pub(crate) struct State {
    #[serde(default)]
    pub(crate) uptime: f64,
    #[serde(default)]
    pub(crate) build: Build,
    pub(crate) pools: Vec<Fields>,
    #[serde(default)]
    pub(crate) events: Vec<Fields>,
}

/// What has changed since the last state or update.
#[derive(Deserialize)]
pub(crate) struct Update {
    #[serde(default)]
    pub(crate) uptime: f64,
    /// The number of samples by which histories move on.
    #[serde(default)]
    pub(crate) seconds: usize,
    #[serde(default)]
    pub(crate) pools: Vec<Fields>,
    #[serde(default)]
    pub(crate) events: Vec<Fields>,
}

/// The program that has the page.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Build {
    pub(crate) program: Text,
    pub(crate) version: Text,
}

/// What is shown of a pool.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PoolFields {
    pub(crate) strategy: Text,
    pub(crate) stats: Stats,
    departed: Vec<IgnoredAny>,
}

impl PoolFields {
    /// Returns the number of endpoints that have left recently.
    pub(crate) fn departed(&self) -> usize {
        self.departed.len()
    }
}

/// The counters of a pool.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stats {
    pub(crate) attempts: Counts,
    pub(crate) waiting: u64,
    pub(crate) retries: u64,
    pub(crate) failovers: u64,
}

/// Numbers of requests by outcome.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) in_flight: u64,
    failure_connect: u64,
    failure_transport: u64,
    failure_timeout: u64,
    failure_gateway: u64,
    failure_server: u64,
    overloaded: u64,
    unavailable: u64,
}

impl Counts {
    /// Returns the number of requests that have failed.
    pub(crate) fn failed(&self) -> u64 {
        let Self { failure_connect, failure_transport, failure_timeout, failure_gateway, failure_server, .. } = self;
        [failure_connect, failure_transport, failure_timeout, failure_gateway, failure_server]
            .into_iter()
            .chain([&self.overloaded, &self.unavailable])
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What is shown of an endpoint.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointFields {
    pub(crate) id: Text,
    pub(crate) address: Text,
    pub(crate) tier: u64,
    pub(crate) zone: Option<Text>,
    pub(crate) weight: f64,
    pub(crate) availability: Text,
    pub(crate) in_flight: u64,
    pub(crate) max_in_flight: Option<u64>,
    pub(crate) requests: Counts,
    #[serde(deserialize_with = "or_default")]
    pub(crate) conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) checks: Vec<Check>,
}

/// A reason why an endpoint is not up.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    pub(crate) source: Text,
    pub(crate) reason: Text,
    /// For how many seconds it holds.
    pub(crate) since: f64,
}

/// The state of a health check of an endpoint.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Check {
    pub(crate) name: Text,
    pub(crate) last_error: Option<Text>,
    /// For how many seconds the check has had its result.
    pub(crate) since: f64,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "(f64, f64, f64, Option<f64>, Option<f64>)")]
pub(crate) struct Sample {
    /// Attempts that have ended.
    pub(crate) rate: f64,
    /// Those of them that have failed.
    pub(crate) errors: f64,
    /// Requests in flight at the end of the second.
    pub(crate) in_flight: f64,
    /// The median time to the first byte, in milliseconds.
    pub(crate) p50: Option<f64>,
    /// The 99th percentile of the times to the first byte, in milliseconds.
    pub(crate) p99: Option<f64>,
}

impl From<(f64, f64, f64, Option<f64>, Option<f64>)> for Sample {
    fn from((rate, errors, in_flight, p50, p99): (f64, f64, f64, Option<f64>, Option<f64>)) -> Self {
        Self { rate, errors, in_flight, p50, p99 }
    }
}

/// Reads a value that may be null.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

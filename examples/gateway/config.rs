//! The tables of the configuration file. `gateway.toml` beside this file describes every key.

use std::{collections::BTreeMap, net::SocketAddr, ops::Range, path::PathBuf, time::Duration};

use equipoise::{
    EndpointSpec, InvalidSpec, Tier, UpdateError,
    health::{Outliers, Schedule},
};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) log: Log,
    #[serde(default = "thirty_seconds", deserialize_with = "time")]
    pub(crate) shutdown_timeout: Duration,
    /// A file with the secrets that sign the values of cookies.
    pub(crate) secret_file: Option<Spanned<PathBuf>>,
    pub(crate) listener: Spanned<Vec<Listener>>,
    #[serde(default)]
    pub(crate) pool: BTreeMap<String, Spanned<PoolTable>>,
    pub(crate) admin: Option<Admin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// Whether each request is logged.
    pub(crate) access: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    Line,
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
    /// The pool of requests that no route matches.
    pub(crate) pool: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) route: Vec<Spanned<RouteTable>>,
    pub(crate) trusted_proxies: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(crate) served_by_header: bool,
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// The table `limits` of a listener. `gateway.toml` describes each key.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    #[serde(deserialize_with = "positive")]
    pub(crate) max_connections: usize,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_in_flight: usize,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_header_bytes: u32,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_buffer_bytes: u32,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_concurrent_streams: u32,
    pub(crate) max_reset_streams: u32,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_requests_per_connection: u64,
    #[serde(deserialize_with = "time")]
    pub(crate) head_timeout: Duration,
    #[serde(deserialize_with = "time")]
    pub(crate) keep_alive_timeout: Duration,
    #[serde(deserialize_with = "time")]
    pub(crate) write_timeout: Duration,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTable {
    pub(crate) host: Option<String>,
    pub(crate) path_prefix: Option<String>,
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) header: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) cookie: BTreeMap<String, String>,
    pub(crate) pool: Spanned<String>,
    pub(crate) weight: Option<u32>,
}

#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolTable {
    pub(crate) strategy: Option<Spanned<String>>,
    pub(crate) slow_start: Option<Spanned<String>>,
    pub(crate) hash_on: Option<Spanned<String>>,
    pub(crate) endpoints: Spanned<Vec<Spanned<EndpointTable>>>,
    pub(crate) health: Option<Spanned<HealthTable>>,
    pub(crate) outlier: Option<Outliers>,
    pub(crate) affinity: Option<Spanned<AffinityTable>>,
}

impl PoolTable {
    /// Returns the place of what an update of the pool's endpoints has refused.
    pub(crate) fn span_of(&self, error: &UpdateError) -> Range<usize> {
        let field = match error {
            UpdateError::Invalid(InvalidSpec::Id { id } | InvalidSpec::DuplicateId { id }) => {
                self.endpoint(id.as_str()).map(|endpoint| endpoint.id().span())
            }
            UpdateError::Invalid(InvalidSpec::Limit { id }) => {
                self.endpoint(id.as_str()).and_then(|endpoint| Some(endpoint.max_in_flight.as_ref()?.span()))
            }
            UpdateError::Invalid(InvalidSpec::Weight { id, .. }) => {
                self.endpoint(id.as_str()).and_then(|endpoint| Some(endpoint.weight.as_ref()?.span()))
            }
            _ => None,
        };
        field.unwrap_or_else(|| self.endpoints.span())
    }

    /// Returns the last endpoint with this id.
    fn endpoint(&self, id: &str) -> Option<&EndpointTable> {
        let mut endpoints = self.endpoints.get_ref().iter().map(Spanned::get_ref);
        endpoints.rfind(|endpoint| endpoint.id().get_ref() == id)
    }
}

#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "an endpoint such as { address = \"10.0.0.1:80\" }")]
pub(crate) struct EndpointTable {
    /// Default: the address.
    pub(crate) id: Option<Spanned<String>>,
    pub(crate) address: Spanned<String>,
    pub(crate) weight: Option<Spanned<u32>>,
    #[serde(default)]
    pub(crate) backup: bool,
    pub(crate) max_in_flight: Option<Spanned<u32>>,
    pub(crate) zone: Option<String>,
}

impl EndpointTable {
    fn id(&self) -> &Spanned<String> {
        self.id.as_ref().unwrap_or(&self.address)
    }

    pub(crate) fn spec(&self) -> EndpointSpec {
        let spec = EndpointSpec::new(self.address.get_ref()).with_id(self.id().get_ref().as_str());
        let spec = spec.weight(self.weight.as_ref().map_or(1, |weight| *weight.get_ref()));
        let spec = spec.zone(self.zone.as_deref().unwrap_or_default());
        let spec = if self.backup { spec.tier(Tier::BACKUP) } else { spec };
        if let Some(max) = &self.max_in_flight { spec.max_in_flight(*max.get_ref()) } else { spec }
    }
}

#[derive(Clone, Deserialize, PartialEq)]
pub(crate) struct HealthTable {
    pub(crate) check: Check,
    /// The path of the requests of the check `http`.
    pub(crate) path: Option<String>,
    /// All other keys: `interval`, `timeout`, `rise`, `fall` and others. Unknown ones are refused.
    #[serde(flatten)]
    pub(crate) schedule: Schedule,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    Http,
    Tcp,
}

/// An affinity by its text, or as a table with the same parameters.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(
    untagged,
    expecting = "an affinity is a text such as \"source(by=table)\" or a table such as \
                 { kind = \"cookie\", name = \"SRV\" }"
)]
pub(crate) enum AffinityTable {
    Text(String),
    Table(BTreeMap<String, toml::Value>),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_in_flight: 768,
            max_header_bytes: 16 * 1024,
            max_buffer_bytes: 16 * 1024,
            max_concurrent_streams: 100,
            max_reset_streams: 200,
            max_requests_per_connection: u64::MAX,
            head_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Line, access: true }
    }
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<SocketAddr>, D::Error> {
    let text = Spanned::<String>::deserialize(deserializer)?;
    match text.get_ref().parse() {
        Ok(address) => Ok(Spanned::new(text.span(), address)),
        Err(_) => Err(de::Error::custom(format_args!(
            "{:?} is not an address to listen on: write it as \"127.0.0.1:8080\" or \"[::]:8080\"",
            text.get_ref()
        ))),
    }
}

fn positive<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + PartialEq,
{
    match T::deserialize(deserializer)? {
        zero if zero == T::default() => Err(de::Error::custom("0 would admit nothing: use 1 or more")),
        number => Ok(number),
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let invalid =
        || de::Error::custom(format_args!("{text:?} is not a duration: write a number and a unit, such as \"30s\""));
    equipoise::spec::time::read(&text).ok_or_else(invalid)
}

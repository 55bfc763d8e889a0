//! The tables of the configuration file. `gateway.toml` beside this file describes every key.

use std::{collections::BTreeMap, net::SocketAddr, ops::Range, path::PathBuf, time::Duration};

use equipoise::{
    EndpointSpec, InvalidSpec, Tier, UpdateError,
    health::{Outliers, Schedule},
};
use serde::Deserialize;
use toml::Spanned;

use crate::values::{address, buffer_bytes, header_bytes, positive, some_timeout, spanned_timeout, time, timeout};

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
    /// The fields in which the trusted proxies report what they know of the client.
    pub(crate) written_by_proxies: Option<Spanned<Vec<Field>>>,
    #[serde(default)]
    pub(crate) served_by_header: bool,
    #[serde(default)]
    pub(crate) errors: Errors,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) timeouts: ProxyTimeouts,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Field {
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    Forwarded,
}

/// The responses of the gateway to requests that fail.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Errors {
    pub(crate) format: Format,
    /// Texts by status.
    pub(crate) text: BTreeMap<String, Spanned<String>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    #[default]
    Negotiated,
    Text,
    Json,
}

/// The table `limits` of a listener. `gateway.toml` describes each key.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    #[serde(deserialize_with = "positive")]
    pub(crate) max_connections: usize,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_in_flight: usize,
    #[serde(deserialize_with = "header_bytes")]
    pub(crate) max_header_bytes: u32,
    #[serde(deserialize_with = "buffer_bytes")]
    pub(crate) max_buffer_bytes: u32,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_concurrent_streams: u32,
    pub(crate) max_reset_streams: u32,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_requests_per_connection: u64,
    #[serde(deserialize_with = "timeout")]
    pub(crate) head_timeout: Duration,
    #[serde(deserialize_with = "timeout")]
    pub(crate) keep_alive_timeout: Duration,
    #[serde(deserialize_with = "timeout")]
    pub(crate) write_timeout: Duration,
    pub(crate) max_body_bytes: Option<u64>,
}

/// The table `timeouts` of a listener.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProxyTimeouts {
    #[serde(deserialize_with = "spanned_timeout")]
    pub(crate) head: Spanned<Duration>,
    #[serde(deserialize_with = "timeout")]
    pub(crate) idle: Duration,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) total: Option<Spanned<Duration>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTable {
    pub(crate) host: Option<Spanned<String>>,
    pub(crate) path_prefix: Option<Spanned<String>>,
    pub(crate) method: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(crate) cookie: BTreeMap<String, Spanned<String>>,
    pub(crate) pool: Spanned<String>,
    pub(crate) weight: Option<Spanned<u32>>,
}

#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolTable {
    pub(crate) strategy: Option<Spanned<String>>,
    pub(crate) slow_start: Option<Spanned<String>>,
    pub(crate) hash_on: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) protocol: Protocol,
    #[serde(default)]
    pub(crate) timeouts: PoolTimeouts,
    pub(crate) tls: Option<Spanned<TlsTable>>,
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

/// The table `timeouts` of a pool.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PoolTimeouts {
    #[serde(deserialize_with = "timeout")]
    pub(crate) connect: Duration,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) attempt: Option<Spanned<Duration>>,
}

impl PoolTimeouts {
    /// Half of the default time of a listener for the head of a response. A second attempt then has as much time as the
    /// first one, and requests that wait for news, often for 25 s, are not repeated.
    const ATTEMPT: Duration = Duration::from_secs(30);

    pub(crate) fn attempt(&self) -> Duration {
        self.attempt.as_ref().map_or(Self::ATTEMPT, |attempt| *attempt.get_ref())
    }
}

/// The version of HTTP towards the endpoints.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    #[default]
    Auto,
    Http1,
    Http2,
}

/// TLS towards the endpoints.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "a table such as { ca_file = \"ca.pem\" }")]
pub(crate) struct TlsTable {
    pub(crate) ca_file: Option<Spanned<PathBuf>>,
    pub(crate) server_name: Option<Spanned<String>>,
    pub(crate) certificate_file: Option<Spanned<PathBuf>>,
    pub(crate) key_file: Option<Spanned<PathBuf>>,
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
            max_body_bytes: None,
        }
    }
}

impl Default for ProxyTimeouts {
    fn default() -> Self {
        Self { head: Spanned::new(0..0, Duration::from_secs(60)), idle: Duration::from_secs(60), total: None }
    }
}

impl Default for PoolTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), attempt: None }
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

//! The tables of the configuration file. `gateway.toml` beside this file describes every key.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use equipoise::{
    EndpointSpec, Tier,
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
    /// A file with the secret that signs the values of cookies.
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
    /// Returns whether a running pool with these settings can get those of `new`. Its strategy and its checks cannot
    /// change.
    pub(crate) fn can_become(&self, new: &Self) -> bool {
        let fixed =
            |table: &Self| (table.strategy.clone(), table.slow_start.clone(), table.health.clone(), table.outlier);
        fixed(self) == fixed(new)
    }
}

#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "an endpoint such as { address = \"10.0.0.1:80\" }")]
pub(crate) struct EndpointTable {
    /// Default: the address.
    pub(crate) id: Option<String>,
    pub(crate) address: String,
    #[serde(default = "one")]
    pub(crate) weight: u32,
    #[serde(default)]
    pub(crate) backup: bool,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) zone: Option<String>,
}

impl EndpointTable {
    pub(crate) fn spec(&self) -> EndpointSpec {
        let spec = EndpointSpec::new(&self.address).weight(self.weight).zone(self.zone.as_deref().unwrap_or_default());
        let spec = if self.backup { spec.tier(Tier::BACKUP) } else { spec };
        let spec = if let Some(max) = self.max_in_flight { spec.max_in_flight(max) } else { spec };
        if let Some(id) = &self.id { spec.with_id(id.as_str()) } else { spec }
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
    expecting = "an affinity is a text such as \"source(by=table)\" or a table such as { kind = \"cookie\", name = \"SRV\" }"
)]
pub(crate) enum AffinityTable {
    Text(String),
    Table(BTreeMap<String, toml::Value>),
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Line, access: true }
    }
}

fn one() -> u32 {
    1
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

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let invalid =
        || de::Error::custom(format_args!("{text:?} is not a duration: write a number and a unit, such as \"30s\""));
    equipoise::spec::time::read(&text).ok_or_else(invalid)
}

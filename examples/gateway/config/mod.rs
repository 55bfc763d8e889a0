//! The tables of the configuration file. `gateway.toml` describes every key.

mod admin;
mod forward;
mod functions;
mod http;
mod layer4;
mod listener;
mod pool;
mod tls;
mod values;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

pub(crate) use self::{
    admin::AdminTable,
    forward::{Action, ForwardLimitsTable, ForwardListener, Port, Quota, Resolves, RuleTable},
    functions::{
        AllowedDuringMaintenance, ApiKeyTable, AuthTable, BasicTable, CacheKeyTable, CacheStoreTable, CacheTable,
        CertificateAuthTable, CertificateNameKind, CompressionTable, CorsTable, DecisionCacheTable, EachPath,
        EncodingName, ExternalTable, Fallback, FilterRule, FilterTable, HeadersTable, InFlightTable, JwksTable,
        JwtTable, KeyTable, LimitHeaders, LimitTable, LocalTable, MaintenanceTable, Matching, MechanismKind, Missing,
        Names, PartTable, PathsAction, PathsTable, Placed, QueryKey, QueryTable, Rate, RateTable, RedirectTable,
        RedirectTables, RedisStoreTable, RedisTable, ReplaceTable, RequireTable, RuleAction, SecurityTable,
        SetCookieTable, Setting, StatusName, Tables, TrailingSlash, WordOrOff,
    },
    http::{CertificateField, Errors, Field, Format, HttpListener, Incoming, Limits, ProxyTimeouts, RouteTable},
    layer4::{ConnectionLimits, SniListener, SniRoute, TcpListener, UdpListener},
    listener::{Listener, Mode},
    pool::{AffinityTable, Check, Outgoing, PoolTable, Protocol, TlsTable},
    tls::{CertificateTable, ClientAuthKind, ListenerTls, MinVersion},
};
use self::{listener::ModeOnly, values::time};
use crate::source::{ConfigError, Source};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) log: Log,
    #[serde(default = "thirty_seconds", deserialize_with = "time")]
    pub(crate) shutdown_timeout: Duration,
    /// A file with the secrets that sign the values of cookies.
    pub(crate) secret_file: Option<Spanned<PathBuf>>,
    /// The modes of the listeners, which decide what other keys they have.
    listener: Spanned<Vec<ModeOnly>>,
    /// The listeners, in the order of the file.
    #[serde(skip)]
    pub(crate) listeners: Vec<Listener>,
    #[serde(default)]
    pub(crate) pool: BTreeMap<String, Spanned<PoolTable>>,
    /// The stores of caches.
    #[serde(default)]
    pub(crate) cache: BTreeMap<String, Spanned<CacheStoreTable>>,
    pub(crate) admin: Option<AdminTable>,
}

impl Config {
    /// Reads a configuration.
    pub(crate) fn read(source: &Source) -> Result<Self, ConfigError> {
        let mut config: Self = source.parse()?;
        if config.listener.get_ref().is_empty() {
            let message = "the gateway has no listener: add [[listener]] with the keys bind and pool";
            return Err(source.error(config.listener.span(), message));
        }
        config.listeners = Listener::read_all(config.listener.get_ref(), source)?;
        Ok(config)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    /// Whether each request, connection, session and tunnel is logged.
    pub(crate) access: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    Line,
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Line, access: true }
    }
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

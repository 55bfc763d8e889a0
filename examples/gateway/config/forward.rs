//! The tables of a listener with mode "forward".

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};
use toml::Spanned;

use super::{
    http::Incoming,
    tls::ListenerTls,
    values::{address, positive, some_positive, some_timeout, timeout},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardListener {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
    #[serde(rename = "mode")]
    _mode: Option<IgnoredAny>,
    /// The first rule that matches decides. Without a rule, everything is denied.
    #[serde(default)]
    pub(crate) rule: Vec<Spanned<RuleTable>>,
    /// A file with the users who may use the proxy.
    pub(crate) users_file: Option<Spanned<PathBuf>>,
    pub(crate) realm: Option<Spanned<String>>,
    /// The pool of proxies that everything is sent through.
    pub(crate) pool: Option<Spanned<String>>,
    /// A file with the name and the password that these proxies ask for.
    pub(crate) credentials_file: Option<Spanned<PathBuf>>,
    /// Where names are resolved, if there is a pool.
    pub(crate) resolve_names: Option<Spanned<Resolves>>,
    pub(crate) tls: Option<Spanned<ListenerTls>>,
    pub(crate) proxy_protocol: Option<Spanned<Incoming>>,
    pub(crate) trusted_proxies: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(crate) limits: ForwardLimitsTable,
    #[serde(default)]
    pub(crate) timeouts: ForwardTimeouts,
}

/// A rule about destinations. Each condition is a list, of which one element must match.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleTable {
    pub(crate) action: Action,
    /// Clients whose destination is denied are told the name.
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) host: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) port: Vec<Port>,
    #[serde(default)]
    pub(crate) network: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) user: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    Allow,
    Deny,
}

/// A port, or ports such as "8000-8010".
#[derive(Clone)]
pub(crate) struct Port(pub(crate) RangeInclusive<u16>);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "write a port such as 443, or ports such as \"8000-8010\"")]
        enum OneOrRange {
            One(u16),
            Range(String),
        }

        let range = |text: &str| {
            let (first, last) = text.split_once('-')?;
            Some(first.parse().ok()?..=last.parse().ok()?).filter(|range| !range.is_empty())
        };
        match OneOrRange::deserialize(deserializer)? {
            OneOrRange::One(port) => Ok(Self(port..=port)),
            OneOrRange::Range(text) => range(&text).map(Self).ok_or_else(|| {
                D::Error::custom(format_args!("{text:?} is not a range of ports: write it as \"8000-8010\""))
            }),
        }
    }
}

/// Where names are resolved.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Resolves {
    /// Here, so that rules about networks hold.
    Here,
    /// By the proxies of the pool.
    Upstream,
}

/// The table `limits` of a listener with mode "forward".
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ForwardLimitsTable {
    #[serde(deserialize_with = "positive")]
    pub(crate) max_connections: usize,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_tunnels: usize,
    #[serde(deserialize_with = "positive")]
    pub(crate) max_tunnels_per_client: usize,
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_tunnel_bytes: Option<u64>,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) max_tunnel_time: Option<Spanned<Duration>>,
    pub(crate) max_bytes_per_client: Option<Quota>,
}

/// How many bytes a client may transfer in a period.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { bytes = 1000000000, period = \"24h\" }")]
pub(crate) struct Quota {
    #[serde(deserialize_with = "positive")]
    pub(crate) bytes: u64,
    #[serde(deserialize_with = "timeout")]
    pub(crate) period: Duration,
}

/// The table `timeouts` of a listener with mode "forward".
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ForwardTimeouts {
    /// Until a connection to a destination is open.
    #[serde(deserialize_with = "timeout")]
    pub(crate) connect: Duration,
    /// Until the head of the response to a request of HTTP.
    #[serde(deserialize_with = "timeout")]
    pub(crate) head: Duration,
    /// Without a byte of a tunnel or body.
    #[serde(deserialize_with = "timeout")]
    pub(crate) idle: Duration,
}

impl Default for ForwardLimitsTable {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_tunnels: 1024,
            max_tunnels_per_client: 256,
            max_tunnel_bytes: None,
            max_tunnel_time: None,
            max_bytes_per_client: None,
        }
    }
}

impl Default for ForwardTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), head: Duration::from_secs(60), idle: Duration::from_secs(600) }
    }
}

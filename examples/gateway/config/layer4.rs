//! The tables of listeners with the modes "tcp", "sni" and "udp".

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, de::IgnoredAny};
use toml::Spanned;

use super::{
    http::Incoming,
    tls::ListenerTls,
    values::{OrOff, address, positive, some_positive, timeout, timeout_or_off},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TcpListener {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
    #[serde(rename = "mode")]
    _mode: Option<IgnoredAny>,
    pub(crate) pool: Spanned<String>,
    pub(crate) tls: Option<Spanned<ListenerTls>>,
    pub(crate) proxy_protocol: Option<Spanned<Incoming>>,
    pub(crate) trusted_proxies: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(crate) limits: ConnectionLimits,
    #[serde(default)]
    pub(crate) timeouts: TcpTimeouts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SniListener {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
    #[serde(rename = "mode")]
    _mode: Option<IgnoredAny>,
    /// The pool of connections with TLS that no route matches.
    pub(crate) pool: Option<Spanned<String>>,
    /// The pool of connections without TLS.
    pub(crate) not_tls_pool: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) route: Vec<Spanned<SniRoute>>,
    pub(crate) proxy_protocol: Option<Spanned<Incoming>>,
    pub(crate) trusted_proxies: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(crate) limits: ConnectionLimits,
    #[serde(default)]
    pub(crate) timeouts: SniTimeouts,
}

/// A route of a listener with mode "sni". It has a host or a protocol, or both.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SniRoute {
    pub(crate) host: Option<Spanned<String>>,
    pub(crate) alpn: Option<Spanned<String>>,
    pub(crate) pool: Spanned<String>,
}

/// The table `limits` of a listener with mode "tcp" or "sni".
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectionLimits {
    #[serde(deserialize_with = "positive")]
    pub(crate) max_connections: usize,
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_connections_per_source: Option<usize>,
}

/// The table `timeouts` of a listener with mode "tcp".
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TcpTimeouts {
    #[serde(deserialize_with = "timeout")]
    pub(crate) idle: Duration,
    #[serde(deserialize_with = "timeout")]
    pub(crate) queue: Duration,
}

/// The table `timeouts` of a listener with mode "sni".
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SniTimeouts {
    /// The time until the ClientHello is complete.
    #[serde(deserialize_with = "timeout")]
    pub(crate) hello: Duration,
    #[serde(deserialize_with = "timeout")]
    pub(crate) idle: Duration,
    #[serde(deserialize_with = "timeout")]
    pub(crate) queue: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UdpListener {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
    #[serde(rename = "mode")]
    _mode: Option<IgnoredAny>,
    pub(crate) pool: Spanned<String>,
    #[serde(default)]
    pub(crate) limits: UdpLimitsTable,
    #[serde(default)]
    pub(crate) timeouts: UdpTimeouts,
}

/// The table `limits` of a listener with mode "udp".
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UdpLimitsTable {
    #[serde(deserialize_with = "positive")]
    pub(crate) max_sessions: usize,
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_sessions_per_source: Option<usize>,
    /// The number of replies to a datagram.
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_replies: Option<u64>,
}

/// The table `timeouts` of a listener with mode "udp".
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UdpTimeouts {
    #[serde(deserialize_with = "timeout")]
    pub(crate) idle: Duration,
    /// "off" for services that do not reply.
    #[serde(deserialize_with = "timeout_or_off")]
    pub(crate) reply: OrOff,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { max_connections: 16_384, max_connections_per_source: None }
    }
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self { idle: Duration::from_secs(600), queue: Duration::from_secs(5) }
    }
}

impl Default for SniTimeouts {
    fn default() -> Self {
        let TcpTimeouts { idle, queue } = TcpTimeouts::default();
        Self { hello: Duration::from_secs(5), idle, queue }
    }
}

impl Default for UdpLimitsTable {
    fn default() -> Self {
        Self { max_sessions: 16_384, max_sessions_per_source: None, max_replies: None }
    }
}

impl Default for UdpTimeouts {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), reply: OrOff(Some(Duration::from_secs(15))) }
    }
}

//! The tables of a listener with mode "http".

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, de::IgnoredAny};
use toml::Spanned;

use super::{
    functions::{
        AuthTable, CacheTable, CompressionTable, CorsTable, CsrfTable, DecompressionTable, FilterTable, HeadersTable,
        LimitTable, MaintenanceTable, PathsTable, RedirectTables, RequestBodyTable, RequestIdTable, ResponseBodyTable,
        SecurityTable, Setting,
    },
    tls::ListenerTls,
    values::{address, buffer_bytes, header_bytes, positive, some_timeout, spanned_timeout, timeout},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpListener {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
    #[serde(rename = "mode")]
    _mode: Option<IgnoredAny>,
    /// The pool of requests that no route matches.
    pub(crate) pool: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) route: Vec<Spanned<RouteTable>>,
    pub(crate) tls: Option<Spanned<ListenerTls>>,
    /// The fields in which endpoints get the certificate of a client.
    pub(crate) client_certificate_fields: Option<Spanned<Vec<CertificateField>>>,
    pub(crate) proxy_protocol: Option<Spanned<Incoming>>,
    pub(crate) trusted_proxies: Option<Spanned<Vec<String>>>,
    /// The fields in which the trusted proxies report what they know of the client.
    pub(crate) written_by_proxies: Option<Spanned<Vec<Field>>>,
    #[serde(default)]
    pub(crate) served_by_header: bool,
    #[serde(default)]
    pub(crate) interim_responses: bool,
    #[serde(default)]
    pub(crate) errors: Errors,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) timeouts: ProxyTimeouts,
    /// What happens to paths that servers read differently, before a route is looked for.
    pub(crate) paths: Option<Spanned<PathsTable>>,
    /// How requests get ids, before a route is looked for.
    pub(crate) request_id: Option<Spanned<Setting<RequestIdTable>>>,
    // The functions of all routes without a table of the same name.
    pub(crate) auth: Option<Spanned<Setting<AuthTable>>>,
    pub(crate) cache: Option<Spanned<Setting<CacheTable>>>,
    pub(crate) compression: Option<Spanned<Setting<CompressionTable>>>,
    pub(crate) cors: Option<Spanned<Setting<CorsTable>>>,
    pub(crate) csrf: Option<Spanned<Setting<CsrfTable>>>,
    pub(crate) decompression: Option<Spanned<Setting<DecompressionTable>>>,
    pub(crate) filter: Option<Spanned<Setting<FilterTable>>>,
    pub(crate) limit: Option<Spanned<Setting<LimitTable>>>,
    pub(crate) maintenance: Option<Spanned<Setting<MaintenanceTable>>>,
    pub(crate) redirect: Option<Spanned<Setting<RedirectTables>>>,
    pub(crate) request_body: Option<Spanned<Setting<RequestBodyTable>>>,
    pub(crate) request_headers: Option<Spanned<Setting<HeadersTable>>>,
    pub(crate) response_body: Option<Spanned<Setting<ResponseBodyTable>>>,
    pub(crate) response_headers: Option<Spanned<Setting<HeadersTable>>>,
    pub(crate) security_headers: Option<Spanned<Setting<SecurityTable>>>,
}

/// Whether connections begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Incoming {
    Off,
    Accept,
}

/// A field in which endpoints get the certificate of a client.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateField {
    ClientCert,
    ClientCertChain,
    XForwardedClientCert,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Field {
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    Forwarded,
    ClientCert,
    XForwardedClientCert,
}

/// The responses of the gateway to requests that fail.
#[derive(Clone, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Errors {
    pub(crate) format: Format,
    /// Texts by status.
    pub(crate) text: BTreeMap<String, Spanned<String>>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
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
    // The functions of this route.
    pub(crate) auth: Option<Spanned<Setting<AuthTable>>>,
    pub(crate) cache: Option<Spanned<Setting<CacheTable>>>,
    pub(crate) compression: Option<Spanned<Setting<CompressionTable>>>,
    pub(crate) cors: Option<Spanned<Setting<CorsTable>>>,
    pub(crate) csrf: Option<Spanned<Setting<CsrfTable>>>,
    pub(crate) decompression: Option<Spanned<Setting<DecompressionTable>>>,
    pub(crate) filter: Option<Spanned<Setting<FilterTable>>>,
    pub(crate) limit: Option<Spanned<Setting<LimitTable>>>,
    pub(crate) maintenance: Option<Spanned<Setting<MaintenanceTable>>>,
    pub(crate) redirect: Option<Spanned<Setting<RedirectTables>>>,
    pub(crate) request_body: Option<Spanned<Setting<RequestBodyTable>>>,
    pub(crate) request_headers: Option<Spanned<Setting<HeadersTable>>>,
    pub(crate) response_body: Option<Spanned<Setting<ResponseBodyTable>>>,
    pub(crate) response_headers: Option<Spanned<Setting<HeadersTable>>>,
    pub(crate) security_headers: Option<Spanned<Setting<SecurityTable>>>,
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

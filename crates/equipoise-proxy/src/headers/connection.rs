use std::{net::SocketAddr, sync::Arc};

use http::{Extensions, HeaderValue};

/// A request extension about the connection on which the request came. The server that accepts the connection adds it
/// to each request, together with [`PeerAddr`](equipoise_affinity::source::PeerAddr).
///
/// ```
/// use equipoise_proxy::headers::ConnectionInfo;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(ConnectionInfo::new().local("192.0.2.1:443".parse()?).tls(true));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    local: Option<SocketAddr>,
    tls: bool,
    server_name: Option<Arc<str>>,
}

impl ConnectionInfo {
    /// Creates the extension for a connection without TLS whose local address is not known.
    #[must_use]
    pub const fn new() -> Self {
        Self { local: None, tls: false, server_name: None }
    }

    /// Sets the local address of the connection. Default: not known.
    #[must_use]
    pub const fn local(mut self, address: SocketAddr) -> Self {
        self.local = Some(address);
        self
    }

    /// Sets whether the connection uses TLS. Default: false.
    #[must_use]
    pub const fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the name of the server that the client has named in its TLS handshake (SNI), in lower case. Default: none.
    #[must_use]
    pub fn sni(mut self, name: impl Into<Arc<str>>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Returns the local address of the connection.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Returns the name of the server that the client has named in its TLS handshake (SNI).
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns whether the connection uses TLS.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}

/// A request extension: the scheme that the client used, if a trusted proxy reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportedScheme {
    Http,
    Https,
}

impl ReportedScheme {
    /// Parses the value of `X-Forwarded-Proto`.
    pub(super) fn parse(value: &HeaderValue) -> Option<Self> {
        match value.as_bytes().trim_ascii() {
            scheme if scheme.eq_ignore_ascii_case(b"https") => Some(Self::Https),
            scheme if scheme.eq_ignore_ascii_case(b"http") => Some(Self::Http),
            _ => None,
        }
    }
}

/// Returns the scheme that the client used: the one that a trusted proxy reported, or else that of the connection.
pub(crate) fn client_scheme(extensions: &Extensions) -> &'static str {
    let is_tls = match extensions.get::<ReportedScheme>() {
        Some(reported) => *reported == ReportedScheme::Https,
        None => extensions.get::<ConnectionInfo>().is_some_and(ConnectionInfo::is_tls),
    };
    if is_tls { "https" } else { "http" }
}

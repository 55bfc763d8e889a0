use std::net::SocketAddr;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    local: Option<SocketAddr>,
    tls: bool,
}

impl ConnectionInfo {
    /// Creates the extension for a connection without TLS whose local address is not known.
    #[must_use]
    pub const fn new() -> Self {
        Self { local: None, tls: false }
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

    /// Returns the local address of the connection.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Returns whether the connection uses TLS.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}

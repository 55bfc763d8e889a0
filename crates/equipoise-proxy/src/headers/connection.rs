use std::{net::SocketAddr, sync::Arc};

#[cfg(feature = "proxy-protocol")]
use equipoise_http::proxy_protocol::ProxyHeader;
use http::{Extensions, HeaderValue};

#[cfg(feature = "proxy-protocol")]
use crate::check::server_name;
#[cfg(feature = "sni")]
use crate::sni::ClientHello;
#[cfg(feature = "tls")]
use crate::tls::TlsSession;

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
    accepted: Option<SocketAddr>,
    tls: bool,
    server_name: Option<Arc<str>>,
    #[cfg(feature = "proxy-protocol")]
    proxied: Option<Arc<Proxied>>,
    #[cfg(feature = "proxy-protocol")]
    unique_id: Option<Arc<[u8]>>,
    #[cfg(feature = "sni")]
    client_hello: Option<Arc<ClientHello>>,
    #[cfg(feature = "tls")]
    session: Option<Arc<TlsSession>>,
}

/// What a proxy in front has told with the PROXY protocol.
#[cfg(feature = "proxy-protocol")]
#[derive(Debug, PartialEq, Eq)]
struct Proxied {
    header: ProxyHeader,
    proxy: Option<SocketAddr>,
    /// In lower case.
    server_name: Option<Box<str>>,
}

impl ConnectionInfo {
    /// Creates the extension for a connection without TLS whose local address is not known.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            local: None,
            accepted: None,
            tls: false,
            server_name: None,
            #[cfg(feature = "proxy-protocol")]
            proxied: None,
            #[cfg(feature = "proxy-protocol")]
            unique_id: None,
            #[cfg(feature = "sni")]
            client_hello: None,
            #[cfg(feature = "tls")]
            session: None,
        }
    }

    /// Sets the local address of the connection. Default: not known.
    #[must_use]
    pub const fn local(mut self, address: SocketAddr) -> Self {
        self.local = Some(address);
        self
    }

    /// Sets the address at which the connection was accepted, if it is not the [local address](Self::local) for clients.
    /// Default: the local address.
    #[must_use]
    pub const fn accepted_at(mut self, address: SocketAddr) -> Self {
        self.accepted = Some(address);
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

    /// Sets the header of the PROXY protocol with which the connection began, and the address of the proxy that sent it.
    /// Default: none.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    #[must_use]
    pub fn proxied(mut self, header: ProxyHeader, proxy: Option<SocketAddr>) -> Self {
        let server_name = header.authority().and_then(|name| server_name(name.as_bytes())).flatten();
        self.proxied = Some(Arc::new(Proxied { header, proxy, server_name }));
        self
    }

    /// Sets an identifier of the connection, which endpoints get in the header of the PROXY protocol. At most 128 bytes are
    /// sent; a longer one is left out. Default: that of the header that was received.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    #[must_use]
    pub fn with_unique_id(mut self, id: &[u8]) -> Self {
        self.unique_id = Some(id.into());
        self
    }

    /// Sets the ClientHello with which the client began TLS, if it was read and passed on. Default: none.
    #[cfg(feature = "sni")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sni")))]
    #[must_use]
    pub fn hello(mut self, hello: ClientHello) -> Self {
        self.client_hello = Some(Arc::new(hello));
        self
    }

    /// Sets what the TLS handshake of the connection has agreed on. Then the connection uses TLS. Default: not known.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn session(mut self, session: impl Into<Arc<TlsSession>>) -> Self {
        self.session = Some(session.into());
        self.tls(true)
    }

    /// Returns the local address of the connection: with the PROXY protocol, the address to which the client connected.
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Returns the address of this machine at which the connection was accepted. With the PROXY protocol, it is not the
    /// address to which the client connected, which is that of the proxy in front.
    pub const fn accepted_addr(&self) -> Option<SocketAddr> {
        #[cfg(feature = "proxy-protocol")]
        if self.accepted.is_none() && self.proxied.is_some() {
            return None;
        }
        match self.accepted {
            Some(accepted) => Some(accepted),
            None => self.local,
        }
    }

    /// Returns whether the connection uses TLS.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the header of the PROXY protocol with which the connection began. `None` if there was none.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    pub fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.proxied.as_ref().map(|proxied| &proxied.header)
    }

    /// Returns the address of the proxy that sent the header of the PROXY protocol. `None` if there was none, or the proxy
    /// has no IP address.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    pub fn proxy_addr(&self) -> Option<SocketAddr> {
        self.proxied.as_ref().and_then(|proxied| proxied.proxy)
    }

    /// Returns the identifier of the connection: the one that was [set](Self::with_unique_id), or else that of the header
    /// of the PROXY protocol.
    #[cfg(feature = "proxy-protocol")]
    #[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.unique_id.as_deref().or_else(|| self.proxy_header()?.unique_id())
    }

    /// Returns whether the connection is one of a client about whose address its proxy has told nothing. The address of the
    /// peer is then not that of the sender of requests.
    #[cfg(any(feature = "proxy-protocol", feature = "server"))]
    pub(crate) fn hides_client(&self) -> bool {
        #[cfg(feature = "proxy-protocol")]
        return self.proxy_header().is_some_and(|header| header.source().is_none() && !header.is_local());
        #[cfg(not(feature = "proxy-protocol"))]
        false
    }

    /// Returns the ClientHello with which the client began TLS, if it was read and passed on.
    #[cfg(feature = "sni")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sni")))]
    pub fn client_hello(&self) -> Option<&ClientHello> {
        self.client_hello.as_deref()
    }

    /// Returns the name of the server that the client asked for, in lower case: in the TLS handshake (SNI), or as the proxy
    /// in front has told with the PROXY protocol. `None` if it is not known.
    pub fn server_name(&self) -> Option<&str> {
        let name = self.own_server_name();
        #[cfg(feature = "proxy-protocol")]
        let name = name.or_else(|| self.proxied.as_ref()?.server_name.as_deref());
        name
    }

    /// Returns the name of the server that the client asked for in the TLS handshake, if this process has read it.
    pub(crate) fn own_server_name(&self) -> Option<&str> {
        let name = self.server_name.as_deref();
        #[cfg(feature = "tls")]
        let name = name.or_else(|| self.tls_session()?.server_name());
        #[cfg(feature = "sni")]
        let name = name.or_else(|| self.client_hello()?.server_name());
        name
    }

    /// Returns whether requests for this host, without port, belong on another connection, because another certificate
    /// is that of the host. `None` is a text that is no host.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server of this crate checks it"))]
    pub(crate) fn is_misdirected(&self, host: Option<&str>) -> bool {
        #[cfg(feature = "tls")]
        return self.session.as_ref().is_some_and(|session| session.is_misdirected(host));
        #[cfg(not(feature = "tls"))]
        {
            let _ = host;
            false
        }
    }

    /// Returns what the TLS handshake of the connection has agreed on. `None` without TLS, or if it is not known.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_session(&self) -> Option<&TlsSession> {
        self.session.as_deref()
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

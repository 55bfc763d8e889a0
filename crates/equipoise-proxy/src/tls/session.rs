use std::{fmt, sync::Arc};

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};

use super::{client_certificate::ClientCertificate, sites::Served, version::TlsVersion};

/// What a TLS handshake has agreed on. Requests get it in the extension
/// [`ConnectionInfo`](crate::headers::ConnectionInfo).
///
/// The methods that set something are for listeners with another TLS library. [`Tls`](super::Tls) sets everything.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsSession {
    version: Option<TlsVersion>,
    cipher_suite: Option<&'static str>,
    alpn: Option<Box<[u8]>>,
    server_name: Option<Box<str>>,
    client_certificate: Option<Arc<ClientCertificate>>,
    resumed: bool,
    /// What the connection may ask for. `None` if it may ask for everything.
    served: Option<Served>,
}

impl TlsSession {
    /// Creates a session of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the version of TLS.
    #[must_use]
    pub fn with_version(mut self, version: TlsVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the name of the cipher suite.
    #[must_use]
    pub fn with_cipher_suite(mut self, name: &'static str) -> Self {
        self.cipher_suite = Some(name);
        self
    }

    /// Sets the protocol that was agreed on by ALPN.
    #[must_use]
    pub fn with_alpn(mut self, protocol: &[u8]) -> Self {
        self.alpn = Some(protocol.into());
        self
    }

    /// Sets the name of the server that the client asked for (SNI).
    #[must_use]
    pub fn with_server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets the certificate of the client.
    #[must_use]
    pub fn with_client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(Arc::new(certificate));
        self
    }

    /// Sets whether an earlier session was resumed.
    #[must_use]
    pub fn with_resumed(mut self, resumed: bool) -> Self {
        self.resumed = resumed;
        self
    }

    /// Returns what a handshake has agreed on.
    pub(super) fn of(connection: &ServerConnection) -> Self {
        let chain = connection.peer_certificates().map(<[_]>::to_vec);
        Self {
            version: connection.protocol_version().and_then(|version| match version {
                ProtocolVersion::TLSv1_2 => Some(TlsVersion::Tls12),
                ProtocolVersion::TLSv1_3 => Some(TlsVersion::Tls13),
                _ => None,
            }),
            cipher_suite: connection.negotiated_cipher_suite().and_then(|suite| match suite.suite() {
                // rustls has other names for those of TLS 1.3.
                CipherSuite::TLS13_AES_128_GCM_SHA256 => Some("TLS_AES_128_GCM_SHA256"),
                CipherSuite::TLS13_AES_256_GCM_SHA384 => Some("TLS_AES_256_GCM_SHA384"),
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some("TLS_CHACHA20_POLY1305_SHA256"),
                suite => suite.as_str(),
            }),
            alpn: connection.alpn_protocol().map(Into::into),
            server_name: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
            client_certificate: chain.and_then(ClientCertificate::of).map(Arc::new),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            served: None,
        }
    }

    pub(super) fn with_served(mut self, served: Served) -> Self {
        self.served = Some(served);
        self
    }

    /// Returns the version of TLS.
    pub fn version(&self) -> Option<TlsVersion> {
        self.version
    }

    /// Returns the name of the cipher suite, as IANA has registered it, such as `TLS_AES_128_GCM_SHA256`.
    pub fn cipher_suite(&self) -> Option<&'static str> {
        self.cipher_suite
    }

    /// Returns the protocol that was agreed on by ALPN, such as `h2`. `None` if the client offered none.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Returns the name of the server that the client asked for (SNI), in lower case. `None` if it named none, as clients
    /// do that connect to an IP address.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns the certificate of the client. `None` if it has sent none, or none was asked for.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_deref()
    }

    /// Returns whether the client has resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Returns whether requests for this host belong on another connection: see
    /// [`TlsSettings::check_authority`](super::TlsSettings::check_authority). `host` has no port. `None` is a text that is
    /// no host, of which a service could make any.
    pub(crate) fn is_misdirected(&self, host: Option<&str>) -> bool {
        let Some(served) = &self.served else { return false };
        let Some(host) = host else { return served.is_one_of_several() };
        // Nearly all requests are for the host of the handshake.
        if self.server_name().is_some_and(|name| name.eq_ignore_ascii_case(host)) {
            return false;
        }
        served.is_misdirected(host, self.server_name.is_some())
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("version", &self.version)
            .field("cipher_suite", &self.cipher_suite)
            .field("alpn", &self.alpn.as_deref().map(String::from_utf8_lossy))
            .field("server_name", &self.server_name)
            .field("client_certificate", &self.client_certificate.as_ref().map(|client| client.subject()))
            .field("resumed", &self.resumed)
            .finish()
    }
}

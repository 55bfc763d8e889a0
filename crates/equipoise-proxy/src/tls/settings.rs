use std::{fmt, sync::Arc, time::Duration};

use rustls::{ServerConfig, SupportedProtocolVersion, crypto::CryptoProvider};

use super::{certificate::Certificate, client_auth::ClientAuth, tickets::TicketSecret, version::TlsVersion};

/// The maximum lifetime of a ticket (RFC 8446, section 4.6.1).
const MAX_TICKET_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The settings of TLS for a server. Each method names its default.
///
/// ```no_run
/// use std::time::Duration;
/// use equipoise_proxy::tls::{Certificate, ClientAuth, TlsSettings};
///
/// let app = Certificate::from_files("app.pem", "app.key")?.ocsp_file("app.ocsp")?;
/// let partners = Certificate::from_files("partners.pem", "partners.key")?
///     .client_auth(ClientAuth::from_file("partners-ca.pem")?);
/// let settings = TlsSettings::new(app).certificate(partners).handshake_timeout(Duration::from_secs(5));
/// # drop(settings);
/// # Ok::<(), equipoise_proxy::tls::InvalidTls>(())
/// ```
///
/// The versions are TLS 1.2 and 1.3, with the cipher suites and groups of the crypto provider. All suites of rustls have
/// forward secrecy and authenticated encryption. AES-128-GCM is preferred, because its handshakes are the fastest, except
/// for clients that prefer ChaCha20, as those without instructions for AES do. There is no renegotiation, no compression, and no early data (0-RTT),
/// which can be replayed.
#[derive(Clone)]
pub struct TlsSettings {
    pub(super) source: Source,
    pub(super) client_auth: Option<ClientAuth>,
    pub(super) strict_sni: bool,
    pub(super) check_authority: bool,
    pub(super) alpn: Vec<Vec<u8>>,
    min_version: TlsVersion,
    pub(super) resumption: bool,
    pub(super) ticket_lifetime: Duration,
    pub(super) ticket_secrets: Vec<TicketSecret>,
    provider: Option<Arc<CryptoProvider>>,
    pub(super) handshake_timeout: Duration,
    pub(super) max_handshakes: usize,
}

#[derive(Clone)]
pub(super) enum Source {
    Certificates(Vec<Certificate>),
    Complete {
        config: Arc<ServerConfig>,
        /// A setting that has no effect on the configuration.
        unused: Option<&'static str>,
    },
}

impl TlsSettings {
    /// Creates settings with one certificate. It is chosen for its names, and is the default for all other names, and
    /// for clients that name no server.
    #[must_use]
    pub fn new(certificate: Certificate) -> Self {
        Self::of(Source::Certificates(vec![certificate]))
    }

    /// Creates settings with a complete configuration of rustls, for example with keys in hardware or certificates from
    /// an ACME client. Of the other settings, [`handshake_timeout`](Self::handshake_timeout) and
    /// [`max_handshakes`](Self::max_handshakes) can be used. [`TlsAcceptor::certificates`](super::TlsAcceptor) is empty,
    /// and no request gets status 421.
    ///
    /// If it asks for client certificates, turn its resumption off (`send_tls13_tickets`, `session_storage` and
    /// `ticketer`), as this crate does for its own configurations: rustls does not verify the certificate of a resumed
    /// session again, so it is accepted after it has expired.
    ///
    /// Set `alpn_protocols`: without them, clients do not use HTTP/2.
    #[must_use]
    pub fn with_config(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self::of(Source::Complete { config: config.into(), unused: None })
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            client_auth: None,
            strict_sni: false,
            check_authority: true,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            min_version: TlsVersion::Tls12,
            resumption: true,
            ticket_lifetime: Duration::from_secs(6 * 60 * 60),
            ticket_secrets: Vec::new(),
            provider: None,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 4096,
        }
    }

    /// Adds a certificate, which is chosen for its names. If several certificates have a name, a client gets the first
    /// one with a kind of key that it supports: for example, first one with an ECDSA key, and then one with an RSA key. An
    /// exact name comes before a wildcard.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        match &mut self.source {
            Source::Certificates(certificates) => certificates.push(certificate),
            Source::Complete { unused, .. } => *unused = Some("certificate"),
        }
        self
    }

    /// Sets which certificates are asked of clients (mutual TLS), for all names whose certificate has no
    /// [setting of its own](Certificate::client_auth). Default: none are asked for.
    #[must_use]
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = Some(client_auth);
        self.changed("client_auth")
    }

    /// Sets whether handshakes are refused (alert `unrecognized_name`) that name a server for which there is no
    /// certificate, or no server. With false, they get the first certificate. Default: false.
    #[must_use]
    pub fn strict_sni(mut self, strict: bool) -> Self {
        self.strict_sni = strict;
        self.changed("strict_sni")
    }

    /// Sets whether requests get status 421 (Misdirected Request) if their host has another certificate than the server
    /// that the client has named in the handshake. Default: true.
    ///
    /// HTTP/2 clients send requests for several hosts on one connection if its certificate is valid for all of them
    /// (RFC 9113, section 9.1.1). After a 421, they open another connection. Requests of clients that have named no server
    /// are served. Apache refuses such requests too.
    ///
    /// Even with false, a request gets status 421 if other certificates are asked of clients of its host, because those
    /// were not verified on this connection. Apache and nginx do the same. If the names of the server differ in this, so
    /// does a host for which handshakes are refused, as with [`strict_sni`](Self::strict_sni).
    #[must_use]
    pub fn check_authority(mut self, check: bool) -> Self {
        self.check_authority = check;
        self.changed("check_authority")
    }

    /// Sets the application protocols (ALPN), the preferred one first. A client that offers only others is refused. A
    /// client that offers none is accepted. Default: `h2` and `http/1.1`. For protocols other than HTTP, see
    /// [`without_alpn`](Self::without_alpn).
    #[must_use]
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self.changed("alpn")
    }

    /// Selects no protocol by ALPN, and accepts all clients. Use it for protocols other than HTTP, unless they demand
    /// a protocol of their own, as PostgreSQL does: see [`alpn`](Self::alpn). In front of a `TcpProxy`, a client could
    /// otherwise select HTTP/2 although the endpoint does not speak it.
    #[must_use]
    pub fn without_alpn(self) -> Self {
        self.alpn(std::iter::empty::<Vec<u8>>())
    }

    /// Sets the minimum version of TLS. Default: [`TlsVersion::Tls12`].
    #[must_use]
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self.changed("min_version")
    }

    /// Sets whether clients can resume a session without a full handshake, which takes much less time. Sessions are kept
    /// by the client, in tickets that only the server can decrypt. Names for which [certificates of clients](ClientAuth) are
    /// asked have no resumption, because a certificate may expire before its session. Default: true.
    #[must_use]
    pub fn resumption(mut self, resumption: bool) -> Self {
        self.resumption = resumption;
        self.changed("resumption")
    }

    /// Sets for how long a ticket can be used, from 1 s to 7 days: at least this time, and at most twice this time. It is
    /// also the time after which tickets are encrypted with another key. A resumed session gets new tickets, so a client that
    /// comes back in time can go on with its session. Default: 6 h.
    #[must_use]
    pub fn ticket_lifetime(mut self, lifetime: Duration) -> Self {
        self.ticket_lifetime = lifetime.clamp(Duration::from_secs(1), MAX_TICKET_LIFETIME);
        self.changed("ticket_lifetime")
    }

    /// Sets secrets from which the keys of tickets are derived, so that all balancers with these secrets and the same
    /// [lifetime](Self::ticket_lifetime) accept each other's tickets. Their clocks may differ by the lifetime. Tickets are
    /// encrypted with the first secret, and accepted with all of them. Default: none, so keys are random, change after each
    /// lifetime, and end with the process.
    ///
    /// To replace a secret, add the new one as the second at all balancers, then make it the first at all, and remove the
    /// old one after two lifetimes.
    #[must_use]
    pub fn ticket_secrets(mut self, secrets: impl IntoIterator<Item = TicketSecret>) -> Self {
        self.ticket_secrets = secrets.into_iter().collect();
        self.changed("ticket_secrets")
    }

    /// Sets the cryptography: the cipher suites, groups and signatures. To use AES-256 only, give a provider that has no
    /// other suites. Default: that of the crate `ring`. Session tickets are encrypted with `ring` in any case: with
    /// ChaCha20-Poly1305 and keys of HKDF-SHA256. So are the fingerprints of certificates (SHA-256) computed. If only a
    /// validated module may be used, turn off [`resumption`](Self::resumption).
    ///
    /// That of `aws-lc-rs` has faster handshakes, and the group X25519MLKEM768, which protects connections that are recorded
    /// today from the quantum computers of later. It needs a C compiler. Turn on the feature `aws_lc_rs` of rustls in your
    /// `Cargo.toml`, and give `rustls::crypto::aws_lc_rs::default_provider()`.
    #[must_use]
    pub fn crypto_provider(mut self, provider: impl Into<Arc<CryptoProvider>>) -> Self {
        self.provider = Some(provider.into());
        self.changed("crypto_provider")
    }

    /// Sets the maximum time for a handshake, with the time in which it waits for
    /// [`max_handshakes`](Self::max_handshakes). Then the connection is closed. The time before does not count, in which the
    /// connection waits for the server's limit of connections or for a header of the PROXY protocol. Default: 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets the maximum number of handshakes at a time, at least 1. Further ones wait, within their
    /// [timeout](Self::handshake_timeout). While one waits, the handshake that has taken longest is given up, if it has
    /// taken more than a second: so clients that connect and send nothing do not keep out others. Default: 4096.
    ///
    /// A handshake of which nothing has come holds some 7 KB. It holds up to 64 KB more if the client sends long messages.
    #[must_use]
    pub fn max_handshakes(mut self, max: usize) -> Self {
        self.max_handshakes = max.max(1);
        self
    }

    /// Notes a setting that is part of a complete configuration.
    fn changed(mut self, setting: &'static str) -> Self {
        if let Source::Complete { unused, .. } = &mut self.source {
            *unused = Some(setting);
        }
        self
    }

    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        match self.min_version {
            TlsVersion::Tls12 => &BOTH,
            TlsVersion::Tls13 => &BOTH[..1],
        }
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone().unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TlsSettings");
        match &self.source {
            Source::Certificates(certificates) => debug.field("certificates", certificates),
            Source::Complete { .. } => debug.field("config", &format_args!("..")),
        };
        debug
            .field("client_auth", &self.client_auth)
            .field("strict_sni", &self.strict_sni)
            .field("min_version", &self.min_version)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("max_handshakes", &self.max_handshakes)
            .finish_non_exhaustive()
    }
}

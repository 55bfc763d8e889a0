use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{InvalidProbe, Probe, ProbeError, ProbeFuture, ProbeOutcome, Target, connect::connect};

/// A probe that passes if a TLS handshake with the endpoint succeeds. [`HttpProbe`](super::HttpProbe) and
/// [`GrpcProbe`](super::GrpcProbe) also take their TLS settings as a `TlsProbe`.
///
/// ```
/// use equipoise_health::probe::TlsProbe;
///
/// let by_its_address = TlsProbe::new();
/// let by_name = TlsProbe::new().server_name("db.example.com")?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// TLS sessions are never resumed, so that every probe verifies the certificate. In TLS 1.3, a server rejects the
/// *client's* certificate only after the handshake. This probe does not notice such a rejection; an HTTP or gRPC
/// probe does.
#[derive(Clone)]
pub struct TlsProbe {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// The TLS configuration of [`TlsProbe::new`].
static PUBLIC: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(without_resumption(config))
});

impl TlsProbe {
    /// Creates a probe that trusts the root certificates of Mozilla (crate `webpki-roots`). It has no client
    /// certificate.
    #[must_use]
    pub fn new() -> Self {
        Self { config: Arc::clone(&PUBLIC), server_name: None }
    }

    /// Creates a probe with this TLS configuration, for instance with other root certificates, a client certificate or
    /// another crypto provider. Session resumption is turned off. As a probe of its own, it offers the ALPN protocols
    /// of the configuration. An HTTP or gRPC probe with these TLS settings offers its own ALPN protocols instead.
    #[must_use]
    pub fn with_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        let config = without_resumption(Arc::unwrap_or_clone(config.into()));
        Self { config: Arc::new(config), server_name: None }
    }

    /// Sets the DNS name or IP address for which the server's certificate must be valid. Default: the host of the
    /// endpoint's address.
    ///
    /// # Errors
    ///
    /// Returns an error if `name` is neither a DNS name nor an IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, InvalidProbe> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| InvalidProbe {
            setting: "server_name",
            value: name.to_owned(),
            expected: "use a DNS name or an IP address, without scheme or port".into(),
        })?;
        self.server_name = Some(name);
        Ok(self)
    }

    /// Makes the TLS handshake. `protocols` are offered by ALPN. With `None`, the protocols of the configuration are
    /// offered.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        target: &Target,
        protocols: Option<Vec<Vec<u8>>>,
    ) -> Result<TlsStream<TcpStream>, ProbeError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                // Certificates have no zone identifiers (`%eth0`).
                let host = target.parsed()?.host().split('%').next().unwrap_or_default().to_owned();
                ServerName::try_from(host)
                    .map_err(|_| target.refuse("its host is no name that a certificate can have"))?
            }
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let shaken = match protocols {
            Some(protocols) => connector.with_alpn(protocols).connect(name, stream).await,
            None => connector.connect(name, stream).await,
        };
        shaken.map_err(|error| ProbeError::Connect(format!("TLS handshake: {error}")))
    }
}

fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

impl Default for TlsProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for TlsProbe {
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        Box::pin(async {
            let stream = connect(target).await?;
            self.handshake(stream, target, None).await.map(|_| ProbeOutcome::Passed)
        })
    }
}

impl fmt::Debug for TlsProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsProbe").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use futures::future::BoxFuture;
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Answer, InvalidProbe, Probe, ProbeError, Target, connect::connect};

/// A TLS handshake. Also how [`Http`](super::Http) and [`Grpc`](super::Grpc) are told to use TLS.
///
/// ```
/// use equipoise_health::probe::Tls;
///
/// let by_its_address = Tls::new();
/// let by_name = Tls::new().server_name("db.example.com")?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// Each handshake is a full one, so that a certificate which has run out or changed is seen. In TLS 1.3 a server that
/// refuses the *client's* certificate does so after the handshake: only a probe that goes on to read notices.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// The roots that browsers trust, without client certificates.
static PUBLIC: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(without_resumption(config))
});

impl Tls {
    /// Trusts the roots that browsers do (webpki-roots).
    #[must_use]
    pub fn new() -> Self {
        Self { config: Arc::clone(&PUBLIC), server_name: None }
    }

    /// With a configuration of one's own: other roots, a client's certificate, another provider. Its protocols (ALPN) are
    /// kept by a bare handshake, HTTP and gRPC set theirs.
    #[must_use]
    pub fn with_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        let config = without_resumption(Arc::unwrap_or_clone(config.into()));
        Self { config: Arc::new(config), server_name: None }
    }

    /// The name (or address) that the certificate is to have. By default the host of the endpoint's address.
    ///
    /// # Errors
    ///
    /// When it is neither a DNS name nor an IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, InvalidProbe> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| InvalidProbe {
            setting: "server_name",
            value: name.to_owned(),
            wanted: "it is a DNS name or an IP address, without scheme or port".into(),
        })?;
        self.server_name = Some(name);
        Ok(self)
    }

    /// Shakes hands; `protocols` for ALPN, or what the configuration has.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        target: &Target,
        protocols: Option<Vec<Vec<u8>>>,
    ) -> Result<TlsStream<TcpStream>, ProbeError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                // A certificate knows no zones (`%eth0`).
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

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for Tls {
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>> {
        Box::pin(async {
            let stream = connect(target).await?;
            self.handshake(stream, target, None).await.map(|_| Answer::Passed)
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

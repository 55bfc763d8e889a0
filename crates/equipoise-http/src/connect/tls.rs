use std::{
    fmt, io,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use crate::error::ConnectError;

/// TLS settings of the connections to endpoints with `https` addresses: root certificates, client certificate and
/// server name. The ALPN protocols follow from the [version](crate::Settings::version).
///
/// ```no_run
/// use equipoise_http::{Settings, Tls, Upstream};
///
/// let tls = Tls::with_roots(&std::fs::read("ca.pem")?)?
///     .client_certificate(&std::fs::read("client.pem")?, &std::fs::read("client.key")?)?
///     .server_name("orders.internal")?;
/// let upstream = Upstream::with_settings("https://10.0.0.1:8443", &Settings::new().tls(tls))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    roots: Option<Arc<RootCertStore>>,
    server_name: Option<ServerName<'static>>,
}

/// Why TLS settings were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTls {
    /// A text is not valid PEM, or has no certificate or no private key.
    #[error("{what} cannot be read: use PEM with at least one such block")]
    Pem {
        /// What was read: root certificates, client certificate or private key.
        what: &'static str,
        /// The error of the PEM parser.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate or a key was refused, for example because the key does not belong to the certificate.
    #[error("the certificate or its key was refused")]
    Certificate(#[source] rustls::Error),
    /// The server name is neither a DNS name nor an IP address.
    #[error("{name:?} is no server name: use a DNS name or an IP address, without scheme or port")]
    ServerName {
        /// The name that was given.
        name: String,
    },
    /// A client certificate was set for a complete configuration.
    #[error("Tls::with_config has its own client certificate: set it in the rustls configuration")]
    Complete,
    /// The platform has no usable root certificates.
    #[cfg(feature = "platform-roots")]
    #[cfg_attr(docsrs, doc(cfg(feature = "platform-roots")))]
    #[error("the platform has no usable root certificates: {reason}")]
    NoPlatformRoots {
        /// The errors of reading them.
        reason: String,
    },
}

/// The settings of [`Tls::new`].
static PUBLIC: LazyLock<Tls> =
    LazyLock::new(|| Tls::of_roots(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));

impl Tls {
    /// Creates settings that trust the root certificates of Mozilla (crate `webpki-roots`). There is no client
    /// certificate. The server's certificate must be valid for the host of the endpoint's address.
    #[must_use]
    pub fn new() -> Self {
        PUBLIC.clone()
    }

    /// Creates settings that trust only the certificates in `pem`.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Pem`] if the text is not valid or has no certificate. [`InvalidTls::Certificate`] if a certificate
    /// cannot be a root.
    pub fn with_roots(pem: &[u8]) -> Result<Self, InvalidTls> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, "the root certificate")? {
            roots.add(certificate).map_err(InvalidTls::Certificate)?;
        }
        Ok(Self::of_roots(roots))
    }

    /// Creates settings that trust the root certificates of the platform: those of the system's store, or of the files
    /// that the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name. They are read once, by this call.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::NoPlatformRoots`] if no certificate could be read.
    #[cfg(feature = "platform-roots")]
    #[cfg_attr(docsrs, doc(cfg(feature = "platform-roots")))]
    pub fn with_platform_roots() -> Result<Self, InvalidTls> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(found.certs).0 == 0 {
            let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            let reason = if reasons.is_empty() { "there are none".to_owned() } else { reasons.join(", ") };
            return Err(InvalidTls::NoPlatformRoots { reason });
        }
        Ok(Self::of_roots(roots))
    }

    /// Creates settings with a complete configuration of rustls, for example with another crypto provider or verifier.
    /// Its ALPN protocols are replaced.
    #[must_use]
    pub fn with_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self { config: config.into(), roots: None, server_name: None }
    }

    /// Sets the client certificate, for servers that authenticate their clients. `chain` has the certificate and its
    /// issuers, `key` the private key, both as PEM.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Pem`] if a text is not valid. [`InvalidTls::Certificate`] if the key does not belong to the
    /// certificate. [`InvalidTls::Complete`] after [`with_config`](Self::with_config).
    pub fn client_certificate(self, chain: &[u8], key: &[u8]) -> Result<Self, InvalidTls> {
        let Some(roots) = self.roots else { return Err(InvalidTls::Complete) };
        let chain = certificates(chain, "the client certificate")?;
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|source| InvalidTls::Pem { what: "the private key", source })?;
        let config = builder().with_root_certificates(Arc::clone(&roots)).with_client_auth_cert(chain, key);
        let config = Arc::new(config.map_err(InvalidTls::Certificate)?);
        Ok(Self { config, roots: Some(roots), ..self })
    }

    /// Sets the DNS name or IP address that is sent to the server (SNI), and for which the server's certificate must be
    /// valid. Default: the host of the endpoint's address. Needed if the address of the endpoint is an IP address and
    /// its certificate has a name.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::ServerName`] if `name` is neither a DNS name nor an IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, InvalidTls> {
        let parsed = ServerName::try_from(name.to_owned());
        self.server_name = Some(parsed.map_err(|_| InvalidTls::ServerName { name: name.to_owned() })?);
        Ok(self)
    }

    /// Returns the configuration of rustls, for example for health checks with the same certificates. The
    /// [server name](Self::server_name) is not part of it.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    fn of_roots(roots: RootCertStore) -> Self {
        let roots = Arc::new(roots);
        let config = Arc::new(builder().with_root_certificates(Arc::clone(&roots)).with_no_client_auth());
        Self { config, roots: Some(roots), server_name: None }
    }

    /// Makes the handshake with the server at `host`. `protocols` are offered by ALPN. Returns the stream, and whether
    /// the server has selected HTTP/2.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Tls`] if the handshake fails.
    #[doc(hidden)]
    pub async fn handshake(
        &self,
        stream: Stream,
        host: &str,
        protocols: &[&[u8]],
    ) -> Result<(Stream, bool), ConnectError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                // Certificates have no zone identifiers (`%eth0`).
                let without_zone = host.split('%').next().unwrap_or_default();
                ServerName::try_from(without_zone.to_owned()).map_err(|error| ConnectError::Tls {
                    name: without_zone.to_owned(),
                    source: io::Error::new(io::ErrorKind::InvalidInput, error),
                })?
            }
        };
        let shown = name.to_str().into_owned();
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = connector.with_alpn(protocols).connect(name, stream).await;
        let stream = stream.map_err(|source| ConnectError::Tls { name: shown, source })?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::Tls(Box::new(stream)), is_http2))
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let refuse = |source| InvalidTls::Pem { what, source };
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(refuse)?;
    if certificates.is_empty() { Err(refuse(rustls::pki_types::pem::Error::NoItemsFound)) } else { Ok(certificates) }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

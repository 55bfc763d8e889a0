use std::{fs, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::server::{Directory, Server, free_port};

/// A Redis server that also listens for TLS, with a certificate for `localhost`.
pub(crate) struct TlsServer {
    pub(crate) url: String,
    /// The address in the certificate is a name, so it is not valid for this URL.
    pub(crate) misnamed: String,
    certificate: rcgen::Certificate,
    _server: Server,
    _directory: Directory,
}

impl TlsServer {
    /// Starts a server. If `redis-server` is not installed, prints a message and returns `None`.
    pub(crate) async fn start() -> Option<Self> {
        let directory = Directory::new();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (certificate, key) = (file("certificate.pem", cert.pem()), file("key.pem", signing_key.serialize_pem()));
        let port = free_port().to_string();
        let settings = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
        let server = Server::start(&[&settings[..], &["--tls-auth-clients", "no"]].concat()).await?;
        Some(Self {
            url: format!("rediss://localhost:{port}"),
            misnamed: format!("rediss://127.0.0.1:{port}"),
            certificate: cert,
            _server: server,
            _directory: directory,
        })
    }

    /// Returns a configuration that accepts the certificate of the server, and no other one.
    pub(crate) fn trusting(&self) -> ClientConfig {
        trusting(&self.certificate)
    }
}

/// Returns a configuration that accepts this certificate, and no other one.
pub(crate) fn trusting(certificate: &rcgen::Certificate) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

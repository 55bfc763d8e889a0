//! Certificates for tests, and clients of TLS that trust them.

use std::{fs, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use crate::client::soon;

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Issued {
    fn write(self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.pem")), self.certificate).unwrap();
        fs::write(folder.join(format!("{name}.key")), self.key).unwrap();
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for names, which servers and clients can use.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(CertificateParams::new(names.iter().copied().map(str::to_owned).collect::<Vec<_>>()).unwrap())
    }

    fn issue_with(&self, mut params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// Writes a new certificate with its key as `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str, names: &[&str]) {
        self.issue(names).write(folder, name);
    }

    /// Writes a certificate that has expired, with its key, as `NAME.pem` and `NAME.key`.
    pub(crate) fn write_expired(&self, folder: &Path, name: &str, names: &[&str]) {
        let mut params = CertificateParams::new(names.iter().copied().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.issue_with(params).write(folder, name);
    }

    /// Returns the configuration of a client that trusts this authority, offers protocols, and perhaps has a certificate.
    pub(crate) fn client(&self, alpn: &[&str], identity: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// Makes a handshake on a new connection.
pub(crate) async fn connect(
    address: &str,
    name: &'static str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = soon(TcpStream::connect(address)).await?;
    let name = ServerName::try_from(name).unwrap();
    soon(TlsConnector::from(Arc::clone(config)).connect(name, stream)).await
}

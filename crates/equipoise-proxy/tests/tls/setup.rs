use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use equipoise_proxy::{
    headers::ConnectionInfo,
    server::Server,
    tls::{Certificate, ClientAuth, ClientCertificate, Tls, TlsAcceptor, TlsSession, TlsSettings},
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::service_fn;

/// A certificate authority.
pub(crate) struct Authority(pub(crate) CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    /// Returns a certificate and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_with(names, |_| ())
    }

    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        change(&mut params);
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Returns the certificate of a server.
    pub(crate) fn certificate(&self, names: &[&str]) -> Certificate {
        let (chain, key) = self.issue(names);
        Certificate::from_pem(chain, key).expect("valid PEM")
    }

    /// Returns the certificate of a client and its key.
    pub(crate) fn client(&self, name: &str) -> (String, String) {
        self.issue_with(&[], |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    pub(crate) fn client_auth(&self) -> ClientAuth {
        ClientAuth::from_pem(self.0.pem()).expect("valid PEM")
    }

    /// Returns a client that trusts this authority.
    pub(crate) fn trusting(&self) -> Client {
        Client::new(self, None, rustls::ALL_VERSIONS)
    }
}

/// A server with TLS, which answers with what it knows of the connection.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) acceptor: TlsAcceptor,
}

/// Starts a server.
pub(crate) async fn start(settings: TlsSettings) -> Running {
    let server = Server::new(service_fn(async |request: Request<Incoming>| {
        let info: &ConnectionInfo = request.extensions().get().expect("the server adds it");
        assert!(info.is_tls());
        let text = described(info.tls_session().expect("with TLS"));
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let listener = Tls::with_settings(listener, &settings).expect("valid settings");
    let acceptor = listener.acceptor().clone();
    tokio::spawn(server.serve(listener));
    Running { address, acceptor }
}

fn described(session: &TlsSession) -> String {
    let name = session.server_name().unwrap_or("-");
    let version = session.version().expect("known").as_str();
    let alpn = String::from_utf8_lossy(session.alpn().unwrap_or(b"-")).into_owned();
    let kind = if session.is_resumed() { "resumed" } else { "full" };
    let client = session.client_certificate().map_or("-", ClientCertificate::subject);
    format!("{name} {version} {alpn} {kind} {client}")
}

/// A client with its tickets.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Arc<ClientConfig>);

pub(crate) type Stream = TlsStream<TcpStream>;

impl Client {
    /// Creates a client that trusts an authority, perhaps with a certificate of its own.
    pub(crate) fn new(
        authority: &Authority,
        own: Option<&(String, String)>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("ring has them").with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(|der| der.expect("PEM")).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("its key")
            }
        };
        Self(Arc::new(config))
    }

    pub(crate) fn change(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }

    /// Returns what the server tells about a connection.
    pub(crate) async fn asked(&self, address: SocketAddr, name: &str) -> io::Result<String> {
        let mut stream = self.connect(address, name).await?;
        let (status, body) = get(&mut stream, name).await?;
        assert_eq!(status, 200, "{body}");
        // So that tickets are read and the server sees the end.
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(body)
    }
}

/// Sends a request of HTTP/1.1. Returns the status and the body.
pub(crate) async fn get(stream: &mut Stream, host: &str) -> io::Result<(u16, String)> {
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).await?;
    Ok((status, String::from_utf8(body).expect("text")))
}

/// Returns the error of the TLS library.
pub(crate) fn tls_error(error: &io::Error) -> &rustls::Error {
    error.get_ref().and_then(|error| error.downcast_ref()).unwrap_or_else(|| panic!("{error}"))
}

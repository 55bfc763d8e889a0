use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use equipoise::{
    http::HttpClient,
    proxy::{
        ReverseProxyLayer,
        server::Server,
        tls::{Certificate, ClientAuth, Tls, TlsAcceptor, TlsSettings},
    },
};
use equipoise_tests::soon;
use http::{Request, Response};
use hyper::body::Incoming;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command};
use tower::Layer;

use crate::{
    folder::Folder,
    setup::{Body, Version, backend, frames, pool},
};

/// A certificate authority in a folder: the file `ca.pem`, and its key.
pub(crate) struct Authority {
    folder: Folder,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let key_pem = key.serialize_pem();
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let authority = Self { folder: Folder::new(), issuer };
        fs::write(authority.path("ca.pem"), authority.issuer.pem()).expect("a file");
        fs::write(authority.path("ca.key"), key_pem).expect("a file");
        authority
    }

    /// Returns the path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Issues a certificate, in the files `NAME.pem` and `NAME.key`. It is valid for servers of this name, and for clients.
    pub(crate) fn issue(&self, name: &str, serial: u8) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a valid name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("a file");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("a file");
    }

    /// Issues and reads the certificate of a server.
    pub(crate) fn certificate(&self, name: &str, serial: u8) -> Certificate {
        self.issue(name, serial);
        let files = [".pem", ".key"].map(|ending| self.path(&format!("{name}{ending}")));
        Certificate::from_files(&files[0], &files[1]).expect("a certificate")
    }

    pub(crate) fn client_auth(&self) -> ClientAuth {
        ClientAuth::from_file(self.path("ca.pem")).expect("a certificate")
    }
}

/// A proxy with TLS.
pub(crate) struct TlsProxy {
    pub(crate) address: SocketAddr,
    pub(crate) acceptor: TlsAcceptor,
}

impl TlsProxy {
    /// Starts a proxy in front of an endpoint.
    pub(crate) async fn start(settings: &TlsSettings, layer: &ReverseProxyLayer, endpoint: String) -> Self {
        let server = Server::new(layer.layer(HttpClient::new(pool(endpoint, Version::Http1))));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let listener = Tls::with_settings(listener, settings).expect("valid settings");
        let acceptor = listener.acceptor().clone();
        tokio::spawn(server.serve(listener));
        Self { address, acceptor }
    }

    /// Starts a proxy in front of an endpoint that answers with the fields about the client.
    pub(crate) async fn telling(settings: &TlsSettings, layer: &ReverseProxyLayer) -> Self {
        Self::start(settings, layer, backend(tell).await).await
    }
}

/// Answers with the fields of a request that tell about the client, one in each line.
async fn tell(request: Request<Incoming>) -> Response<Body> {
    let is_about_client = |name: &str| name.contains("client") || name == "x-forwarded-proto";
    let fields = request.headers().iter().filter(|(name, _)| is_about_client(name.as_str()));
    let mut lines: Vec<_> =
        fields.map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("ASCII"))).collect();
    lines.sort();
    Response::new(frames([Ok(hyper::body::Frame::data(lines.concat().into()))]))
}

/// What `openssl s_client` has written.
pub(crate) struct Told {
    pub(crate) out: String,
    pub(crate) errors: String,
}

/// Connects with `openssl s_client`, sends a request, and waits until the server closes the connection or refuses it.
pub(crate) async fn s_client(openssl: &Path, address: SocketAddr, options: &[&str], request: &str) -> Told {
    let mut command = Command::new(openssl);
    // Without `-ign_eof`, it ends with its input. `-quiet` would keep what is tested from the output.
    command.args(["s_client", "-ign_eof", "-connect", &address.to_string()]).args(options).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program that can be started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A refused client does not read.
    let _ = stdin.write_all(request.as_bytes()).await;
    drop(stdin);
    let output = soon(child.wait_with_output()).await.expect("it ends");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Told { out: text(&output.stdout), errors: text(&output.stderr) }
}

/// A request after whose response the server closes the connection.
pub(crate) const GET: &str = "GET /hello HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n";

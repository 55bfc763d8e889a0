//! Connections to endpoints: TLS with an authority of their own, and the version of HTTP.

use std::{convert::Infallible, fs, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::process::{Folder, Gateway};

/// Serves requests over one connection. Each answer is the version of the request.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, is_http2: bool) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{:?}", request.version())))))
    });
    // Its errors are those of clients that close their connections.
    let _ = match is_http2 {
        true => http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await,
        false => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
    };
}

/// Starts a server with TLS, whose certificate is valid for `orders.test`. Returns its port, and the certificate of its
/// authority.
async fn tls_server() -> (u16, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["orders.test".to_owned()]).unwrap().signed_by(&key, &authority);
    let chain = vec![CertificateDer::from_pem_slice(certificate.unwrap().pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = ["h2", "http/1.1"].map(|name| name.as_bytes().to_vec()).to_vec();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the authority ends the handshake.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            tokio::spawn(serve(stream, is_http2));
        }
    });
    (port, authority.pem())
}

fn config(address: &str, pool: &str) -> String {
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        endpoints = [{{ id = "a", address = "{address}" }}]
        {pool}
        [admin]
        bind = "127.0.0.1:0"
        "#
    )
}

const TLS: &str = r#"tls = { ca_file = "ca.pem", server_name = "orders.test" }"#;

#[tokio::test]
async fn requests_and_checks_use_the_tls_and_the_protocol_of_the_pool() {
    let (port, authority) = tls_server().await;
    let folder = Folder::new();
    fs::write(folder.path().join("ca.pem"), authority).unwrap();
    for (protocol, version) in [("auto", "HTTP/2.0"), ("http1", "HTTP/1.1"), ("http2", "HTTP/2.0")] {
        let health = r#"health = { check = "http", initial_state = "must-pass" }"#;
        let pool = format!("protocol = \"{protocol}\"\n{TLS}\n{health}");
        let mut gateway = Gateway::start(&folder, &config(&format!("https://127.0.0.1:{port}"), &pool)).await;
        gateway.logs("to=up").await;
        let answer = gateway.connect(0).await.get("/").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, version), "{protocol}");
    }
}

#[tokio::test]
async fn a_reload_replaces_the_connections_and_keeps_the_state_of_endpoints() {
    let (port, authority) = tls_server().await;
    let folder = Folder::new();
    fs::write(folder.path().join("ca.pem"), authority).unwrap();
    let address = format!("https://127.0.0.1:{port}");
    let mut gateway = Gateway::start(&folder, &config(&address, "")).await;
    assert_eq!(gateway.connect(0).await.get("/").await.status, 502);
    let line = gateway.logs("a request has failed").await;
    assert!(line.contains("the TLS handshake with 127.0.0.1 failed"), "{line}");
    gateway.reload(&folder, &config(&address, TLS)).await;
    assert_eq!(gateway.connect(0).await.get("/").await.status, 200);
    let endpoints: serde_json::Value =
        serde_json::from_str(&gateway.connect(1).await.get("/endpoints").await.body).unwrap();
    assert_eq!(endpoints[0]["status"]["requests"]["total"], 2);
}

#[tokio::test]
async fn http2_without_tls_needs_no_upgrade() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, true));
        }
    });
    let folder = Folder::new();
    let pool = "protocol = \"http2\"\nhealth = { check = \"http\", initial_state = \"must-pass\" }";
    let mut gateway = Gateway::start(&folder, &config(&address, pool)).await;
    gateway.logs("to=up").await;
    assert_eq!(gateway.connect(0).await.get("/").await.body, "HTTP/2.0");
}

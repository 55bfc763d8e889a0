//! TLS: certificates, server names, client certificates and ALPN.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{Read, Write},
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use equipoise_http::{CloseReason, ConnectError, Settings, Tls, Upstream, Version};
use equipoise_tower::FailureStage;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;

use crate::{
    limits::Known,
    server::{HELLO, get, post, send},
};

/// A certificate authority, and what it has issued.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Returns a certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a valid name");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }
}

/// Starts a server whose certificate is valid for `orders.test`. It answers with the HTTP version of the request.
async fn server(authority: &Authority, protocols: &[&[u8]], needs_client: bool) -> String {
    changing_server(authority, &[protocols], needs_client).await
}

/// Returns the configuration of a server whose certificate is valid for `orders.test`.
fn config(authority: &Authority, needs_client: bool) -> ServerConfig {
    let (certificate, key) = authority.issue("orders.test");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has them");
    let builder = if needs_client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate")).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).expect("its key")
}

/// Starts a server as [`server`] does, that selects among other protocols for each further connection, and finally
/// stays with the last ones.
async fn changing_server(authority: &Authority, protocols: &[&[&[u8]]], needs_client: bool) -> String {
    let mut config = config(authority, needs_client);
    let acceptors = protocols.iter().map(|protocols| {
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config.clone()))
    });
    let mut acceptors: VecDeque<_> = acceptors.collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = if acceptors.len() > 1 { acceptors.pop_front() } else { acceptors.front().cloned() };
            let Ok(stream) = acceptor.expect("one is left").accept(stream).await else { continue };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(|request: Request<Incoming>| async move {
                let body = format!("{:?} {}", request.version(), request.uri());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            });
            let stream = TokioIo::new(stream);
            if is_http2 {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(stream, service));
            } else {
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
            }
        }
    });
    address
}

fn trusting(authority: &Authority) -> Tls {
    Tls::with_roots(authority.pem().as_bytes()).expect("valid PEM").server_name("orders.test").expect("a name")
}

#[tokio::test]
async fn the_server_selects_the_version() {
    let authority = Authority::new();
    for (protocols, version, answer) in [
        (&[&b"h2"[..], b"http/1.1"][..], Version::Auto, "HTTP/2.0 https://orders.test/a"),
        (&[b"http/1.1"], Version::Auto, "HTTP/1.1 /a"),
        (&[], Version::Auto, "HTTP/1.1 /a"),
        (&[b"h2", b"http/1.1"], Version::Http1, "HTTP/1.1 /a"),
        (&[b"h2", b"http/1.1"], Version::Http2, "HTTP/2.0 https://orders.test/a"),
    ] {
        let address = server(&authority, protocols, false).await;
        let settings = Settings::new().version(version).tls(trusting(&authority));
        let upstream = Upstream::with_settings(&address, &settings).unwrap();
        for _ in 0..2 {
            assert_eq!(send(&upstream, get("https://orders.test/a")).await.unwrap().body(), answer);
        }
        assert_eq!(upstream.status().opened, 1);
    }
}

#[tokio::test]
async fn first_requests_share_one_connection_if_it_speaks_http2() {
    let authority = Authority::new();
    let address = server(&authority, &[b"h2"], false).await;
    let upstream = Upstream::with_settings(&address, &Settings::new().tls(trusting(&authority))).unwrap();
    let responses = futures::future::join_all((0..10).map(|_| send(&upstream, get("/")))).await;
    assert!(responses.into_iter().all(|response| response.is_ok()));
    assert_eq!(upstream.status().opened, 1);
}

#[tokio::test]
async fn http2_is_an_error_if_the_server_does_not_offer_it() {
    let authority = Authority::new();
    let address = server(&authority, &[], false).await;
    let settings = Settings::new().version(Version::Http2).tls(trusting(&authority));
    let upstream = Upstream::with_settings(&address, &settings).unwrap();
    let error = send(&upstream, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::NoHttp2)), "{error:?}");
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_have_the_name() {
    let authority = Authority::new();
    let address = server(&authority, &[], false).await;
    let other = Authority::new();
    let named = trusting(&authority).server_name("shop.test").unwrap();
    for tls in [trusting(&other), named, Tls::new()] {
        let settings = Settings::new().version(Version::Http1).tls(tls);
        let upstream = Upstream::with_settings(&address, &settings).unwrap();
        let error = send(&upstream, get("/")).await.unwrap_err();
        assert!(matches!(error.connect_error(), Some(ConnectError::Tls { .. })), "{error:?}");
        assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
    }
}

#[tokio::test]
async fn a_server_can_demand_a_client_certificate() {
    let authority = Authority::new();
    let address = server(&authority, &[], true).await;
    let (certificate, key) = authority.issue("client.test");
    let tls = trusting(&authority).client_certificate(certificate.as_bytes(), key.as_bytes()).unwrap();
    let upstream = Upstream::with_settings(&address, &Settings::new().tls(tls)).unwrap();
    assert_eq!(send(&upstream, get("/")).await.unwrap().body(), "HTTP/1.1 /");
    let without = Upstream::with_settings(&address, &Settings::new().tls(trusting(&authority))).unwrap();
    assert!(send(&without, get("/")).await.is_err());
}

#[test]
fn what_is_no_certificate_or_name_is_refused() {
    let authority = Authority::new();
    let (certificate, _) = authority.issue("client.test");
    let (_, other_key) = authority.issue("other.test");
    assert!(Tls::with_roots(b"").is_err());
    assert!(Tls::with_roots(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").is_err());
    assert!(trusting(&authority).client_certificate(b"", b"").is_err());
    assert!(trusting(&authority).client_certificate(certificate.as_bytes(), other_key.as_bytes()).is_err());
    assert!(Tls::new().server_name("https://orders").is_err());
}

/// A request that HTTP/2 cannot carry.
fn to_upgrade() -> Request<Empty<Bytes>> {
    let mut request = get("/");
    request.headers_mut().insert("connection", http::HeaderValue::from_static("upgrade"));
    request.headers_mut().insert("upgrade", http::HeaderValue::from_static("websocket"));
    request
}

#[tokio::test]
async fn a_request_to_upgrade_goes_over_http1_also_if_the_server_prefers_http2() {
    let authority = Authority::new();
    let address = server(&authority, &[b"h2", b"http/1.1"], false).await;
    let upstream = Upstream::with_settings(&address, &Settings::new().tls(trusting(&authority))).unwrap();
    for _ in 0..2 {
        assert!(send(&upstream, get("/")).await.unwrap().body().starts_with("HTTP/2.0"));
        assert!(send(&upstream, to_upgrade()).await.unwrap().body().starts_with("HTTP/1.1"));
    }
    assert_eq!((upstream.status().opened, upstream.status().idle), (2, 2));
}

#[tokio::test]
async fn an_idle_connection_leaves_its_place_to_one_of_the_other_version() {
    let authority = Authority::new();
    let address = server(&authority, &[b"h2", b"http/1.1"], false).await;
    let settings = Settings::new().tls(trusting(&authority)).max_connections(1);
    let upstream = Upstream::with_settings(&address, &settings).unwrap();
    for _ in 0..2 {
        assert!(send(&upstream, get("/")).await.unwrap().body().starts_with("HTTP/2.0"));
        assert!(send(&upstream, to_upgrade()).await.unwrap().body().starts_with("HTTP/1.1"));
    }
    let status = upstream.status();
    assert_eq!((status.opened, status.open, status.closed(CloseReason::TooManyIdle)), (4, 1, 3));
}

#[tokio::test]
async fn one_request_of_the_other_version_closes_one_idle_connection() {
    const MAX: usize = 3;
    let authority = Authority::new();
    let address = server(&authority, &[b"h2", b"http/1.1"], false).await;
    let settings = Settings::new().tls(trusting(&authority)).max_connections(MAX).max_streams(1);
    let upstream = Upstream::with_settings(&address, &settings).unwrap();
    while upstream.status().opened < MAX as u64 {
        assert!(send(&upstream, get("/")).await.unwrap().body().starts_with("HTTP/2.0"));
        tokio::task::yield_now().await;
    }
    assert!(send(&upstream, to_upgrade()).await.unwrap().body().starts_with("HTTP/1.1"));
    let status = upstream.status();
    assert_eq!((status.open, status.opened, status.closed(CloseReason::TooManyIdle)), (MAX, MAX as u64 + 1, 1));
}

#[tokio::test]
async fn requests_of_both_versions_wait_for_the_same_place() {
    let authority = Authority::new();
    let address = server(&authority, &[b"h2", b"http/1.1"], false).await;
    let settings = Settings::new().tls(trusting(&authority)).max_connections(1);
    let upstream = Upstream::with_settings(&address, &settings).unwrap();
    let (one, two, three, four) = tokio::join!(
        send(&upstream, get("/")),
        send(&upstream, to_upgrade()),
        send(&upstream, get("/")),
        send(&upstream, to_upgrade())
    );
    for (response, version) in [(one, "HTTP/2.0"), (two, "HTTP/1.1"), (three, "HTTP/2.0"), (four, "HTTP/1.1")] {
        assert!(response.unwrap().body().starts_with(version));
    }
    assert_eq!((upstream.status().open, upstream.status().waiting), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_of_both_versions_are_served_over_two_connections() {
    let authority = Authority::new();
    let address = server(&authority, &[b"h2", b"http/1.1"], false).await;
    let settings = Settings::new().tls(trusting(&authority)).max_connections(2);
    // A request that is forgotten in the queue fails, instead of a test without end.
    let settings = settings.wait_timeout(Duration::from_secs(60));
    let upstream = Upstream::with_settings(&address, &settings).unwrap();
    let client = |upstream: Upstream, at: usize| async move {
        for request in 0..12 {
            let is_http1 = (request + at).is_multiple_of(3);
            let response = send(&upstream, if is_http1 { to_upgrade() } else { get("/") }).await.expect("a response");
            assert!(response.body().starts_with(if is_http1 { "HTTP/1.1" } else { "HTTP/2.0" }));
            assert!(upstream.status().open <= 2);
        }
    };
    let clients: Vec<_> = (0..8).map(|at| tokio::spawn(client(upstream.clone(), at))).collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(upstream.status().waiting, 0);
}

#[tokio::test]
async fn without_a_queue_a_request_gets_a_connection_whatever_its_version() {
    let authority = Authority::new();
    for protocols in [&[&b"h2"[..]][..], &[b"http/1.1"]] {
        let address = server(&authority, protocols, false).await;
        let settings = Settings::new().tls(trusting(&authority)).max_waiting(0);
        let upstream = Upstream::with_settings(&address, &settings).unwrap();
        let responses = futures::future::join_all((0..10).map(|_| send(&upstream, get("/")))).await;
        assert!(responses.into_iter().all(|response| response.is_ok()));
    }
}

#[tokio::test]
async fn a_server_that_learns_http2_later_is_asked_again_with_each_connection() {
    let authority = Authority::new();
    let protocols: &[&[&[u8]]] = &[&[b"http/1.1"], &[b"h2", b"http/1.1"], &[b"http/1.1"]];
    let address = changing_server(&authority, protocols, false).await;
    let settings = Settings::new().tls(trusting(&authority)).max_requests(1);
    let upstream = Upstream::with_settings(&address, &settings).unwrap();
    let mut versions = Vec::new();
    for _ in 0..3 {
        versions.push(send(&upstream, get("/")).await.unwrap().body()[..8].to_owned());
    }
    assert_eq!(versions, ["HTTP/1.1", "HTTP/2.0", "HTTP/1.1"]);
}

#[tokio::test]
async fn all_first_connections_are_opened_if_the_server_selects_http1() {
    let authority = Authority::new();
    for (protocols, connections) in [(&[&b"http/1.1"[..]][..], 3), (&[b"h2"], 1)] {
        let address = server(&authority, protocols, false).await;
        let settings = Settings::new().tls(trusting(&authority)).prewarm(3);
        let upstream = Upstream::with_settings(&address, &settings).unwrap();
        while upstream.status().opened < connections {
            tokio::task::yield_now().await;
        }
        assert!(send(&upstream, get("/")).await.is_ok());
        assert_eq!(upstream.status().opened, connections);
    }
}

#[tokio::test]
async fn an_address_that_does_not_answer_the_tls_handshake_is_left_for_the_next_one() {
    let authority = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server(&authority, &[b"http/1.1"], false).await;
    let good = address.trim_start_matches("https://").parse().unwrap();
    let addresses = vec![silent.local_addr().unwrap(), good];
    let settings = Settings::new().tls(trusting(&authority)).resolver(Known(addresses));
    let upstream = Upstream::with_settings("https://orders.test", &settings).unwrap();
    assert_eq!(send(&upstream, get("/a")).await.unwrap().body(), "HTTP/1.1 /a");
}

/// Accepts a connection, and sends session tickets only when `go` receives something. Tells `sent`. Then answers one
/// request.
fn serve_with_late_tickets(
    listener: &std::net::TcpListener,
    config: ServerConfig,
    go: &mpsc::Receiver<()>,
    sent: &mpsc::Sender<()>,
) -> std::io::Result<()> {
    let mut stream = listener.accept()?.0;
    let mut session = ServerConnection::new(Arc::new(config)).expect("a valid configuration");
    while session.is_handshaking() {
        session.read_tls(&mut stream)?;
        session.process_new_packets().expect("a valid handshake");
        while session.is_handshaking() && session.wants_write() {
            session.write_tls(&mut stream)?;
        }
    }
    assert!(session.wants_write(), "there are tickets");
    let _ = go.recv();
    while session.wants_write() {
        session.write_tls(&mut stream)?;
    }
    let _ = sent.send(());
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nx") {
        let mut bytes = [0; 1024];
        let more = tls.read(&mut bytes)?;
        if more == 0 {
            return Ok(());
        }
        read.extend_from_slice(&bytes[..more]);
    }
    tls.write_all(HELLO)
}

#[tokio::test]
async fn session_tickets_are_not_the_end_of_a_connection() {
    let authority = Authority::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let ((go, may_go), (sent, were_sent)) = (mpsc::channel(), mpsc::channel());
    let config = config(&authority, false);
    let server = std::thread::spawn(move || serve_with_late_tickets(&listener, config, &may_go, &sent));
    let settings = Settings::new().tls(trusting(&authority)).prewarm(1).version(Version::Http1);
    let upstream = Upstream::with_settings(&address, &settings).unwrap();
    while upstream.status().idle < 1 {
        tokio::task::yield_now().await;
    }
    // The thread is blocked meanwhile, so that tokio does not learn of the tickets.
    go.send(()).unwrap();
    were_sent.recv().unwrap();
    let response = timeout(Duration::from_secs(10), send(&upstream, post("/", "x"))).await.expect("a response");
    assert_eq!((response.unwrap().body().as_str(), upstream.status().opened), ("hello", 1));
    server.join().unwrap().unwrap();
}

#[cfg(feature = "platform-roots")]
#[tokio::test]
async fn the_roots_of_the_platform_are_trusted_and_no_others() {
    let tls = match Tls::with_platform_roots() {
        Ok(tls) => tls.server_name("orders.test").unwrap(),
        Err(error) => return eprintln!("skipped: this machine has no root certificates ({error})"),
    };
    let address = server(&Authority::new(), &[], false).await;
    let upstream = Upstream::with_settings(&address, &Settings::new().tls(tls)).unwrap();
    let error = send(&upstream, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::Tls { .. })), "{error:?}");
}

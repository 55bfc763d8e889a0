use std::sync::Arc;

use equipoise_health::probe::{Probe, ProbeError, ProbeOutcome, TlsProbe};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::server::{probe_once, refusing_address, reset, saying, serve, target, waits_until_dropped};

/// TLS settings of a server, and of a probe that trusts it.
pub(crate) fn identity(name: &str, protocols: &[&[u8]]) -> (TlsAcceptor, TlsProbe) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).expect("a name");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a certificate");
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
        .expect("they belong together");
    server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    (TlsAcceptor::from(Arc::new(server)), TlsProbe::with_config(client))
}

/// A TLS server that does what the test says after the handshake.
pub(crate) async fn serve_tls<F, Fut>(acceptor: TlsAcceptor, with: F) -> std::net::SocketAddr
where
    F: Fn(TlsStream<TcpStream>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    serve(move |stream| {
        let (acceptor, with) = (acceptor.clone(), with.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                with(stream).await;
            }
        }
    })
    .await
}

fn no_handshake(answer: &Result<ProbeOutcome, ProbeError>) -> bool {
    matches!(answer, Err(ProbeError::Connect(reason)) if reason.starts_with("TLS handshake: "))
}

#[tokio::test]
async fn a_trusted_certificate_of_the_right_name_passes() {
    let (server, tls) = identity("localhost", &[]);
    let address = serve_tls(server, |_| async {}).await;
    assert_eq!(probe_once(&tls, format!("localhost:{}", address.port())).await, Ok(ProbeOutcome::Passed));
    assert_eq!(probe_once(&tls.server_name("localhost").unwrap(), address).await, Ok(ProbeOutcome::Passed));
}

#[tokio::test]
async fn a_certificate_may_be_for_an_address() {
    let (server, tls) = identity("127.0.0.1", &[]);
    let address = serve_tls(server, |_| async {}).await;
    assert_eq!(probe_once(&tls, format!("https://{address}/path")).await, Ok(ProbeOutcome::Passed));
}

#[tokio::test]
async fn another_name_or_an_unknown_issuer_is_refused_with_the_reason() {
    let (server, tls) = identity("localhost", &[]);
    let address = serve_tls(server, |_| async {}).await;
    for (tls, why) in [(tls, "not valid for name"), (TlsProbe::new(), "UnknownIssuer")] {
        let answer = probe_once(&tls, address).await;
        assert!(no_handshake(&answer), "{answer:?}");
        assert!(answer.unwrap_err().to_string().contains(why));
    }
}

#[tokio::test]
async fn what_is_no_tls_is_no_connection() {
    assert!(matches!(probe_once(&TlsProbe::new(), refusing_address()).await, Err(ProbeError::Connect(_))));
    for address in [saying("HTTP/1.1 400 Bad Request\r\n\r\n").await, saying("").await] {
        let answer = probe_once(&TlsProbe::new(), address).await;
        assert!(no_handshake(&answer), "{answer:?}");
    }
    let answer = reset(&TlsProbe::new()).await;
    assert!(no_handshake(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_peer_that_never_answers_is_waited_for_until_the_probe_is_dropped() {
    waits_until_dropped(&TlsProbe::new()).await;
}

#[tokio::test]
async fn a_host_that_no_certificate_can_have_is_refused() {
    let port = saying("").await.port();
    let target = target(format!("local_host-:{port}"));
    let answer = TlsProbe::new().probe(&target).await;
    assert!(matches!(answer, Err(ProbeError::Address { .. } | ProbeError::Connect(_))), "{answer:?}");
    assert_eq!(TlsProbe::new().server_name("a:443").unwrap_err().setting, "server_name");
    assert_eq!(TlsProbe::new().server_name("").unwrap_err().setting, "server_name");
}

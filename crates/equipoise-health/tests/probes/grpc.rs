use equipoise_health::probe::{GrpcProbe, ProbeError, ProbeOutcome};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};

use crate::server::{probe_once, refusing_address, reset, saying, serve, waits_until_dropped};

/// A health service that knows `up` and `down`.
async fn answer(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let (reporter, service): (HealthReporter, _) = health_reporter();
    reporter.set_service_status("up", ServingStatus::Serving).await;
    reporter.set_service_status("down", ServingStatus::NotServing).await;
    let service = TowerToHyperService::new(service);
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
}

fn unexpected(answer: &Result<ProbeOutcome, ProbeError>, what: &str) -> bool {
    matches!(answer, Err(ProbeError::Unexpected(reason)) if reason.contains(what))
}

#[tokio::test]
async fn serving_passes_for_the_server_and_for_a_service() {
    let address = serve(answer).await;
    assert_eq!(probe_once(&GrpcProbe::new(), address).await, Ok(ProbeOutcome::Passed));
    let named = GrpcProbe::new().service("up").authority("shop.example.com").unwrap();
    assert_eq!(probe_once(&named, format!("http://{address}")).await, Ok(ProbeOutcome::Passed));
}

#[tokio::test]
async fn anything_else_is_unexpected_and_named() {
    let address = serve(answer).await;
    let down = probe_once(&GrpcProbe::new().service("down"), address).await;
    assert!(unexpected(&down, "NOT_SERVING"), "{down:?}");
    let unknown = probe_once(&GrpcProbe::new().service("unknown"), address).await;
    assert!(unexpected(&unknown, "NotFound"), "{unknown:?}");
}

#[tokio::test]
async fn what_is_no_grpc_fails_it() {
    assert!(matches!(probe_once(&GrpcProbe::new(), refusing_address()).await, Err(ProbeError::Connect(_))));
    for bytes in ["", "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let answer = probe_once(&GrpcProbe::new(), saying(bytes).await).await;
        assert!(matches!(answer, Err(ProbeError::Failed(_))), "{bytes:?}: {answer:?}");
    }
    let answer = reset(&GrpcProbe::new()).await;
    assert!(matches!(answer, Err(ProbeError::Failed(_))), "{answer:?}");
}

#[tokio::test]
async fn a_peer_that_never_answers_is_waited_for_until_the_probe_is_dropped() {
    waits_until_dropped(&GrpcProbe::new()).await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn over_tls_too() {
    use equipoise_health::probe::TlsProbe;

    let (server, tls) = crate::tls::identity("127.0.0.1", &[b"h2"]);
    let address = crate::tls::serve_tls(server, answer).await;
    assert_eq!(probe_once(&GrpcProbe::new().tls(tls), address).await, Ok(ProbeOutcome::Passed));
    let distrusted = probe_once(&GrpcProbe::new().tls(TlsProbe::new()), address).await;
    assert!(matches!(distrusted, Err(ProbeError::Connect(_))), "{distrusted:?}");
}

#[test]
fn an_authority_that_is_none_is_refused() {
    assert_eq!(GrpcProbe::new().authority("a b").unwrap_err().setting, "authority");
}

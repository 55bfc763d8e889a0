use std::io;

use equipoise_health::probe::{ProbeError, ProbeOutcome, Target, probe_fn};

use crate::server::probe_once;

#[tokio::test]
async fn a_closure_gets_the_target_and_its_error_is_the_reason() {
    let probe = probe_fn(|target: Target| async move {
        if target.address == "good" { Ok(()) } else { Err(ProbeError::Unexpected(target.address)) }
    });
    assert_eq!(probe_once(&probe, "good").await, Ok(ProbeOutcome::Passed));
    assert_eq!(probe_once(&probe, "bad").await, Err(ProbeError::Unexpected("bad".into())));
}

#[tokio::test]
async fn an_io_error_is_a_reason() {
    let probe = probe_fn(|_| async { Err::<(), _>(io::Error::other("disk is full")) });
    assert_eq!(probe_once(&probe, "a").await, Err(ProbeError::Failed("disk is full".into())));
}

#[tokio::test]
async fn a_closure_runs_only_when_its_future_is_polled() {
    use equipoise_health::probe::Probe;
    let probe = probe_fn(|_| -> std::future::Ready<Result<(), ProbeError>> { panic!("in the probe_once") });
    drop(probe.probe(&crate::server::target("a")));
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn a_service_keeps_its_typed_errors_and_its_middleware() {
    use equipoise_health::probe::probe_service;
    use tower::{ServiceBuilder, service_fn};

    let service = service_fn(|target: Target| async move {
        match &*target.address {
            "good" => Ok(()),
            "bad" => Err(Box::from(ProbeError::Unexpected("bad".into()))),
            _ => Err(tower::BoxError::from("worse")),
        }
    });
    let probe = probe_service(ServiceBuilder::new().map_request(|target| target).service(service));
    assert_eq!(probe_once(&probe, "good").await, Ok(ProbeOutcome::Passed));
    assert_eq!(probe_once(&probe, "bad").await, Err(ProbeError::Unexpected("bad".into())));
    assert_eq!(probe_once(&probe, "worse").await, Err(ProbeError::Failed("worse".into())));
}

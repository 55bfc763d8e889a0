//! Errors that the application classifies, and attempt timeouts.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use equipoise_core::{EndpointId, Failure, Verdict};
use equipoise_tower::{
    AttemptTimedOut, Balance, Classify, Error, ErrorClass, FailureStage, HttpProtocol, ResponseHead, Retryable,
    ServedBy,
};
use http::{Response, StatusCode};
use tokio::time::{Instant, sleep};

use crate::common::{Frames, Mock, answering, echo, failing, get, in_flight, mock, pool, post};

fn hanging() -> Mock {
    mock(|_| async {
        sleep(Duration::from_secs(3_600)).await;
        Ok(Response::new(Frames::default()))
    })
}

#[tokio::test]
async fn a_user_decides_which_errors_are_retried_and_what_they_count() {
    let broken = || failing(io::ErrorKind::InvalidData);
    for (protocol, served) in [
        (HttpProtocol::new(), None),
        (HttpProtocol::new().classify_error(|error| ErrorClass::of(error).retry(Retryable::IfIdempotent)), None),
        (HttpProtocol::new().classify_error(|error| ErrorClass::of(error).retry(Retryable::Always)), Some("b")),
        (HttpProtocol::new().classify_error(|_| ErrorClass::new(FailureStage::NotSent)), Some("b")),
    ] {
        let (pool, _) = pool(&[("a", broken()), ("b", echo())]);
        let outcome = Balance::with_protocol(pool, protocol).oneshot(post("order")).await;
        let by = outcome.as_ref().ok().and_then(|response| response.extensions().get::<ServedBy>());
        assert_eq!(by.map(|by| by.0.as_str()), served);
    }
}

#[tokio::test]
async fn a_classifier_sees_errors_too() {
    struct Ours;
    impl Classify for Ours {
        fn response(&self, _: ResponseHead<'_>) -> Option<Verdict> {
            Some(Verdict::Success)
        }

        fn error(&self, error: &(dyn std::error::Error + 'static)) -> ErrorClass {
            ErrorClass::of(error).verdict(Verdict::Failure(Failure::Gateway))
        }
    }
    let (pool, recorder) = pool(&[("a", failing(io::ErrorKind::InvalidData))]);
    let protocol = HttpProtocol::new().classify(Ours);
    Balance::with_protocol(pool, protocol).oneshot(get()).await.unwrap_err();
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Gateway))]);
}

#[tokio::test]
async fn the_status_follows_the_users_class() {
    let (pool, _) = pool(&[("a", failing(io::ErrorKind::InvalidData))]);
    let protocol = HttpProtocol::new().classify_error(|_| ErrorClass::new(FailureStage::TimedOut));
    let error = Balance::with_protocol(pool, protocol).oneshot(get()).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_classifier_of_errors_that_panics_leaves_the_default() {
    let (pool, _) = pool(&[("a", failing(io::ErrorKind::ConnectionRefused)), ("b", echo())]);
    let protocol = HttpProtocol::new().classify_error(|_| panic!("a bug in the classifier"));
    assert!(Balance::with_protocol(pool, protocol).oneshot(post("order")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_goes_elsewhere_if_the_request_is_idempotent() {
    let (pool, recorder) = pool(&[("a", hanging()), ("b", answering(Response::new(Frames::default())))]);
    let balance = Balance::new(pool.clone()).attempt_timeout(Duration::from_secs(2));
    let start = Instant::now();
    let response = balance.clone().oneshot(get()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    assert_eq!(recorder.verdicts()[0], ("a".into(), Verdict::Failure(Failure::Timeout)));
    let error = balance.oneshot(post("order")).await.unwrap_err();
    assert_eq!((error.endpoint().map(EndpointId::as_str), error.attempts()), (Some("a"), 1));
    assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
    let Error::Endpoint { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.downcast_ref::<AttemptTimedOut>().map(|it| it.timeout), Some(Duration::from_secs(2)));
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn the_key_is_computed_once_for_all_attempts() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let refused = || failing(io::ErrorKind::ConnectionRefused);
    let (pool, recorder) = pool(&[("a", refused()), ("b", refused()), ("c", echo())]);
    let protocol = HttpProtocol::new().key(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Some(b"b".as_slice().into())
    });
    Balance::with_protocol(pool, protocol).oneshot(post("order")).await.unwrap();
    assert_eq!(recorder.admit(), ["b", "a", "c"]);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use equipoise_core::{EndpointId, Failure, Verdict};
use equipoise_tower::{Balance, Error, HttpProtocol, ServedBy};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Service, util::BoxCloneSyncService};

use crate::common::{Fault, Frames, Mock, Once, echo, failing, get, in_flight, mock, not_sent, pool, post};

/// A service that is never ready, so that every attempt fails before the request is sent.
#[derive(Clone)]
struct Broken;

impl Service<Request<Once>> for Broken {
    type Response = Response<Frames>;
    type Error = Fault;
    type Future = std::future::Pending<Result<Response<Frames>, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Err(io::Error::other("broken").into()))
    }

    fn call(&mut self, _: Request<Once>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test]
async fn a_service_that_fails_to_get_ready_leaves_the_request_for_another() {
    let (pool, recorder) = pool(&[("a", BoxCloneSyncService::new(Broken)), ("b", echo())]);
    let response = Balance::new(pool.clone()).oneshot(post("order")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
    let verdicts = [("a".into(), Verdict::Failure(Failure::Connect)), ("b".into(), Verdict::Success)];
    assert_eq!(recorder.verdicts(), verdicts);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn the_error_of_the_last_endpoint_is_kept_and_named() {
    let (pool, _) = pool(&[("a", failing(io::ErrorKind::ConnectionRefused)), ("b", BoxCloneSyncService::new(Broken))]);
    let error = Balance::new(pool.clone()).oneshot(post("order")).await.unwrap_err();
    assert_eq!(error.endpoint().map(EndpointId::as_str), Some("b"));
    assert!(matches!(&error, Error::Endpoint { source, .. } if source.to_string() == "broken"), "{error:?}");
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn a_post_that_a_service_says_it_has_not_sent_goes_elsewhere() {
    let (pool, _) = pool(&[("a", mock(|_| async { Err(not_sent().into()) })), ("b", echo())]);
    let response = Balance::new(pool).oneshot(post("order")).await.unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
}

#[tokio::test]
async fn a_body_that_the_failed_attempt_still_holds_when_it_ends_goes_elsewhere() {
    // The future of this service keeps the request until it is dropped, as futures that are written by hand do.
    let holding: Mock = mock(|request| {
        let held = request;
        poll_fn(move |_| {
            let _ = &held;
            Poll::Ready(Err(not_sent().into()))
        })
    });
    let (pool, _) = pool(&[("a", holding), ("b", echo())]);
    let response = Balance::new(pool).oneshot(post("order")).await.unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
}

#[tokio::test]
async fn only_failures_that_leave_no_doubt_are_followed_by_another_try() {
    for (kind, of_get, of_post) in [
        (io::ErrorKind::ConnectionRefused, true, true),
        (io::ErrorKind::ConnectionReset, true, false),
        (io::ErrorKind::TimedOut, false, false),
        (io::ErrorKind::InvalidData, false, false),
    ] {
        let (pool, _) = pool(&[("a", failing(kind)), ("b", echo())]);
        let balance = Balance::new(pool);
        assert_eq!(balance.clone().oneshot(get()).await.is_ok(), of_get, "GET after {kind}");
        assert_eq!(balance.clone().oneshot(post("order")).await.is_ok(), of_post, "POST after {kind}");
    }
}

#[tokio::test]
async fn four_endpoints_are_tried_by_default() {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let dead = mock(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Err(not_sent().into()) }
    });
    let (pool, recorder) = pool(&["a", "b", "c", "d", "e", "f"].map(|name| (name, dead.clone())));
    Balance::new(pool).oneshot(get()).await.unwrap_err();
    assert_eq!(tried.load(Ordering::SeqCst), 4);
    assert_eq!(recorder.admit(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_failed_endpoint_is_not_tried_again_although_it_is_the_only_one_left() {
    let (pool, recorder) = pool(&[("a", failing(io::ErrorKind::ConnectionRefused))]);
    let balance = Balance::with_protocol(pool, HttpProtocol::new().idempotent(|_| true)).max_attempts(9);
    balance.oneshot(get()).await.unwrap_err();
    assert_eq!(recorder.admit(), ["a"]);
}

#[test]
fn a_balancer_can_be_shared_and_sent() {
    fn shared<S: Clone + Send + Sync + 'static>() {}
    shared::<Balance<Mock>>();
    fn sent<F: Send>(_: fn(Balance<Mock>) -> F) {}
    sent(|balance| balance.oneshot(get()));
}

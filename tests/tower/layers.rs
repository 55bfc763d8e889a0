//! Layers between the balancer and the endpoint: timeouts and load shedding.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Failure, Pool, Verdict,
    tower::{Balance, BalanceLayer, BoxError, ServedBy},
};
use equipoise_tests::{Backend, Peer, Recorder, Scripted, soon};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Layer, Service, ServiceExt, load_shed::LoadShed, service_fn, timeout::Timeout, util::BoxCloneSyncService};
use tower_http::timeout::TimeoutLayer;

use crate::setup::{client, get, in_flight, pool, request};

const SHORT: Duration = Duration::from_millis(50);

/// A server that accepts requests and never answers.
fn hanging() -> Scripted {
    Scripted::start(|mut peer: Peer| async move {
        peer.head().await?;
        peer.closed().await;
        Ok(())
    })
    .unwrap()
}

#[tokio::test]
async fn a_timeout_layer_makes_a_504_and_no_second_attempt() {
    let (a, b) = (hanging(), Backend::start("b").unwrap());
    let (pool, recorder) = pool(&[("a", a.address()), ("b", b.address())]);
    let error = soon(BalanceLayer::new(pool.clone()).layer(Timeout::new(client(), SHORT)).oneshot(get())).await;
    let error = error.unwrap_err();
    assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT, "{error:?}");
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Timeout))]);
    assert_eq!((b.served(), in_flight(&pool)), (0, vec![0, 0]));
}

#[tokio::test]
async fn tokios_timeout_makes_a_504() {
    let a = hanging();
    let (pool, recorder) = pool(&[("a", a.address())]);
    let client = client();
    let timed = service_fn(move |request: Request<Full<Bytes>>| {
        let sent = tokio::time::timeout(SHORT, client.request(request));
        async { Ok::<_, BoxError>(sent.await??) }
    });
    let error = soon(BalanceLayer::new(pool).layer(timed).oneshot(get())).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT, "{error:?}");
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(Failure::Timeout))]);
}

#[tokio::test]
async fn a_timeout_of_tower_http_counts_as_one_for_every_status() {
    for (status, failure) in
        [(StatusCode::REQUEST_TIMEOUT, Failure::Timeout), (StatusCode::GATEWAY_TIMEOUT, Failure::Gateway)]
    {
        let a = hanging();
        let (pool, recorder) = pool(&[("a", a.address())]);
        // The layer requires a body with a default.
        let boxed = client().map_response(|response: Response<Incoming>| response.map(BodyExt::boxed));
        let timed = TimeoutLayer::with_status_code(status, SHORT).layer(boxed);
        let response = soon(BalanceLayer::new(pool).layer(timed).oneshot(get())).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Failure(failure))]);
    }
}

/// A service that is never ready.
#[derive(Clone)]
struct Busy;

impl Service<Request<Full<Bytes>>> for Busy {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = std::future::Pending<Result<Response<Full<Bytes>>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        std::future::pending()
    }
}

type Target = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

fn shedding() -> Target {
    BoxCloneSyncService::new(LoadShed::new(Busy))
}

#[tokio::test]
async fn a_shed_request_goes_to_another_endpoint_and_counts_as_overload() {
    let idle = service_fn(|_| async { Ok::<_, BoxError>(Response::new(Full::from("b"))) });
    let recorder = Recorder::new();
    let pool = Pool::new(recorder.clone());
    pool.add(EndpointSpec::new("a"), shedding()).unwrap();
    pool.add(EndpointSpec::new("b"), BoxCloneSyncService::new(idle)).unwrap();
    let response = soon(Balance::new(pool).oneshot(request(Method::POST, "order"))).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("b".into())));
    assert_eq!(recorder.verdicts()[0], ("a".into(), Verdict::Overloaded { retry_after: None }));
}

#[tokio::test]
async fn a_request_that_all_endpoints_shed_is_a_503() {
    let pool = Pool::new(Recorder::new());
    pool.add(EndpointSpec::new("a"), shedding()).unwrap();
    let error = soon(Balance::new(pool).oneshot(request(Method::POST, "order"))).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{error:?}");
}

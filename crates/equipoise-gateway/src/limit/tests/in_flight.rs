//! Limits of requests at the same time: permits are given back exactly once, however a request ends.

use std::convert::Infallible;

use bytes::Bytes;
use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use equipoise_tower::{Balance, TunnelLease};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, Full, channel::Channel};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::{field, from, with};
use crate::{
    DenialCode,
    limit::{InFlightLayer, InFlightStats, LimitKey, MissingKey},
};

fn now(layer: &InFlightLayer) -> (u64, u64) {
    let InFlightStats { in_flight, keys, .. } = layer.stats();
    (in_flight, keys)
}

#[tokio::test]
async fn a_permit_is_held_until_the_body_has_ended() {
    let layer = InFlightLayer::per_client(1).expect("a layer");
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
    let body = std::sync::Arc::new(parking_lot::Mutex::new(Some(body)));
    let service = layer.layer(service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(body.lock().take().expect("one request"))))
    }));
    let first = service.clone().oneshot(from("192.0.2.7")).await.expect("a response");
    assert_eq!(now(&layer), (1, 1));
    let denied = service.clone().oneshot(from("192.0.2.7")).await.expect("a response");
    assert_eq!((denied.status().as_u16(), field(&denied, "retry-after")), (429, None));
    assert_eq!(denied.extensions().get(), Some(&DenialCode("too_many_in_flight")));
    sender.send_data(Bytes::from("a")).await.expect("sent");
    let mut body = first.into_body();
    assert!(body.frame().await.expect("a frame").is_ok());
    assert_eq!(now(&layer), (1, 1));
    drop(sender);
    assert!(body.frame().await.is_none());
    assert_eq!(now(&layer), (0, 0));
    drop(body);
    assert_eq!(now(&layer), (0, 0));
    assert_eq!((layer.stats().admitted, layer.stats().denied), (1, 1));
}

#[tokio::test]
async fn a_permit_is_given_back_if_the_request_is_cancelled_or_fails() {
    let layer = InFlightLayer::per_client(1).expect("a layer");
    let hanging = layer.layer(service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Infallible>>()));
    let mut request = Box::pin(hanging.clone().oneshot(from("192.0.2.7")));
    assert!(futures_poll(&mut request).is_none());
    assert_eq!(now(&layer), (1, 1));
    drop(request);
    assert_eq!(now(&layer), (0, 0));
    // Not polled at all.
    drop(hanging.oneshot(from("192.0.2.7")));
    assert_eq!(now(&layer), (0, 0));
    let failing = layer.layer(service_fn(async |_: Request<()>| Err::<Response<()>, _>("failed")));
    let mut failed = Box::pin(failing.oneshot(from("192.0.2.7")));
    assert!(futures_poll(&mut failed).is_some_and(|result| result.is_err()));
    assert_eq!(now(&layer), (0, 0));
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_gives_the_permit_back() {
    let layer = InFlightLayer::per_client(2).expect("a layer");
    let service =
        layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("a")))));
    let mut responses = Vec::new();
    for (address, status) in [("192.0.2.7", 200), ("192.0.2.8", 200), ("::ffff:192.0.2.7", 200), ("192.0.2.7", 429)] {
        let response = service.clone().oneshot(from(address)).await.expect("a response");
        assert_eq!(response.status(), status);
        responses.push(response);
    }
    assert_eq!(now(&layer), (3, 2));
    responses.truncate(1);
    assert_eq!(now(&layer), (1, 1));
    drop(responses);
    assert_eq!(now(&layer), (0, 0));
}

#[tokio::test]
async fn a_tunnel_holds_the_permit_until_it_ends() {
    let pool = Pool::new(RoundRobin::new());
    let endpoint =
        service_fn(async |_: Request<Full<Bytes>>| Response::builder().status(101).body(Full::<Bytes>::default()));
    pool.add(EndpointSpec::new("a:80"), endpoint).expect("a pool");
    let layer = InFlightLayer::per_client(1).expect("a layer");
    let service = layer.layer(Balance::new(pool));
    let request = || from("192.0.2.7").map(|()| Full::<Bytes>::default());
    let mut response = service.clone().oneshot(request()).await.expect("a response");
    let tunnel: TunnelLease = response.extensions_mut().remove().expect("a tunnel");
    drop(response);
    assert_eq!(service.clone().oneshot(request()).await.expect("a response").status(), 429);
    assert_eq!(now(&layer), (1, 1));
    drop(tunnel);
    assert_eq!(now(&layer), (0, 0));
    // A tunnel that is not opened.
    drop(service.oneshot(request()).await.expect("a response"));
    assert_eq!(now(&layer), (0, 0));
}

#[tokio::test]
async fn many_keys_leave_nothing_behind() {
    let key = LimitKey::header(HeaderName::from_static("x-key"));
    let layer = InFlightLayer::builder(key, 1).missing(MissingKey::Skip).build().expect("a layer");
    let service =
        layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("a")))));
    let mut responses = Vec::new();
    for key in 0..5_000 {
        responses.push(service.clone().oneshot(with("x-key", &key.to_string())).await.expect("a response"));
    }
    assert_eq!(now(&layer), (5_000, 5_000));
    let skipped = service.oneshot(with("other", "x")).await.expect("a response");
    assert_eq!((skipped.status().as_u16(), now(&layer)), (200, (5_000, 5_000)));
    drop(responses);
    assert_eq!(now(&layer), (0, 0));
}

#[test]
fn a_limit_of_zero_is_refused() {
    assert!(InFlightLayer::per_client(0).is_err());
}

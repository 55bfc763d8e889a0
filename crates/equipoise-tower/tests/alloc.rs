//! The memory allocations of calls over HTTP.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use bytes::Bytes;
use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use equipoise_tower::{Balance, HttpProtocol, Observe, Replay, Replayable};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use tower::service_fn;

struct Disabled;

impl Observe for Disabled {
    fn is_enabled(&self) -> bool {
        false
    }
}

/// The allocations of one call whose service takes all frames of the body before it responds.
fn of_call<B>(body: impl Fn() -> B, endpoints: usize, max_replay_bytes: usize) -> u64
where
    B: Replay<Kept: Send> + Body<Data = Bytes> + Send + Unpin + 'static,
{
    let pool = Pool::new(RoundRobin::new());
    let take = |request: Request<B>| async move {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            drop(frame);
        }
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    };
    pool.update((0..endpoints).map(|at| EndpointSpec::new(at.to_string())), |_| service_fn(take)).unwrap();
    // An observer that is not enabled must not cost anything.
    let protocol = HttpProtocol::new().max_replay_bytes(max_replay_bytes);
    let mut balance = Balance::with_protocol(pool, protocol).observe(Disabled);
    let mut call = |request: Request<B>| {
        let polled = pin!(balance.call(request)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(_))));
    };
    // The first call initializes state.
    call(Request::new(body()));
    let request = Request::new(body());
    measure(|| call(request)).count_total
}

fn boxed(body: &'static str) -> impl Fn() -> BoxBody<Bytes, Infallible> {
    move || Full::from(body).boxed()
}

#[test]
fn a_call_without_a_body_allocates_only_the_name_of_the_endpoint() {
    // The extension `ServedBy`: the map of the extensions, its table, and the value.
    assert_eq!(of_call(Empty::<Bytes>::new, 1, 0), 3);
}

#[test]
fn a_frame_that_is_kept_allocates_nothing() {
    for endpoints in [1, 2] {
        let kept = of_call(|| Replayable::new(Full::from("order")), endpoints, 64 * 1024);
        assert_eq!(kept, of_call(|| Replayable::new(Full::from("order")), endpoints, 0), "{endpoints}");
        assert_eq!(of_call(boxed("order"), endpoints, 64 * 1024), of_call(boxed("order"), endpoints, 0), "{endpoints}");
    }
}

#[test]
fn a_body_costs_one_allocation_if_there_is_another_endpoint_and_none_if_it_is_empty() {
    let copied = of_call(|| Full::from("order"), 2, 64 * 1024);
    assert_eq!(of_call(|| Replayable::new(Full::from("order")), 2, 64 * 1024), copied + 1);
    assert_eq!(of_call(|| Replayable::new(Full::from("")), 2, 64 * 1024), copied);
    // Includes the box that holds the body during the attempt.
    let boxed_alone = of_call(boxed("order"), 1, 64 * 1024);
    let empty_alone = of_call(boxed(""), 1, 64 * 1024);
    let head = copied - of_call(|| Full::from("order"), 1, 64 * 1024);
    assert_eq!(of_call(boxed("order"), 2, 64 * 1024), boxed_alone + head + 2);
    assert_eq!(of_call(boxed(""), 2, 64 * 1024), empty_alone + head);
}

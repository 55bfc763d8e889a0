//! What a balancer counts in its pool: retries, failovers, and requests without an attempt.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use equipoise_core::{EndpointSpec, PickRequest, Pool, RoundRobin};
use equipoise_tower::Balance;
use http::{Request, Response};
use tokio::task::yield_now;
use tower::{Service, util::BoxCloneSyncService};

use crate::common::{Fault, Frames, Mock, Once, answering, failing, get, in_flight, pool};

fn ok() -> Mock {
    answering(Response::new(Frames::default()))
}

/// A service that is never ready.
#[derive(Clone)]
struct Unready;

impl Service<Request<Once>> for Unready {
    type Response = Response<Frames>;
    type Error = Fault;
    type Future = std::future::Pending<Result<Response<Frames>, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Once>) -> Self::Future {
        std::future::pending()
    }
}

/// Returns the numbers of requests, attempts, retries and failovers, and the reasons of requests without an attempt.
fn counted<T>(pool: &Pool<T>) -> ([u64; 4], Vec<(&'static str, u64)>) {
    let stats = pool.stats();
    let unserved = stats.unserved.iter().copied().filter(|(_, count)| *count > 0).collect();
    ([stats.requests(), stats.attempts.total, stats.retries, stats.failovers], unserved)
}

#[tokio::test]
async fn a_request_that_is_sent_once_counts_no_retry() {
    let (pool, _) = pool(&[("a", ok()), ("b", ok())]);
    drop(Balance::new(pool.clone()).oneshot(get()).await.unwrap());
    assert_eq!(counted(&pool), ([1, 1, 0, 0], vec![]));
}

#[tokio::test]
async fn each_attempt_after_the_first_is_a_retry_and_each_endpoint_that_is_left_a_failover() {
    let refused = io::ErrorKind::ConnectionRefused;
    let (pool, _) = pool(&[("a", failing(refused)), ("b", failing(refused)), ("c", ok())]);
    drop(Balance::new(pool.clone()).oneshot(get()).await.unwrap());
    assert_eq!(counted(&pool), ([1, 3, 2, 2], vec![]));
    Balance::new(pool.clone()).max_attempts(2).oneshot(get()).await.unwrap_err();
    assert_eq!(counted(&pool), ([2, 5, 3, 3], vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_left_because_it_is_not_ready_counts_as_an_attempt() {
    let (pool, _) = pool(&[("a", BoxCloneSyncService::new(Unready)), ("b", ok())]);
    let balance = Balance::new(pool.clone());
    // The first request waits for the service. The second one does not.
    for requests in 1..=2 {
        drop(balance.clone().oneshot(get()).await.unwrap());
        assert_eq!(counted(&pool), ([requests, 2 * requests, requests, requests], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_attempt_counts_with_its_reason() {
    let pool: Pool<Mock> = Pool::new(RoundRobin::new());
    let balance = Balance::new(pool.clone());
    balance.clone().oneshot(get()).await.unwrap_err();
    pool.add(EndpointSpec::new("a").max_in_flight(1), ok()).unwrap();
    let held = pool.pick(&PickRequest::new()).unwrap();
    balance.clone().oneshot(get()).await.unwrap_err();
    let waits = balance.queue_timeout(Duration::from_secs(1));
    waits.clone().oneshot(get()).await.unwrap_err();
    // The lease that is held is no request yet.
    assert_eq!(counted(&pool), ([3, 1, 0, 0], vec![("empty", 1), ("saturated", 2)]));

    // Given up while it waits.
    let request = tokio::spawn(waits.clone().oneshot(get()));
    yield_now().await;
    assert_eq!(pool.stats().waiting, 1);
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    let reasons = vec![("empty", 1), ("saturated", 2), ("cancelled", 1)];
    assert_eq!(counted(&pool), ([4, 1, 0, 0], reasons));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_counts_by_its_first_attempt_only() {
    let pool: Pool<Mock> = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new("a").max_in_flight(1), ok()).unwrap();
    let held = pool.pick(&PickRequest::new()).unwrap();
    let request = tokio::spawn(Balance::new(pool.clone()).queue_timeout(Duration::from_secs(1)).oneshot(get()));
    yield_now().await;
    drop(held);
    drop(request.await.unwrap().unwrap());
    assert_eq!((counted(&pool), pool.stats().queued), (([2, 2, 0, 0], vec![]), 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_after_an_attempt_counts_once_whatever_becomes_of_it() {
    let pool: Pool<Mock> = Pool::new(RoundRobin::new());
    pool.add(EndpointSpec::new("b").max_in_flight(1), ok()).unwrap();
    let balance = Balance::new(pool.clone()).queue_timeout(Duration::from_secs(1));
    for is_served in [true, false] {
        let held = pool.pick(&PickRequest::new()).unwrap();
        pool.add(EndpointSpec::new("a"), failing(io::ErrorKind::ConnectionRefused)).unwrap();
        let request = tokio::spawn(balance.clone().oneshot(get()));
        yield_now().await;
        assert_eq!(pool.stats().waiting, 1);
        if is_served {
            drop(held);
        }
        assert_eq!(request.await.unwrap().is_ok(), is_served);
        pool.remove("a").unwrap();
    }
    // Two leases that were held, two requests with a failed attempt, and one with a second attempt.
    assert_eq!(counted(&pool), ([4, 5, 1, 2], vec![]));
    assert_eq!(in_flight(&pool), [0]);
}

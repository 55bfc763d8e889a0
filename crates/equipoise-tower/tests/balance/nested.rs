//! Nested balancers, such as regions and their servers.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use equipoise_core::{EndpointSpec, Failure, Pool, Verdict};
use equipoise_tower::{Balance, BalanceLayer, BoxError, Error, FailureStage, HttpProtocol, Replayable, ServedBy};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{
    Layer, service_fn,
    util::{BoxCloneSyncService, MapErr},
};

use crate::common::{Mock, echo, failing, in_flight, mock, not_sent, pool, post};

type Wrapped = Replayable<Full<Bytes>>;
type Server = BoxCloneSyncService<Request<Wrapped>, Response<Full<Bytes>>, BoxError>;

fn alive() -> Server {
    BoxCloneSyncService::new(service_fn(|request: Request<Wrapped>| async {
        Ok(Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
    }))
}

fn dead() -> Server {
    BoxCloneSyncService::new(service_fn(|_| async { Err(not_sent().into()) }))
}

fn wrapped(body: &'static str) -> Request<Wrapped> {
    Request::post("http://orders/").body(Replayable::new(Full::from(body))).unwrap()
}

#[tokio::test]
async fn failover_within_a_region_keeps_the_body() {
    let (east, _) = pool(&[("e1", dead()), ("e2", dead()), ("e3", alive())]);
    let (regions, recorder) = pool(&[("east", Balance::new(east)), ("west", Balance::new(pool(&[("w1", alive())]).0))]);
    let response = Balance::new(regions.clone()).oneshot(wrapped("order")).await.unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
    assert_eq!(recorder.verdicts(), [("east".into(), Verdict::Success)]);
    assert_eq!(in_flight(&regions), [0, 0]);
}

#[tokio::test]
async fn failover_across_regions_keeps_the_body() {
    for east in [vec![("e1", dead())], vec![("e1", dead()), ("e2", dead()), ("e3", dead())]] {
        let (east, _) = pool(&east);
        let (west, _) = pool(&[("w1", dead()), ("w2", alive())]);
        let (regions, _) = pool(&[("east", Balance::new(east.clone())), ("west", Balance::new(west.clone()))]);
        let response = Balance::new(regions.clone()).oneshot(wrapped("order")).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&ServedBy("west".into())));
        assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
        assert!(
            in_flight(&east).into_iter().chain(in_flight(&west)).chain(in_flight(&regions)).all(|count| count == 0)
        );
    }
}

#[tokio::test]
async fn boxed_bodies_cross_regions_too() {
    let (east, _) = pool::<Mock>(&[
        ("e1", mock(|_| async { Err(not_sent().into()) })),
        ("e2", failing(io::ErrorKind::ConnectionRefused)),
    ]);
    let (regions, _) = pool(&[("east", Balance::new(east)), ("west", Balance::new(pool(&[("w1", echo())]).0))]);
    let response = Balance::new(regions).oneshot(post("order")).await.unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
}

#[tokio::test]
async fn a_region_without_servers_has_not_sent_anything() {
    let empty = Pool::default();
    let in_maintenance = Pool::default();
    in_maintenance.add(EndpointSpec::new("c1"), alive()).unwrap();
    in_maintenance.set_availability("c1", equipoise_core::Availability::Maintenance).unwrap();
    for region in [empty, in_maintenance] {
        let west = Balance::new(pool(&[("w1", alive())]).0);
        let (regions, _) = pool(&[("east", Balance::new(region)), ("west", west)]);
        let response = Balance::new(regions).oneshot(wrapped("order")).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&ServedBy("west".into())));
        assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
    }
}

/// Creates a balancer over four endpoints, each of which is a clone of `inner`.
fn level<T: Clone + Send + Sync + 'static>(inner: T, tries: usize) -> Balance<T> {
    let targets: Vec<_> = ["1", "2", "3", "4"].map(|name| (name, inner.clone())).into();
    Balance::new(pool(&targets).0).max_attempts(tries)
}

/// A server that refuses every request, and the number of requests that it got.
fn counting() -> (Server, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = service_fn(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err(not_sent().into()) }
    });
    (BoxCloneSyncService::new(server), count)
}

#[tokio::test]
async fn attempts_of_nested_balancers_add_up_and_do_not_multiply() {
    let (server, count) = counting();
    let attempts = || count.swap(0, Ordering::Relaxed);
    level(server.clone(), 4).oneshot(wrapped("order")).await.unwrap_err();
    assert_eq!(attempts(), 4);
    level(level(server.clone(), 4), 4).oneshot(wrapped("order")).await.unwrap_err();
    assert_eq!(attempts(), 4 + 3);
    level(level(level(server, 4), 4), 4).oneshot(wrapped("order")).await.unwrap_err();
    assert_eq!(attempts(), 4 + 3 + 3);
}

#[tokio::test]
async fn retries_whose_error_is_lost_are_made_twice_and_not_for_each_attempt() {
    let (server, count) = counting();
    let opaque = MapErr::new(level(server, 4), |_: Error| BoxError::from(not_sent()));
    level(opaque, 4).oneshot(wrapped("order")).await.unwrap_err();
    // The first attempt with its three retries, then three attempts that share three retries.
    assert_eq!(count.load(Ordering::Relaxed), 4 + 3 + 3);
}

#[tokio::test]
async fn a_balancer_that_does_not_retry_leaves_the_retries_to_those_below() {
    for (outer, inner, attempts) in [(1, 4, 4), (1, 1, 1), (2, 4, 2 + 3), (4, 1, 4), (4, 2, 4 + 1)] {
        let (server, count) = counting();
        level(level(server, inner), outer).oneshot(wrapped("order")).await.unwrap_err();
        assert_eq!(count.load(Ordering::Relaxed), attempts, "{outer} tries over {inner}");
    }
}

#[tokio::test]
async fn each_request_has_retries_of_its_own() {
    let (server, count) = counting();
    let nested = level(level(server, 4), 4);
    for requests in 1..=3 {
        nested.clone().oneshot(wrapped("order")).await.unwrap_err();
        assert_eq!(count.load(Ordering::Relaxed), 7 * requests);
    }
}

/// If `processes`, a server that reads and counts each request and then loses the connection. Otherwise, a server that
/// refuses every request.
fn counted(processes: bool, count: &Arc<AtomicUsize>) -> Server {
    let count = Arc::clone(count);
    BoxCloneSyncService::new(service_fn(move |request: Request<Wrapped>| {
        let count = Arc::clone(&count);
        async move {
            if !processes {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
            drop(request);
            count.fetch_add(1, Ordering::Relaxed);
            Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
        }
    }))
}

#[tokio::test]
async fn a_refused_retry_does_not_hide_that_a_region_may_have_processed_the_request() {
    let count = Arc::new(AtomicUsize::new(0));
    let region = || {
        let (servers, _) = pool(&[("x", counted(true, &count)), ("y", counted(false, &count))]);
        Balance::with_protocol(servers, HttpProtocol::new().idempotent(|_| true))
    };
    let (regions, recorder) = pool(&[("east", region()), ("west", region()), ("north", region())]);
    let error = Balance::new(regions).oneshot(wrapped("order")).await.unwrap_err();
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let outer = |error: &Error| match error {
        Error::Endpoint { stage, attempts, maybe_processed, .. } => (*stage, *attempts, *maybe_processed),
        _ => panic!("{error:?}"),
    };
    assert_eq!(outer(&error), (FailureStage::NoResponse, 1, true));
    assert_eq!(recorder.verdicts(), [("east".into(), Verdict::Failure(Failure::Transport))]);
    // If the request is also idempotent for the outer balancer, it goes to another region.
    let (regions, _) = pool(&[("east", region()), ("west", Balance::new(pool(&[("w1", alive())]).0))]);
    let idempotent = Balance::with_protocol(regions, HttpProtocol::new().idempotent(|_| true));
    assert_eq!(idempotent.oneshot(wrapped("order")).await.unwrap().extensions().get(), Some(&ServedBy("west".into())));
}

#[tokio::test]
async fn refused_attempts_of_a_region_alone_send_the_request_elsewhere() {
    let (east, _) = pool(&[("e1", dead()), ("e2", dead())]);
    let error = Balance::new(east).oneshot(wrapped("order")).await.unwrap_err();
    assert!(matches!(error, Error::Endpoint { attempts: 2, maybe_processed: false, .. }), "{error:?}");
    assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
}

#[tokio::test]
async fn an_invalid_address_after_an_attempt_does_not_hide_it_either() {
    let count = Arc::new(AtomicUsize::new(0));
    let (servers, _) = pool(&[("10.0.0.1:80", ()), ("no-such-address", ())]);
    let layer = BalanceLayer::with_protocol(servers, HttpProtocol::new().idempotent(|_| true));
    let error = layer.layer(counted(true, &count)).oneshot(wrapped("order")).await.unwrap_err();
    assert!(matches!(error, Error::Address { attempts: 2, maybe_processed: true, .. }), "{error:?}");
    assert_eq!(FailureStage::of(&error), FailureStage::NoResponse);
}

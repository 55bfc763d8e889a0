//! Placements: decisions about a request that a layer above the balancer has made.

use std::{io, time::Duration};

use equipoise_core::{
    Availability, Binding, BindingOutcome, EndpointId, EndpointSpec, MissReason, PickError, Pool, RoundRobin,
};
use equipoise_tower::{Balance, Error, Placement, ServedBy, TunnelLease};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::common::{Frames, Mock, Once, answering, failing, get, in_flight};

fn ok() -> Mock {
    answering(Response::new(Frames::default().data("a")))
}

fn pool_of(ids: &[&str]) -> Pool<Mock> {
    let pool = Pool::new(RoundRobin::new());
    pool.update(ids.iter().map(EndpointSpec::new), |_| ok()).unwrap();
    pool
}

fn placed(placement: Placement) -> Request<Once> {
    let mut request = get();
    request.extensions_mut().insert(placement);
    request
}

fn bound(binding: Binding) -> Request<Once> {
    placed(Placement::new().binding(binding))
}

fn reported(response: &Response<impl Sized>) -> (&str, BindingOutcome) {
    let ServedBy(id) = response.extensions().get().unwrap();
    (id.as_str(), response.extensions().get().copied().unwrap_or_default())
}

#[tokio::test]
async fn a_binding_is_kept_and_the_response_says_so() {
    let balance = Balance::new(pool_of(&["a", "b", "c"]));
    for _ in 0..3 {
        let response = balance.clone().oneshot(bound(Binding::to("c"))).await.unwrap();
        assert_eq!(reported(&response), ("c", BindingOutcome::Kept));
    }
    let response = balance.oneshot(get()).await.unwrap();
    assert_eq!(response.extensions().get::<BindingOutcome>(), None, "nothing was preferred");
}

#[tokio::test]
async fn an_endpoint_that_fails_a_bound_request_is_missed_by_the_next_try() {
    let pool = pool_of(&["a", "b"]);
    pool.remove("b").unwrap();
    pool.add(EndpointSpec::new("b"), failing(io::ErrorKind::ConnectionRefused)).unwrap();
    let balance = Balance::new(pool);
    let response = balance.clone().oneshot(bound(Binding::to("b").session(b"s"))).await.unwrap();
    assert_eq!(reported(&response), ("a", BindingOutcome::Missed(MissReason::Excluded)));
    let error = balance.oneshot(bound(Binding::to("b").strict())).await.unwrap_err();
    assert_eq!(error.endpoint().map(EndpointId::as_str), Some("b"), "strict: no other endpoint is tried");
    assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test(start_paused = true)]
async fn a_strict_binding_fails_at_once_or_waits_as_long_as_the_request_may() {
    let pool = pool_of(&["a", "b"]);
    pool.set_availability("b", Availability::Maintenance).unwrap();
    let balance = Balance::new(pool.clone());
    let strict = || Placement::new().binding(Binding::to("b").strict());
    let in_maintenance =
        |error: &Error| matches!(error, Error::Pick(PickError::Bound { missed: MissReason::Maintenance, .. }));
    let error = balance.clone().oneshot(placed(strict())).await.unwrap_err();
    assert!(in_maintenance(&error), "{error:?}");
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);

    let started = Instant::now();
    let patience = Duration::from_secs(5);
    let error = balance.clone().oneshot(placed(strict().queue_timeout(patience))).await.unwrap_err();
    assert!(in_maintenance(&error), "{error:?}");
    assert_eq!(started.elapsed().as_secs(), 5);

    let waits = balance.oneshot(placed(strict().queue_timeout(patience)));
    let comes_up = async { pool.set_availability("b", Availability::Up).unwrap() };
    let (response, _) = tokio::join!(waits, comes_up);
    assert_eq!(reported(&response.unwrap()), ("b", BindingOutcome::Kept));
}

#[tokio::test]
async fn the_lease_of_a_tunnel_lasts_until_its_extension_is_dropped() {
    let pool = pool_of(&["a"]);
    pool.remove("a").unwrap();
    let mut switching = Response::new(Frames::default());
    *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    pool.add(EndpointSpec::new("a"), answering(switching)).unwrap();
    let mut response = Balance::new(pool.clone()).oneshot(get()).await.unwrap();
    let lease: TunnelLease = response.extensions_mut().remove().unwrap();
    drop(response);
    assert_eq!(in_flight(&pool), [1]);
    pool.drain("a").unwrap();
    let idle = tokio::spawn(pool.idle("a"));
    tokio::task::yield_now().await;
    assert!(!idle.is_finished(), "the tunnel is still there");
    drop(lease);
    idle.await.unwrap();
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn the_lease_of_a_tunnel_holds_values_until_its_last_clone_is_dropped() {
    let mut switching = Response::new(Frames::default());
    *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let pool = pool_of(&[]);
    pool.add(EndpointSpec::new("a"), answering(switching)).unwrap();
    let mut response = Balance::new(pool).oneshot(get()).await.unwrap();
    let held = std::sync::Arc::new(());
    response.extensions_mut().get_mut::<TunnelLease>().unwrap().hold(held.clone());
    let clone = response.extensions().get::<TunnelLease>().cloned();
    drop(response);
    assert_eq!(std::sync::Arc::strong_count(&held), 2);
    drop(clone);
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn tunnels_and_bodies_report_that_their_endpoint_drains_and_closes() {
    let mut switching = Response::new(Frames::default());
    *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let pool = pool_of(&[]);
    pool.add(EndpointSpec::new("a"), answering(switching)).unwrap();
    pool.add(EndpointSpec::new("b"), answering(Response::new(Frames::default().data("1").data("2")))).unwrap();
    let to = |id: &'static str| Balance::new(pool.clone()).oneshot(placed(Placement::new().binding(Binding::to(id))));
    let tunnel: TunnelLease = to("a").await.unwrap().extensions_mut().remove().unwrap();
    let mut streaming = to("b").await.unwrap();
    let body = streaming.body();
    for (id, draining, closing) in [
        ("a", tunnel.draining(), tunnel.closing()),
        ("b", body.draining().expect("it has not ended"), body.closing().expect("it has not ended")),
    ] {
        let (draining, closing) = (tokio::spawn(draining), tokio::spawn(closing));
        pool.drain(id).unwrap();
        draining.await.unwrap();
        assert!(!closing.is_finished(), "{id} only drains");
        pool.remove(id).unwrap();
        closing.await.unwrap();
    }
    while streaming.frame().await.is_some() {}
    assert!(streaming.body().closing().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_one_endpoint_does_not_delay_others() {
    let pool = pool_of(&["a", "b"]);
    pool.set_max_in_flight_all([("a", Some(1)), ("b", Some(1))]).unwrap();
    let balance = Balance::new(pool.clone());
    let to = |id: &'static str| {
        let placement = Placement::new().binding(Binding::to(id).strict()).queue_timeout(Duration::from_secs(60));
        tokio::spawn(balance.clone().oneshot(placed(placement)))
    };
    let a = balance.clone().oneshot(bound(Binding::to("a"))).await.unwrap();
    let b = balance.clone().oneshot(bound(Binding::to("b"))).await.unwrap();
    // The requests wait in this order. If only the first one were woken, the second would not be served.
    let for_a = to("a");
    tokio::task::yield_now().await;
    let for_b = to("b");
    tokio::task::yield_now().await;
    let started = Instant::now();
    drop(b);
    assert_eq!(reported(&for_b.await.unwrap().unwrap()).0, "b");
    assert_eq!(started.elapsed(), Duration::ZERO, "at once, and not when the other has given up");
    drop(a);
    assert_eq!(reported(&for_a.await.unwrap().unwrap()).0, "a");
}

#[tokio::test]
async fn a_binding_applies_to_the_outer_balancer_only() {
    let zone = |id: &str| {
        let hosts = Pool::new(RoundRobin::new());
        let names = ["x", "y"].map(|name| EndpointSpec::new(format!("{id}-{name}")));
        hosts.update(names, |_| ok()).unwrap();
        Balance::new(hosts)
    };
    let zones = Pool::new(RoundRobin::new());
    zones.update(["one", "two"].map(EndpointSpec::new), |spec| zone(spec.id().as_str())).unwrap();
    let balance = Balance::new(zones);
    for _ in 0..2 {
        let response = balance.clone().oneshot(bound(Binding::to("two").strict())).await.unwrap();
        assert_eq!(reported(&response), ("two", BindingOutcome::Kept));
    }
    let response = balance.oneshot(get()).await.unwrap();
    assert_eq!(response.extensions().get::<BindingOutcome>(), None);
}

#[tokio::test]
async fn a_key_does_not_lead_back_to_an_excluded_endpoint() {
    let (pool, _) = crate::common::pool(&[("a", ok()), ("b", ok()), ("c", ok())]);
    let balance = Balance::new(pool);
    let keyed = || Placement::new().key("b");
    for (excluded, served_by) in [(&[][..], "b"), (&["b"], "a"), (&["b", "a"], "c")] {
        let request = placed(keyed().exclude(excluded.iter().copied()));
        assert_eq!(reported(&balance.clone().oneshot(request).await.unwrap()).0, served_by);
    }
    let error = balance.oneshot(placed(keyed().exclude(["a", "b", "c"]))).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Excluded)), "{error:?}");
}

#[tokio::test]
async fn a_binding_to_an_excluded_endpoint_is_missed() {
    let balance = Balance::new(pool_of(&["a", "b"]));
    let request = placed(Placement::new().binding(Binding::to("b")).exclude(["b"]));
    let response = balance.oneshot(request).await.unwrap();
    assert_eq!(reported(&response), ("a", BindingOutcome::Missed(MissReason::Excluded)));
}

#[tokio::test]
async fn excluded_endpoints_are_no_attempts() {
    let (pool, _) = crate::common::pool(&[
        ("a", ok()),
        ("b", failing(io::ErrorKind::ConnectionRefused)),
        ("c", failing(io::ErrorKind::ConnectionRefused)),
    ]);
    let error = Balance::new(pool).max_attempts(2).oneshot(placed(Placement::new().exclude(["a"]))).await.unwrap_err();
    assert_eq!((error.attempts(), error.endpoint().map(EndpointId::as_str)), (2, Some("c")));
}

#[test]
fn a_placement_is_completed_by_an_earlier_one() {
    let earlier = Placement::new().key("earlier").queue_timeout(Duration::from_secs(1)).exclude(["a"]);
    let both = Placement::new().key("later").exclude(["b"]).or(earlier);
    let pool = pool_of(&["a", "b", "c"]);
    let ServedBy(id) = ServedBy(pool.pick(&both.request()).unwrap().endpoint().id().clone());
    assert_eq!(id.as_str(), "c");
    assert!(!both.is_empty());
    assert!(Placement::new().or(Placement::new()).is_empty());
}

//! The futures `Lease::draining` and `Lease::closing` complete when the endpoint drains or leaves.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use equipoise_core::{Availability, Closing, EndpointSpec, Lease, PickRequest, Pool, RoundRobin};

fn pool(ids: &[&str]) -> Pool<()> {
    let pool = Pool::new(RoundRobin::new());
    pool.update(ids.iter().map(|id| EndpointSpec::new(*id)), |_| ()).expect("valid endpoints");
    pool
}

fn lease(pool: &Pool<()>, id: &str) -> Lease<()> {
    let id = id.into();
    pool.pick(&PickRequest::new().prefer(&id)).expect("the preferred endpoint")
}

fn is_over(closing: &mut Closing) -> bool {
    Pin::new(closing).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

/// Returns whether the lease's `draining` and `closing` futures are complete at the first poll.
fn completed(lease: &Lease<()>) -> (bool, bool) {
    (is_over(&mut lease.draining()), is_over(&mut lease.closing()))
}

#[test]
fn each_availability_is_reported_to_held_leases() {
    let pool = pool(&["a", "b"]);
    let lease = lease(&pool, "a");
    assert_eq!(completed(&lease), (false, false));
    for (availability, expected) in [
        (Availability::Unhealthy, (false, false)),
        (Availability::Probation, (false, false)),
        (Availability::Draining, (true, false)),
        (Availability::Maintenance, (true, true)),
        (Availability::Up, (false, false)),
    ] {
        pool.set_availability("a", availability).expect("a member");
        assert_eq!(completed(&lease), expected, "{availability}");
    }
    pool.remove("b").expect("a member");
    assert_eq!(completed(&lease), (false, false), "only the other endpoint has left");
}

#[test]
fn closing_stays_complete_after_a_removal_even_if_another_endpoint_gets_the_id() {
    let pool = pool(&["a", "b"]);
    let removed = lease(&pool, "a");
    pool.remove("a").expect("a member");
    assert_eq!(completed(&removed), (true, true));
    pool.add(EndpointSpec::new("a"), ()).expect("its id is free");
    let moved = lease(&pool, "a");
    assert_eq!((completed(&removed), completed(&moved)), ((true, true), (false, false)));
    let elsewhere = [EndpointSpec::new("elsewhere").with_id("a"), EndpointSpec::new("b")];
    pool.update(elsewhere, |_| ()).expect("valid endpoints");
    assert_eq!((completed(&moved), completed(&lease(&pool, "a"))), ((true, true), (false, false)));
}

#[test]
fn a_lease_on_a_new_endpoint_reports_the_initial_availability() {
    let pool: Pool<()> = Pool::<()>::builder(RoundRobin::new()).initial_availability(Availability::Draining).build();
    pool.add(EndpointSpec::new("a"), ()).expect("a valid endpoint");
    assert_eq!(completed(&lease(&pool, "a")), (true, false));
}

#[test]
fn tasks_that_wait_on_other_threads_are_woken_without_the_lease() {
    let pool = pool(&["a", "b"]);
    let lease = Arc::new(lease(&pool, "a"));
    let waiting = [lease.draining(), lease.closing(), lease.closing()]
        .map(|closing| thread::spawn(move || futures::executor::block_on(closing)));
    drop(lease);
    pool.drain("a").expect("a member");
    pool.set_availability("a", Availability::Maintenance).expect("a member");
    for waits in waiting {
        waits.join().expect("no panic");
    }
}

#[test]
fn what_waits_for_an_idle_endpoint_can_count_its_leases_also_after_it_has_left() {
    let pool = pool(&["a", "b"]);
    let idle = pool.idle("a");
    let leases = [(); 3].map(|()| lease(&pool, "a"));
    assert_eq!(idle.in_flight(), 3);
    pool.remove("a").expect("a member");
    assert_eq!(idle.in_flight(), 3);
    drop(leases);
    assert_eq!((idle.in_flight(), pool.idle("unknown").in_flight()), (0, 0));
}

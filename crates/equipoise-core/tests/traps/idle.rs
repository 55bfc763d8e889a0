//! The future of `Pool::idle` ends with the endpoint's last lease, on whatever thread it ends.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
};

use equipoise_core::{Availability, Binding, EndpointSpec, Idle, P2c, PickRequest, Pool};
use futures::FutureExt;

use crate::common::{id, pick, pool_of, spec};

const SEED: u64 = 13;

type Change = &'static dyn Fn(&Pool<()>);

fn is_over(idle: &mut Idle) -> bool {
    Pin::new(idle).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn one() -> Pool<()> {
    pool_of(P2c::new(), &[1], SEED)
}

#[test]
fn an_unknown_endpoint_is_idle_at_once() {
    let pool = one();
    futures::executor::block_on(pool.idle("e0"));
    futures::executor::block_on(pool.idle("unknown"));
}

#[test]
fn it_ends_with_the_last_lease() {
    let pool = one();
    let mut leases: Vec<_> = (0..3).map(|_| pick(&pool)).collect();
    let mut idle = pool.idle("e0");
    while let Some(lease) = leases.pop() {
        assert!(!is_over(&mut idle));
        drop(lease);
    }
    assert!(is_over(&mut idle));
    assert_eq!(pool.endpoints()[0].in_flight, 0);
}

#[test]
fn it_is_about_the_endpoint_that_had_the_id_when_it_was_asked_for() {
    let changes: [Change; 3] = [
        &|pool| drop(pool.remove("e0").expect("known")),
        &|pool| drop(pool.update([EndpointSpec::new("elsewhere").with_id("e0")], |_| ()).expect("valid")),
        &|pool| drop(pool.update([spec(1), spec(0).weight(7)], |_| ()).expect("valid")),
    ];
    for change in changes {
        let pool = one();
        let lease = pick(&pool);
        let mut idle = pool.idle("e0");
        assert!(!is_over(&mut idle));
        change(&pool);
        assert!(!is_over(&mut idle));
        drop(lease);
        let _on_another = pool.pick(&PickRequest::new()).ok().filter(|lease| lease.endpoint().address() != "e0");
        assert!(is_over(&mut idle));
    }
}

#[test]
fn a_watched_endpoint_counts_as_before() {
    let pool = one();
    let lease = pick(&pool);
    let mut idle = pool.idle("e0");
    assert!(!is_over(&mut idle));
    assert_eq!(pool.endpoints()[0].in_flight, 1);
    let another = pick(&pool);
    assert_eq!(pool.endpoints()[0].in_flight, 2);
    drop((lease, another));
    assert_eq!(pool.endpoints()[0].in_flight, 0);
}

#[test]
fn several_waiting_tasks_are_all_woken_and_one_that_gives_up_is_not_missed() {
    let pool = one();
    let lease = pick(&pool);
    let gives_up = pool.idle("e0");
    let mut waiting: Vec<Idle> = (0..3).map(|_| pool.idle("e0")).collect();
    assert!(waiting.iter_mut().all(|idle| !is_over(idle)));
    drop(gives_up);
    drop(lease);
    assert!(waiting.iter_mut().all(is_over));
}

#[test]
fn it_takes_no_wake_up_from_requests_that_wait_for_room() {
    let pool = pool_of(P2c::new(), &[1, 1], SEED);
    pool.update([spec(0).max_in_flight(1), spec(1)], |_| ()).expect("valid");
    let bound = id(0);
    let full = pool.pick(&PickRequest::new().prefer(&bound)).expect("room");
    let strict = Binding::to(id(0)).strict();
    let mut next = pool.acquire(&PickRequest::new().bound(&strict));
    assert!((&mut next).now_or_never().is_none());
    let idle = pool.idle("e0");
    drop(full);
    // The capacity went to the waiting request, so the endpoint was never idle.
    let next = futures::executor::block_on(next).expect("room");
    drop(next);
    futures::executor::block_on(idle);
}

#[test]
fn a_drain_under_traffic_ends_when_the_last_of_many_threads_has() {
    for _ in 0..100 {
        let pool: Pool<()> = Pool::<()>::builder(P2c::new()).stripes(4).build();
        pool.update([spec(0), spec(1)], |_| ()).expect("valid");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let leases = [pick(&pool), pick(&pool)];
                        std::thread::yield_now();
                        drop(leases);
                    }
                });
            }
            pool.set_availability("e0", Availability::Maintenance).expect("known");
            futures::executor::block_on(pool.idle("e0"));
            stop.store(true, Ordering::Relaxed);
        });
        assert!(pool.endpoints().iter().all(|endpoint| endpoint.in_flight == 0));
    }
}

#[test]
fn the_wait_on_another_thread_is_woken_by_a_lease_that_ends_at_any_moment() {
    let pool = one();
    for _ in 0..2000 {
        let leases = [pick(&pool), pick(&pool)];
        let idle = pool.idle("e0");
        std::thread::scope(|scope| {
            scope.spawn(|| futures::executor::block_on(idle));
            drop(leases);
        });
    }
}

//! First fit fills one endpoint before the next.
#![cfg(not(loom))]

mod common;

use std::time::Duration;

use common::{at, clocked, id, in_flight, pick, pool_of, spec};
use equipoise_core::{Availability, FirstFit, PickError, PickRequest, Pool, Verdict};

const SEED: u64 = 0xf1f1;

fn pool(limits: &[u32]) -> Pool<()> {
    let pool = pool_of(FirstFit::new(), &[1], SEED);
    let specs =
        limits.iter().enumerate().map(|(at, &limit)| if limit == 0 { spec(at) } else { spec(at).max_in_flight(limit) });
    pool.update(specs, |_| ()).expect("valid");
    pool
}

#[test]
fn each_endpoint_is_filled_before_the_next() {
    let pool = pool(&[2, 3, 1]);
    let leases: Vec<_> = (0..6).map(|_| pick(&pool)).collect();
    assert_eq!(leases.iter().map(at).collect::<Vec<_>>(), [0, 0, 1, 1, 1, 2]);
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
}

#[test]
fn an_endpoint_with_room_again_comes_first_again() {
    let pool = pool(&[1; 200]);
    let mut leases: Vec<_> = (0..150).map(|_| pick(&pool)).collect();
    for freed in [149, 70, 3, 0, 64] {
        let lease = leases.swap_remove(leases.iter().position(|lease| at(lease) == freed).expect("taken"));
        drop(lease);
        leases.push(pick(&pool));
        assert_eq!(at(leases.last().expect("just pushed")), freed);
    }
    leases.push(pick(&pool));
    assert_eq!(at(leases.last().expect("just pushed")), 150);
}

#[test]
fn an_endpoint_without_a_limit_never_fills() {
    let pool = pool(&[1, 0, 1]);
    let leases: Vec<_> = (0..100).map(|_| pick(&pool)).collect();
    assert_eq!(in_flight(&pool), [1, 99, 0]);
    drop(leases);
}

#[test]
fn an_excluded_endpoint_or_one_in_maintenance_is_skipped_and_comes_back() {
    let pool = pool(&[5, 5]);
    let tried = [id(0)];
    assert_eq!(at(&pool.pick(&PickRequest::new().exclude(&tried)).unwrap()), 1);
    assert_eq!(at(&pick(&pool)), 0);
    pool.set_availability(id(0), Availability::Maintenance).unwrap();
    assert_eq!(at(&pick(&pool)), 1);
    pool.set_availability(id(0), Availability::Up).unwrap();
    assert_eq!(at(&pick(&pool)), 0);
}

#[test]
fn a_raised_limit_gives_room_at_once() {
    let pool = pool(&[1, 1]);
    let first = [pick(&pool), pick(&pool)];
    assert!(pool.pick(&PickRequest::new()).is_err());
    pool.update([spec(0).max_in_flight(2), spec(1).max_in_flight(1)], |_| ()).expect("valid");
    assert_eq!(at(&pick(&pool)), 0);
    drop(first);
}

#[test]
fn threads_leave_no_endpoint_wrongly_marked_as_full() {
    let pool = pool(&[1; 100]);
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut held = Vec::new();
                    for turn in 0..5000 {
                        held.push(pick(&pool));
                        if held.len() > 20 {
                            drop(held.swap_remove(turn * 7 % held.len()));
                        }
                    }
                });
            }
        });
        let all: Vec<_> = (0..100).map(|_| pick(&pool)).collect();
        assert_eq!(all.iter().map(at).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    }
}

/// The first of four endpoints does not respond, and its requests are given up after `after`. Returns how many of 100
/// requests it gets.
fn given_up_at_the_first(after: Duration) -> usize {
    let (pool, clock) = clocked(FirstFit::new(), &[1; 4], SEED);
    let usual = Duration::from_millis(20);
    let serve = |silent: bool| {
        let lease = pick(&pool);
        let first = at(&lease) == 0;
        clock.advance(if first && silent { after } else { usual });
        if first && silent {
            drop(lease);
        } else {
            lease.finish(Verdict::Success);
        }
        first
    };
    assert!((0..20).all(|_| serve(false)), "it works, and comes first");
    (0..100).filter(|_| serve(true)).count()
}

#[test]
fn an_endpoint_that_never_answers_gets_its_share_while_requests_are_given_up() {
    assert!(given_up_at_the_first(Duration::from_millis(100)) <= 26);
}

#[test]
fn hanging_up_within_the_usual_latency_leaves_the_first_endpoint_the_first() {
    assert_eq!(given_up_at_the_first(Duration::from_millis(30)), 100);
}

//! The limit `max_in_flight` is exact.

use std::sync::atomic::{AtomicU32, Ordering};

use equipoise_core::{InvalidSpec, PickError, PickRequest, Pool, UpdateError};

use crate::{
    common::{at, id, in_flight, pick, spec},
    strategies,
};

#[test]
fn a_limit_is_never_exceeded_by_four_threads() {
    for strategy in strategies() {
        let pool: Pool<AtomicU32> = Pool::new(strategy);
        pool.update([spec(0).max_in_flight(1), spec(1).max_in_flight(2)], |_| AtomicU32::new(0)).expect("valid");
        let hammer = || {
            let mut served = 0;
            for _ in 0..3000 {
                match pool.pick(&PickRequest::new()) {
                    Ok(lease) => {
                        let limit = at(&lease) as u32 + 1;
                        assert!(lease.target().fetch_add(1, Ordering::SeqCst) < limit);
                        std::thread::yield_now();
                        lease.target().fetch_sub(1, Ordering::SeqCst);
                        served += 1;
                    }
                    Err(error) => assert!(matches!(error, PickError::Saturated | PickError::Declined), "{error}"),
                }
            }
            served
        };
        let served: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(hammer)).collect();
            threads.into_iter().map(|thread| thread.join().expect("valid")).sum()
        });
        assert!(served > 0);
        assert_eq!(in_flight(&pool), [0, 0]);
        let all: Vec<_> = (0..3).map(|_| pick(&pool)).collect();
        assert_eq!(in_flight(&pool), [1, 2], "every permit was given back");
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
        drop(all);
    }
}

#[test]
fn a_limit_of_zero_is_refused() {
    let pool: Pool<()> = Pool::default();
    let refused = Err(UpdateError::Invalid(InvalidSpec::Limit { id: id(0) }));
    assert_eq!(pool.add(spec(0).max_in_flight(0), ()), refused);
}

#[test]
fn a_lowered_limit_waits_for_leases_that_are_out() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::new(strategy);
        pool.add(spec(0).max_in_flight(3), ()).expect("valid");
        let mut leases: Vec<_> = (0..3).map(|_| pick(&pool)).collect();
        pool.update([spec(0).max_in_flight(1)], |_| ()).expect("valid");
        for _ in 0..2 {
            drop(leases.pop());
            assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
        }
        drop(leases.pop());
        assert_eq!(in_flight(&pool), [0]);
        drop(pick(&pool));
    }
}

#[test]
fn a_limit_lifted_while_leases_are_out_leaves_the_counts_right() {
    let pool: Pool<()> = Pool::default();
    pool.add(spec(0).max_in_flight(1), ()).expect("valid");
    let limited = pick(&pool);
    pool.update([spec(0)], |_| ()).expect("valid");
    let free: Vec<_> = (0..5).map(|_| pick(&pool)).collect();
    drop((limited, free));
    pool.update([spec(0).max_in_flight(1)], |_| ()).expect("valid");
    let one = pick(&pool);
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
    drop(one);
    assert!(pool.pick(&PickRequest::new()).is_ok());
}

#[test]
fn a_limit_set_while_leases_are_out_binds_those_that_follow() {
    let pool: Pool<()> = Pool::default();
    pool.add(spec(0), ()).expect("valid");
    let before: Vec<_> = (0..5).map(|_| pick(&pool)).collect();
    pool.update([spec(0).max_in_flight(2)], |_| ()).expect("valid");
    let after = [pick(&pool), pick(&pool)];
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
    drop(before);
    assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated, "no permit was theirs to give back");
    drop(after);
    assert_eq!(in_flight(&pool), [0]);
    assert!(pool.pick(&PickRequest::new()).is_ok());
}

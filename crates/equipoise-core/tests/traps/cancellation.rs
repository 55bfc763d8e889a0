//! A cancelled request frees its capacity and gives no verdict.

use std::time::Duration;

use equipoise_core::{Failure, PeakEwma, PickRequest, Verdict};

use crate::{
    common::{at, clocked, id, in_flight, pick, pool_of},
    strategies,
};

const SEED: u64 = 4;

#[test]
fn a_lease_dropped_without_a_verdict_frees_its_place() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 2, 3], SEED);
        let leases: Vec<_> = (0..30).map(|_| pick(&pool)).collect();
        assert_eq!(in_flight(&pool).iter().sum::<u32>(), 30);
        drop(leases);
        assert_eq!(in_flight(&pool), [0, 0, 0]);
    }
}

#[test]
fn a_body_dropped_half_way_frees_the_slot() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        let mut lease = pick(&pool);
        lease.first_byte();
        lease.record(Verdict::Success);
        assert_eq!(in_flight(&pool), [1], "the body is still under way");
        drop(lease);
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[test]
fn a_request_that_panics_frees_its_place() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        let request = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _lease = pick(&pool);
            std::panic::resume_unwind(Box::new("a request gone wrong"));
        }));
        assert!(request.is_err());
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[test]
fn a_lease_may_end_on_another_thread() {
    for strategy in strategies() {
        let pool = pool_of(strategy.clone(), &[1, 1], SEED);
        let striped = equipoise_core::Pool::<()>::builder(strategy).stripes(3).build();
        striped.update(crate::common::specs(&[1, 1]), |_| ()).unwrap();
        for pool in [pool, striped] {
            let leases: Vec<_> = (0..8).map(|_| pick(&pool)).collect();
            std::thread::scope(|scope| {
                for lease in leases {
                    scope.spawn(move || lease.finish(Verdict::Success));
                }
            });
            assert_eq!(in_flight(&pool), [0, 0]);
        }
    }
}

#[test]
fn only_the_first_verdict_counts() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 1], SEED);
    for _ in 0..20 {
        let bound = id(0);
        let mut lease = pool.pick(&PickRequest::new().prefer(&bound)).unwrap();
        clock.advance(Duration::from_millis(1));
        lease.record(Verdict::Success);
        lease.record(Verdict::Failure(Failure::Transport));
        lease.record(Verdict::Overloaded { retry_after: Some(Duration::from_secs(100)) });
    }
    assert!((0..100).any(|_| at(&pick(&pool)) == 0));
}

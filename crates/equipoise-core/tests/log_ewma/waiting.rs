//! Requests that wait for their first byte are the load. Other leases only break ties.

use equipoise_core::{Lease, LogEwma, ManualClock, PickRequest, Pool, Verdict};

use crate::{
    SEED, answer,
    common::{at, clocked, pick},
    lease_on, ms, scores, share_of,
};

/// Picks this endpoint, and reports the first byte of the response after 10 ms.
fn body_of(pool: &Pool<()>, clock: &ManualClock, at: usize) -> Lease<()> {
    let mut lease = lease_on(pool, at);
    clock.advance(ms(10));
    lease.first_byte();
    lease
}

#[test]
fn a_lease_whose_response_has_begun_is_no_load() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    let bodies: Vec<_> = (0..20).map(|_| body_of(&pool, &clock, 0)).collect();
    let burst: Vec<_> = (0..20).map(|_| pick(&pool)).collect();
    let first = burst.iter().filter(|lease| at(lease) == 0).count();
    assert_eq!(first, 10, "of 20 requests while {} bodies last", bodies.len());
}

#[test]
fn a_lease_with_a_verdict_no_longer_waits() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    let mut lease = lease_on(&pool, 0);
    let [busy, idle] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((busy / idle - 2.0).abs() < 1e-9, "{busy} and {idle}");
    lease.record(Verdict::Neutral);
    let [answered, idle] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((answered / idle - 1.0).abs() < 1e-9, "{answered} and {idle}");
}

#[test]
fn of_two_endpoints_that_tie_the_one_with_fewer_bodies_is_picked() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    let body = body_of(&pool, &clock, 0);
    assert_eq!(share_of(&pool, 0, 200), 0.0);
    drop(body);
    let share = share_of(&pool, 0, 2_000);
    assert!((0.45..0.55).contains(&share), "{share}");
}

#[test]
fn the_endpoint_with_the_fewest_bodies_of_many_does_not_get_all_requests() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 8], SEED);
    (0..8).for_each(|at| answer(&pool, &clock, at, ms(10)));
    let bodies: Vec<_> = (1..8).map(|at| body_of(&pool, &clock, at)).collect();
    let share = share_of(&pool, 0, 4_000);
    // It wins if it is one of the first two in the random order: in two of eight picks.
    assert!((share - 0.25).abs() < 0.03, "{share} while {} bodies last", bodies.len());
}

#[test]
fn up_to_ten_endpoints_are_compared() {
    for (strategy, all) in [(LogEwma::new(), true), (LogEwma::new().choices(2).expect("from 2 to 10"), false)] {
        let (pool, clock) = clocked(strategy, &[1; 10], SEED);
        (0..10).for_each(|at| answer(&pool, &clock, at, ms(10)));
        let busy: Vec<_> = (1..10).map(|at| lease_on(&pool, at)).collect();
        let share = share_of(&pool, 0, 1_000);
        assert_eq!(share == 1.0, all, "{share} while {} are busy", busy.len());
    }
}

#[test]
fn of_a_large_pool_the_idle_half_gets_nearly_all_requests() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 40], SEED);
    (0..40).for_each(|at| answer(&pool, &clock, at, ms(10)));
    let busy: Vec<_> = (20..40).map(|at| lease_on(&pool, at)).collect();
    let to_busy = (0..2_000).filter(|_| at(&pick(&pool)) >= 20).count();
    // In one of 1024 picks, all ten draws are busy endpoints.
    assert!(to_busy <= 10, "{to_busy} of 2000 while {} are busy", busy.len());
}

#[test]
fn the_endpoints_of_a_comparison_are_different_and_each_is_compared_equally_often() {
    let eight = LogEwma::new().choices(8).expect("from 2 to 10");
    let (pool, clock) = clocked(eight, &[1; 10], SEED);
    (0..10).for_each(|at| answer(&pool, &clock, at, ms(10)));
    let mut compared = [0; 10];
    for _ in 0..5_000 {
        let candidates = pool.explain(&PickRequest::new()).candidates;
        let drawn: Vec<usize> = (0..10).filter(|&at| candidates[at].score.is_some()).collect();
        assert_eq!(drawn.len(), 8, "{drawn:?}");
        drawn.into_iter().for_each(|at| compared[at] += 1);
    }
    assert!(compared.iter().all(|count| (3_850..4_150).contains(count)), "{compared:?}");
}

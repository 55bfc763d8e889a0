//! Picks and leases do not allocate memory.
#![cfg(not(loom))]

mod common;

use std::{sync::Arc, time::Duration};

use allocation_counter::{AllocationInfo, measure};
use common::{clocked, id};
use equipoise_core::{
    AnyStrategy, Edf, Failure, FirstFit, LeastConnections, LeastTime, LogEwma, ManualClock, P2c, PeakEwma, PickRequest,
    Pool, Random, RoundRobin, Tier, Verdict,
};

const SEED: u64 = 0xa110c;

fn strategies() -> [AnyStrategy; 10] {
    [
        AnyStrategy::new(RoundRobin::new()),
        AnyStrategy::new(Random::new()),
        AnyStrategy::new(P2c::new()),
        AnyStrategy::new(PeakEwma::new()),
        AnyStrategy::new(LogEwma::new()),
        AnyStrategy::new(Edf::seeded(SEED)),
        AnyStrategy::new(P2c::with_choices(10).expect("from 2 to 10")),
        AnyStrategy::new(LeastConnections::new()),
        AnyStrategy::new(LeastTime::new()),
        AnyStrategy::new(FirstFit::new()),
    ]
}

/// Returns the allocations of 100 requests.
fn cost_of(strategy: AnyStrategy, weights: &[u32], limit: Option<u32>, request: &PickRequest<'_>) -> AllocationInfo {
    let (pool, clock) = clocked(strategy, weights, SEED);
    if let Some(limit) = limit {
        pool.update(common::specs(weights).into_iter().map(|spec| spec.max_in_flight(limit)), |_| ())
            .expect("valid specs");
    }
    let round_trip = |verdict| {
        let mut lease = pool.pick(request).expect("an endpoint");
        clock.advance(Duration::from_millis(1));
        lease.first_byte();
        lease.finish(verdict);
    };
    // The first pick of a thread may allocate: it numbers the thread and may seed the thread's generator.
    round_trip(Verdict::Success);
    measure(|| {
        for turn in 0..100 {
            round_trip(if turn % 7 == 0 { Verdict::Failure(Failure::Server) } else { Verdict::Success });
        }
    })
}

#[test]
fn a_request_allocates_nothing() {
    let unequal: Vec<u32> = (1..=40).map(|n| if n == 7 { 500 } else { n }).collect();
    for strategy in strategies() {
        for weights in [&[1; 3][..], &[1; 100], &[5, 1, 1], &unequal, &[999_983, 1, 7]] {
            let info = cost_of(strategy.clone(), weights, None, &PickRequest::new());
            assert_eq!(info.count_total, 0, "{strategy:?} over {weights:?}");
        }
    }
}

#[test]
fn a_request_whose_times_are_recorded_allocates_nothing() {
    let clock = Arc::new(ManualClock::new());
    let pool: Pool<()> = Pool::builder(P2c::new()).clock(clock.clone()).latency_histograms(true).build();
    pool.update(common::specs(&[1; 3]), |_| ()).expect("valid specs");
    let round_trip = |micros| {
        let mut lease = pool.pick(&PickRequest::new()).expect("an endpoint");
        clock.advance(Duration::from_micros(micros));
        lease.first_byte();
        lease.count_bytes(100, 1_000);
        lease.finish(Verdict::Success);
    };
    round_trip(1);
    // The latencies are of all sizes, so most groups of buckets are used for the first time.
    assert_eq!(measure(|| (0..26).for_each(|bits| round_trip(1 << bits))).count_total, 0);
    assert_eq!(pool.stats().attempts.success, 27);
}

#[test]
fn limits_exclusion_and_preference_allocate_nothing() {
    let tried = [id(0), id(2)];
    let bound = id(1);
    for strategy in strategies() {
        for weights in [&[1; 12][..], &[5, 1, 1, 2]] {
            let request = PickRequest::new().exclude(&tried);
            assert_eq!(cost_of(strategy.clone(), weights, Some(2), &request).count_total, 0, "{strategy:?}");
            assert_eq!(cost_of(strategy.clone(), weights, None, &request).count_total, 0, "{strategy:?}");
            let request = request.prefer(&bound);
            assert_eq!(cost_of(strategy.clone(), weights, Some(2), &request).count_total, 0, "{strategy:?}");
        }
    }
}

#[test]
fn being_refused_allocates_nothing() {
    let all: Vec<_> = (0..10).map(id).collect();
    for strategy in strategies() {
        let (pool, _) = clocked(strategy.clone(), &[1; 10], SEED);
        pool.update((0..10).map(|at| common::spec(at).tier(Tier::new(at as u8 % 2))), |_| ()).expect("valid specs");
        let request = PickRequest::new().exclude(&all);
        assert!(pool.pick(&request).is_err());
        assert_eq!(measure(|| drop(pool.pick(&request))).count_total, 0, "{strategy:?}");
    }
}

#[test]
fn cloning_a_pool_allocates_nothing() {
    let (pool, _) = clocked(PeakEwma::new(), &[1; 10], SEED);
    assert_eq!(measure(|| drop(pool.clone())).count_total, 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}

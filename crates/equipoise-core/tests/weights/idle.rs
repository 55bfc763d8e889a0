//! Without load, shares follow the weights.

use std::time::Duration;

use equipoise_core::{AnyStrategy, LeastTime, P2c, PeakEwma, Random};

use crate::{
    common::{clocked, pool_of},
    shares::{follow, idle, share},
    sim::serve,
};

const SEED: u64 = 0x1d1e;

fn sampling() -> [AnyStrategy; 3] {
    [AnyStrategy::new(Random::new()), AnyStrategy::new(P2c::new()), AnyStrategy::new(PeakEwma::new())]
}

fn by_time() -> [AnyStrategy; 2] {
    [2, 5].map(|choices| AnyStrategy::new(LeastTime::with_choices(choices).expect("from 2 to 10")))
}

fn idle_shares_follow(weights: &[u32]) {
    for strategy in sampling() {
        let pool = pool_of(strategy.clone(), weights, SEED);
        let counts = idle(&pool, weights.len(), 200_000);
        follow(&counts, weights).unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
    }
}

#[test]
fn a_canary_gets_its_half_percent() {
    idle_shares_follow(&[198, 1, 1]);
}

#[test]
fn small_pools_follow_their_weights() {
    idle_shares_follow(&[1, 1, 2, 4]);
    idle_shares_follow(&[2, 1]);
    idle_shares_follow(&[3, 1, 1, 2, 5, 7, 1, 4]);
}

#[test]
fn equal_weights_get_equal_shares() {
    idle_shares_follow(&[1, 1]);
    idle_shares_follow(&[7; 3]);
    idle_shares_follow(&[1; 30]);
}

#[test]
fn large_pools_follow_their_weights() {
    let weights: Vec<u32> = (0..24).map(|at| 1 + at % 5).collect();
    idle_shares_follow(&weights);
}

#[test]
fn large_pools_with_a_heavy_one_follow_their_weights() {
    let weights: Vec<u32> = (0..20).map(|at| if at == 3 { 40 } else { 1 + at % 3 }).collect();
    idle_shares_follow(&weights);
}

#[test]
fn large_pools_with_several_heavy_ones_follow_their_weights() {
    let weights: Vec<u32> = (0..12).map(|at| if at < 3 { 30 } else { 3 }).collect();
    idle_shares_follow(&weights);
}

#[test]
fn huge_weights_keep_their_ratio() {
    idle_shares_follow(&[1_000_000, 999_983, 500_000]);
    for strategy in sampling() {
        let counts = idle(&pool_of(strategy, &[1_000_000, 1], SEED), 2, 50_000);
        assert!(share(&counts, 0) > 0.999);
    }
}

#[test]
fn least_time_follows_the_weights_before_anything_was_measured() {
    for strategy in by_time() {
        for weights in [&[198, 1, 1][..], &[1, 1, 2, 4], &[1; 10]] {
            let counts = idle(&pool_of(strategy.clone(), weights, SEED), weights.len(), 50_000);
            follow(&counts, weights).unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
        }
    }
}

#[test]
fn equal_latencies_leave_idle_shares_to_the_weights() {
    for strategy in by_time().into_iter().chain([AnyStrategy::new(PeakEwma::new())]) {
        for weights in [&[1, 1, 1][..], &[198, 1, 1], &[1, 1, 2, 4], &[1, 2, 1, 2, 1, 2, 1, 2, 1, 30]] {
            let (pool, clock) = clocked(strategy.clone(), weights, SEED);
            let mut counts = vec![0; weights.len()];
            for _ in 0..60_000 {
                counts[serve(&pool, &clock, |_| Duration::from_millis(10))] += 1;
            }
            follow(&counts, weights).unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
        }
    }
}

//! Idle shares are the weights.

use equipoise_core::{AnyStrategy, P2c, PeakEwma, Random};

use crate::{
    common::pool_of,
    shares::{follow, idle, share},
};

const SEED: u64 = 0x1d1e;

fn sampling() -> [AnyStrategy; 3] {
    [AnyStrategy::new(Random::new()), AnyStrategy::new(P2c::new()), AnyStrategy::new(PeakEwma::new())]
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

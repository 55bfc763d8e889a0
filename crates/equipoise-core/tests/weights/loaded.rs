//! Under load, the requests in flight follow the weights.

use equipoise_core::{AnyStrategy, Entropy, P2c, PeakEwma, SeededEntropy};

use crate::common::{at, pick, pool_of};

const SEED: u64 = 0x10ad;
const ROUNDS: usize = 60_000;

fn strategies() -> [AnyStrategy; 2] {
    [AnyStrategy::new(P2c::new()), AnyStrategy::new(PeakEwma::new())]
}

/// Returns for each endpoint its mean share of the requests in flight in a closed loop: `level` leases are in flight,
/// and when a random one of them ends, another one is taken.
pub(crate) fn closed_loop(strategy: AnyStrategy, weights: &[u32], level: usize, rounds: usize, seed: u64) -> Vec<f64> {
    let pool = pool_of(strategy, weights, seed);
    let chance = SeededEntropy::new(seed);
    let mut leases: Vec<_> = (0..level).map(|_| pick(&pool)).collect();
    let mut carried = vec![0u64; weights.len()];
    for _ in 0..rounds {
        drop(leases.swap_remove((chance.next_u64() % level as u64) as usize));
        leases.push(pick(&pool));
        leases.iter().for_each(|lease| carried[at(lease)] += 1);
    }
    carried.iter().map(|&sum| sum as f64 / (rounds * level) as f64).collect()
}

#[test]
fn eight_in_flight_spread_by_weight() {
    for strategy in strategies() {
        let shares = closed_loop(strategy.clone(), &[1, 1, 2, 4], 8, ROUNDS, SEED);
        for (share, due) in shares.iter().zip([0.125, 0.125, 0.25, 0.5]) {
            assert!((share / due - 1.0).abs() <= 0.15, "{strategy:?}: {shares:?}");
        }
    }
}

#[test]
fn a_big_one_among_canaries_keeps_its_share_under_load() {
    for strategy in strategies() {
        for level in [2, 5, 8] {
            let shares = closed_loop(strategy.clone(), &[198, 1, 1], level, ROUNDS, SEED);
            assert!(shares[0] >= 0.95, "{strategy:?} at {level}: {shares:?}");
            assert!(shares[1] > 0.0 && shares[2] > 0.0, "{strategy:?} at {level}: {shares:?}");
        }
    }
}

#[test]
fn equal_weights_carry_alike() {
    for strategy in strategies() {
        let shares = closed_loop(strategy.clone(), &[1; 5], 8, ROUNDS, SEED);
        assert!(shares.iter().all(|share| (share / 0.2 - 1.0).abs() < 0.03), "{strategy:?}: {shares:?}");
    }
}

#[test]
fn a_large_weighted_pool_carries_by_weight() {
    let weights: Vec<u32> = (0..16).map(|at| if at == 5 { 20 } else { 1 + at % 2 }).collect();
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    for strategy in strategies() {
        let shares = closed_loop(strategy.clone(), &weights, 64, ROUNDS, SEED);
        for (share, &weight) in shares.iter().zip(&weights) {
            let due = f64::from(weight) / total;
            assert!((share / due - 1.0).abs() <= 0.3, "{strategy:?}: weight {weight} carries {share}, due {due}");
        }
    }
}

#[test]
fn a_burst_sees_itself() {
    for strategy in strategies() {
        let pool = pool_of(strategy.clone(), &[1; 2], SEED);
        let leases: Vec<_> = (0..10).map(|_| pick(&pool)).collect();
        assert_eq!(crate::common::in_flight(&pool), [5, 5], "{strategy:?}");
        drop(leases);
    }
}

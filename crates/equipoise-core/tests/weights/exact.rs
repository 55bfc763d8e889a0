//! Least connections and least request with more than two choices, compared with the same figures as least request.

use equipoise_core::{AnyStrategy, LeastConnections, LeastTime, P2c};

use crate::{
    common::{at, in_flight, pick, pool_of},
    loaded::closed_loop,
    shares::{follow, idle},
    slow::share_of_the_slow,
};

const SEED: u64 = 0x1ea57;
const ROUNDS: usize = 40_000;

fn strategies() -> [AnyStrategy; 4] {
    let choices = |n| AnyStrategy::new(P2c::with_choices(n).expect("from 2 to 10"));
    [AnyStrategy::new(LeastConnections::new()), choices(3), choices(5), choices(10)]
}

#[test]
fn idle_shares_are_the_weights() {
    let cycling: Vec<u32> = (0..24).map(|at| 1 + at % 5).collect();
    let heavy: Vec<u32> = (0..20).map(|at| if at == 3 { 40 } else { 1 + at % 3 }).collect();
    let sets = [&[198, 1, 1][..], &[1, 1, 2, 4], &[2, 1], &[7; 3], &[1; 10], &[1; 30], &[1; 300], &cycling, &heavy];
    for strategy in strategies() {
        for weights in sets {
            let counts = idle(&pool_of(strategy.clone(), weights, SEED), weights.len(), 100_000);
            follow(&counts, weights).unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
        }
    }
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
        for level in [2, 5, 8, 50] {
            let shares = closed_loop(strategy.clone(), &[198, 1, 1], level, ROUNDS, SEED);
            assert!(shares[0] >= 0.95, "{strategy:?} at {level}: {shares:?}");
            assert!(shares[1] > 0.0 && shares[2] > 0.0, "{strategy:?} at {level}: {shares:?}");
        }
    }
}

#[test]
fn many_canaries_among_big_ones_are_neither_flooded_nor_starved() {
    let weights: Vec<u32> = (0..200).map(|at| if at % 2 == 0 { 100 } else { 1 }).collect();
    for level in [100, 500, 1000] {
        let shares = closed_loop(AnyStrategy::new(LeastConnections::new()), &weights, level, ROUNDS, SEED);
        let small: f64 = shares.iter().skip(1).step_by(2).sum();
        assert!((0.5..=1.5).contains(&(small * 101.0)), "{small} where {} is due, at {level}", 1.0 / 101.0);
    }
}

#[test]
fn a_large_weighted_pool_carries_by_weight_almost_exactly() {
    let weights: Vec<u32> = (0..100).map(|at| 1 + at % 3).collect();
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let shares = closed_loop(AnyStrategy::new(LeastConnections::new()), &weights, 800, ROUNDS, SEED);
    for (share, &weight) in shares.iter().zip(&weights) {
        let due = f64::from(weight) / total;
        assert!((share / due - 1.0).abs() <= 0.1, "weight {weight} carries {share}, due {due}");
    }
}

#[test]
fn a_slow_one_sheds_its_load() {
    let least_time = [2, 5, 10].map(|n| AnyStrategy::new(LeastTime::with_choices(n).expect("from 2 to 10")));
    for strategy in strategies().into_iter().chain(least_time) {
        let shares = [&[2, 1][..], &[1, 1, 1]].map(|weights| share_of_the_slow(strategy.clone(), weights, SEED));
        assert!(shares[0] <= 0.15 && shares[1] <= 0.04, "{strategy:?}: {shares:?}");
    }
}

#[test]
fn a_burst_is_laid_out_evenly_in_a_pool_of_any_size() {
    for n in [1, 2, 16, 17, 100, 300, 5000] {
        let pool = pool_of(LeastConnections::new(), &vec![1; n], SEED);
        let leases: Vec<_> = (0..3 * n).map(|_| pick(&pool)).collect();
        assert_eq!(in_flight(&pool), vec![3; n]);
        drop(leases);
    }
}

#[test]
fn ties_are_spread() {
    let pool = pool_of(LeastConnections::new(), &[1; 100], SEED);
    let mut counts = vec![0; 100];
    // Ninety endpoints have one lease more than the other ten, so only these ten can be picked.
    let held: Vec<_> = (0..100).map(|_| pick(&pool)).collect();
    let (idle, _busy): (Vec<_>, Vec<_>) = held.into_iter().partition(|lease| at(lease) >= 90);
    drop(idle);
    (0..10_000).for_each(|_| counts[at(&pick(&pool))] += 1);
    assert!(counts[..90].iter().all(|&count| count == 0), "{counts:?}");
    assert!(counts[90..].iter().all(|&count| count > 300), "{counts:?}");
}

//! Strategies avoid an endpoint that is fifty times slower than the others.

use equipoise_core::{AnyStrategy, LeastTime, P2c, PeakEwma};

use crate::{common::clocked, shares::share, sim::Sim};

const SEED: u64 = 0x510;

/// Returns the share of the first endpoint if it is fifty times slower than the others. Per mean service time of the
/// others, one request arrives.
pub(crate) fn share_of_the_slow(strategy: AnyStrategy, weights: &[u32], seed: u64) -> f64 {
    let mut service = vec![0.01; weights.len()];
    service[0] *= 50.0;
    let (pool, clock) = clocked(strategy, weights, seed);
    let sim = Sim { pool: &pool, clock: &clock, service: &service, gap: 0.01, failing: None, seed };
    share(&sim.run(40_000), 0)
}

#[test]
fn the_heavier_of_two_sheds_its_load() {
    for strategy in [AnyStrategy::new(P2c::new()), AnyStrategy::new(PeakEwma::new())] {
        let share = share_of_the_slow(strategy.clone(), &[2, 1], SEED);
        assert!(share <= 0.15, "{strategy:?}: {share}");
    }
}

#[test]
fn one_of_three_alike_sheds_its_load() {
    for strategy in [AnyStrategy::new(P2c::new()), AnyStrategy::new(PeakEwma::new())] {
        let share = share_of_the_slow(strategy.clone(), &[1, 1, 1], SEED);
        assert!(share <= 0.04, "{strategy:?}: {share}");
    }
}

#[test]
fn the_heaviest_of_a_large_pool_sheds_its_load() {
    let weights: Vec<u32> = (0..12).map(|at| if at == 0 { 12 } else { 1 }).collect();
    let choices = [2, 5, 10].map(|n| AnyStrategy::new(P2c::with_choices(n).expect("from 2 to 10")));
    let least_time = [2, 5, 10].map(|n| AnyStrategy::new(LeastTime::with_choices(n).expect("from 2 to 10")));
    for strategy in choices.into_iter().chain(least_time).chain([AnyStrategy::new(PeakEwma::new())]) {
        let share = share_of_the_slow(strategy.clone(), &weights, SEED);
        assert!(share <= 0.15, "{strategy:?}: {share}");
    }
}

#[test]
fn peak_ewma_sends_a_slow_one_less_than_least_request_does() {
    let p2c = share_of_the_slow(AnyStrategy::new(P2c::new()), &[2, 1], SEED);
    let ewma = share_of_the_slow(AnyStrategy::new(PeakEwma::new()), &[2, 1], SEED);
    assert!(0.0 < ewma && ewma < p2c, "{ewma} and {p2c}");
}

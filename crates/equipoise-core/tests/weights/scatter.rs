//! Shares follow the weights if all endpoints have the same distribution of response times, and the times vary.

use std::{collections::BTreeMap, f64::consts::TAU, time::Duration};

use equipoise_core::{
    AnyStrategy, Entropy, Lease, LeastConnections, LeastTime, P2c, PeakEwma, SeededEntropy, Timestamp, Verdict,
};

use crate::{
    common::{at, clocked, pick},
    shares::follow,
    sim::serve,
};

const SEED: u64 = 0x5ca7;
const ROUNDS: u32 = 40_000;

/// The distribution of the response times, in milliseconds.
#[derive(Clone, Copy, Debug)]
enum Latency {
    /// Uniform from 8 to 12.
    Jittered,
    /// Log-normal with mean 10 and σ = 0.5. The 99th percentile is about three times the median.
    LongTailed,
    /// Exponential with mean 10.
    Exponential,
}

impl Latency {
    fn draw(self, chance: &SeededEntropy) -> Duration {
        let unit = || (chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let millis = match self {
            Self::Jittered => 8.0 + 4.0 * unit(),
            Self::Exponential => -10.0 * (1.0 - unit()).ln(),
            Self::LongTailed => {
                let normal = (-2.0 * (1.0 - unit()).ln()).sqrt() * (TAU * unit()).cos();
                10.0 * (0.5 * normal - 0.125).exp()
            }
        };
        Duration::from_secs_f64(millis / 1e3)
    }
}

/// Returns for each endpoint its mean share of the requests in flight. `level` requests are always in flight: when one
/// ends, the next one starts.
fn carried(strategy: AnyStrategy, weights: &[u32], level: u32, latency: Latency) -> Vec<f64> {
    let ((pool, clock), chance) = (clocked(strategy, weights, SEED), SeededEntropy::new(!SEED));
    let mut carried = vec![0.0; weights.len()];
    let mut under_way = BTreeMap::new();
    for number in 0..level + ROUNDS {
        let mut now = Timestamp::ZERO;
        if number >= level
            && let Some(((end, _), lease)) = under_way.pop_first()
        {
            clock.set(end);
            Lease::finish(lease, Verdict::Success);
            now = end;
        }
        let (lease, takes) = (pick(&pool), latency.draw(&chance));
        carried[at(&lease)] += takes.as_secs_f64();
        under_way.insert((now + takes, number), lease);
    }
    let all: f64 = carried.iter().sum();
    carried.iter().map(|carried| carried / all).collect()
}

/// The strategies, each with a distribution of response times. Peak-EWMA is tested with all three distributions,
/// because its estimate follows the highest latencies.
fn strategies() -> Vec<(AnyStrategy, Latency)> {
    let choices = |n| AnyStrategy::new(P2c::with_choices(n).expect("from 2 to 10"));
    let least_time = |n| AnyStrategy::new(LeastTime::with_choices(n).expect("from 2 to 10"));
    let others =
        [choices(2), choices(3), choices(10), least_time(2), least_time(5), AnyStrategy::new(LeastConnections::new())];
    let mut all: Vec<_> = others.into_iter().map(|strategy| (strategy, Latency::LongTailed)).collect();
    let peak_ewma = |latency| (AnyStrategy::new(PeakEwma::new()), latency);
    all.extend([Latency::Jittered, Latency::LongTailed, Latency::Exponential].map(peak_ewma));
    all
}

#[test]
fn eight_in_flight_spread_by_weight() {
    for (strategy, latency) in strategies() {
        let shares = carried(strategy.clone(), &[1, 1, 2, 4], 8, latency);
        for (share, due) in shares.iter().zip([0.125, 0.125, 0.25, 0.5]) {
            assert!((share / due - 1.0).abs() <= 0.15, "{strategy:?}, {latency:?}: {shares:?}");
        }
    }
}

#[test]
fn a_big_one_among_canaries_keeps_its_share() {
    for (strategy, latency) in strategies() {
        for level in [1, 2, 5, 8, 50] {
            let shares = carried(strategy.clone(), &[198, 1, 1], level, latency);
            assert!(shares[0] >= 0.95, "{strategy:?}, {latency:?} at {level}: {shares:?}");
            assert!(shares[1] > 0.0 && shares[2] > 0.0, "{strategy:?}, {latency:?} at {level}: {shares:?}");
        }
    }
}

#[test]
fn a_large_pool_carries_by_weight() {
    let weights: Vec<u32> = (0..16).map(|at| if at == 5 { 20 } else { 1 + at % 2 }).collect();
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    for (strategy, latency) in strategies() {
        let shares = carried(strategy.clone(), &weights, 64, latency);
        for (share, &weight) in shares.iter().zip(&weights) {
            let due = f64::from(weight) / total;
            assert!((share / due - 1.0).abs() <= 0.3, "{strategy:?}: weight {weight} carries {share}, due {due}");
        }
    }
}

#[test]
fn idle_shares_of_least_time_are_the_weights() {
    // The average latency of an endpoint covers about 20 responses. Picks that are less than 20 picks apart therefore
    // depend on the same average. 40 such picks (20 before and 20 after a pick) vary as much as one independent draw.
    const ALIKE: u32 = 40;
    for choices in [2, 5] {
        for weights in [&[198, 1, 1][..], &[1, 1, 2, 4], &[2, 1], &[1; 10], &[1, 2, 1, 2, 1, 2, 1, 2, 1, 30]] {
            let (pool, clock) = clocked(LeastTime::with_choices(choices).expect("from 2 to 10"), weights, SEED);
            let (chance, mut counts) = (SeededEntropy::new(!SEED), vec![0; weights.len()]);
            for _ in 0..2 * ROUNDS {
                counts[serve(&pool, &clock, |_| Latency::Jittered.draw(&chance))] += 1;
            }
            let drawn: Vec<u32> = counts.iter().map(|count| count / ALIKE).collect();
            follow(&drawn, weights).unwrap_or_else(|error| panic!("{choices} choices: {error}"));
        }
    }
}

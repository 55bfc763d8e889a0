//! Random numbers, in independent streams.

use rand::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

pub(super) type Stream = Xoshiro256PlusPlus;

/// The purpose of a stream.
///
/// How often a strategy draws from [`Strategy`](Self::Strategy) is up to the strategy, and the results of its requests
/// decide about retries, health and checks. All other streams give the same numbers for every strategy.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Arrivals,
    Work,
    Network,
    Keys,
    Antagonists,
    /// Draws of retries and hedges, whose number depends on the strategy.
    Retries,
    Probes,
    Strategy,
    /// Jitter of the health machines.
    Health,
    /// Network delays of health checks.
    Checks,
    /// Durations of bodies.
    Bodies,
    /// Which answers of flaky servers fail.
    Failures,
    /// Which callers give up.
    Callers,
}

pub(super) fn stream(seed: u64, purpose: Purpose, index: usize) -> Stream {
    Stream::seed_from_u64(number(seed, purpose, index))
}

/// Mixes twice, so that streams of neighbouring seeds, purposes and indices are independent.
pub(super) fn number(seed: u64, purpose: Purpose, index: usize) -> u64 {
    let purposed = SplitMix64::seed_from_u64(seed).next_u64() ^ purpose as u64;
    SplitMix64::seed_from_u64(purposed).next_u64().wrapping_add(index as u64)
}

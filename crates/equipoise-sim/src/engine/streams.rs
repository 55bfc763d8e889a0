//! Random numbers of a run, in independent streams: one for each purpose and for each client or server.

use rand::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

pub(super) type Stream = Xoshiro256PlusPlus;

/// The purpose for which random numbers are drawn from a stream.
///
/// A stream gives the same numbers to every strategy, unless the strategy decides how often numbers are drawn. The
/// strategy decides this for [`Strategy`](Self::Strategy), and for retries, health, checks and probes, which depend on
/// the results of requests.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Arrivals,
    Work,
    Network,
    Keys,
    Antagonists,
    /// Costs of retries and hedges. Their number depends on the strategy.
    Retries,
    Probes,
    Strategy,
    /// Jitter of the health state machines.
    Health,
    /// Network delays of health checks.
    Checks,
    /// Durations of the bodies of responses.
    Bodies,
    /// Which requests fail at a flaky server.
    Failures,
    /// Which callers give up.
    Callers,
}

pub(super) fn stream(seed: u64, purpose: Purpose, index: usize) -> Stream {
    Stream::seed_from_u64(number(seed, purpose, index))
}

/// Mixes the seed twice, so that the streams of neighbouring seeds, purposes and indices are independent.
pub(super) fn number(seed: u64, purpose: Purpose, index: usize) -> u64 {
    let purposed = SplitMix64::seed_from_u64(seed).next_u64() ^ purpose as u64;
    SplitMix64::seed_from_u64(purposed).next_u64().wrapping_add(index as u64)
}

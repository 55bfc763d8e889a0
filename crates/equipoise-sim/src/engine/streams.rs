//! Chance, in streams that do not disturb each other.

use rand::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

pub(super) type Stream = Xoshiro256PlusPlus;

/// What a stream is for. Only [`Strategy`](Self::Strategy) is drawn from as the strategy pleases, and the last two
/// as its requests fare; all others give the same whatever the strategy does.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Arrivals,
    Work,
    Network,
    Keys,
    Antagonists,
    /// What attempts after the first draw: how many there are depends on the strategy.
    Again,
    Probes,
    Strategy,
    /// What health machines draw: jitter.
    Health,
    /// Health checks' time on the way.
    Checks,
}

pub(super) fn stream(seed: u64, purpose: Purpose, index: usize) -> Stream {
    Stream::seed_from_u64(number(seed, purpose, index))
}

/// Mixed twice, so that neighbouring seeds, purposes and indices have nothing in common.
pub(super) fn number(seed: u64, purpose: Purpose, index: usize) -> u64 {
    let purposed = SplitMix64::seed_from_u64(seed).next_u64() ^ purpose as u64;
    SplitMix64::seed_from_u64(purposed).next_u64().wrapping_add(index as u64)
}

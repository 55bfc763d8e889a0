//! Random choice: shared by [`Random`](super::Random), [`LeastConnections`](super::LeastConnections) and the strategies
//! that compare a few endpoints ([`P2c`](super::P2c), [`LeastTime`](super::LeastTime), [`PeakEwma`](super::PeakEwma)).

mod choices;
mod contender;
mod contest;
mod cost;
mod distinct;
mod exponential;
mod lottery;
mod race;

pub use self::choices::InvalidChoices;
pub(super) use self::{
    choices::Choices,
    contest::Contest,
    cost::{Cost, Gauge},
    lottery::Lottery,
};

/// How many times a sampling picker draws again after an unusable endpoint, before it scans all of them.
pub(super) const REDRAWS: usize = 8;

/// A number below `n` from 32 random bits, by the multiply-shift method (bias below n / 2³²).
#[inline]
pub(super) fn below(n: usize, bits: u32) -> usize {
    ((n as u64 * u64::from(bits)) >> 32) as usize
}

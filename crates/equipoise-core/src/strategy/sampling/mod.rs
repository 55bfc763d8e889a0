//! Random choice: shared by [`Random`](super::Random), [`LeastConnections`](super::LeastConnections) and the strategies
//! that compare a few endpoints ([`P2c`](super::P2c), [`LeastTime`](super::LeastTime), [`PeakEwma`](super::PeakEwma)).

mod choices;
mod contender;
mod contest;
mod distinct;
mod exponential;
mod lottery;
mod race;

pub use self::choices::InvalidChoices;
pub(super) use self::{
    choices::Choices,
    contender::{Cost, Gauge},
    contest::Contest,
    lottery::Lottery,
};

/// How many times a sampling picker draws again after an unusable endpoint, before it scans all of them.
pub(super) const REDRAWS: usize = 8;

/// A number below `n` from 32 random bits, by the multiply-shift method (bias below n / 2³²).
#[inline]
pub(super) fn below(n: usize, bits: u32) -> usize {
    ((n as u64 * u64::from(bits)) >> 32) as usize
}

/// Two distinct positions, each equally likely. The second is `None` in a pool of one.
#[inline]
pub(super) fn two(n: usize, bits: u64) -> (Option<usize>, Option<usize>) {
    match n {
        0 => (None, None),
        1 => (Some(0), None),
        n => {
            let one = below(n, bits as u32);
            let other = below(n - 1, (bits >> 32) as u32);
            (Some(one), Some(other + usize::from(other >= one)))
        }
    }
}

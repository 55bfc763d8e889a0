//! Choosing by chance: what [`Random`](super::Random), [`P2c`](super::P2c) and [`PeakEwma`](super::PeakEwma) share.

mod contest;
mod exponential;
mod lottery;

pub(super) use self::{
    contest::{Contest, Cost, Gauge},
    lottery::Lottery,
};

/// How often a sampling picker draws again when it hits an unusable endpoint, before it looks at all of them.
pub(super) const REDRAWS: usize = 8;

/// A number below `n`, from 32 random bits: the multiply-shift method (bias below n / 2³²).
#[inline]
pub(super) fn below(n: usize, bits: u32) -> usize {
    ((n as u64 * u64::from(bits)) >> 32) as usize
}

//! Random draws of endpoints, and comparisons of the drawn endpoints. Used by [`Random`](super::Random),
//! [`LeastConnections`](super::LeastConnections) and the strategies that compare a few endpoints ([`P2c`](super::P2c),
//! [`LeastTime`](super::LeastTime), [`PeakEwma`](super::PeakEwma) and [`LogEwma`](super::LogEwma)).

mod choices;
mod contender;
mod contest;
mod distinct;
mod exponential;
mod lottery;
mod race;

pub use self::choices::InvalidChoices;
pub(super) use self::{
    choices::{Choices, MAX_CHOICES},
    contender::{Cost, Gauge, lowest, unit},
    contest::Contest,
    distinct::several,
    exponential::exponential,
    lottery::Lottery,
    race::{Race, SLACK},
};

/// How many times a picker draws again if the drawn endpoint is not usable. After that, it scans all endpoints.
pub(super) const REDRAWS: usize = 8;

/// Returns a number below `n`, computed from 32 random bits by multiplication and shift. Its bias is below n / 2³².
#[inline]
pub(super) fn below(n: usize, bits: u32) -> usize {
    ((n as u64 * u64::from(bits)) >> 32) as usize
}

/// Returns two distinct positions below `n`. All pairs are equally likely. The second is `None` if `n` is 1, and both
/// are `None` if `n` is 0.
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

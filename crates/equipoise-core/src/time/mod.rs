//! Time as a parameter.
//!
//! The core never asks the operating system what time it is on its own account: whoever builds a pool hands it a
//! [`Clock`]. [`SystemClock`] is the default, [`ManualClock`] serves tests and simulations.

mod manual;
mod system;

use std::time::Duration;

pub use self::{manual::ManualClock, system::SystemClock};

/// A moment on a [`Clock`]: nanoseconds since that clock's origin.
///
/// Only differences between two timestamps of one clock mean anything. All arithmetic saturates, so a clock that jumps
/// back yields a duration of zero, never a panic. 2⁶⁴ ns are 584 years.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::Timestamp;
///
/// let earlier = Timestamp::from_nanos(1_000);
/// let later = earlier + Duration::from_nanos(500);
/// assert_eq!(later.since(earlier), Duration::from_nanos(500));
/// assert_eq!(earlier.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The moment `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` until this moment; zero when `earlier` is in fact later.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }
}

/// A duration in nanoseconds, capped at what 64 bits hold.
#[inline]
pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    // In 64 bits: going through `as_nanos` costs a multiplication in 128.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// Where a pool gets the time from.
///
/// It is read at most once per pick and once per recorded moment, and only for strategies that
/// [need](crate::Needs) it.
pub trait Clock: Send + Sync + 'static {
    /// The present moment. Should never go back; if it does, durations come out as zero.
    fn now(&self) -> Timestamp;
}

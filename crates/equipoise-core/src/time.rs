//! Time, as a parameter of the pool. The core reads the time only from the [`Clock`] of a pool: [`SystemClock`] by
//! default, [`ManualClock`] in tests and simulations.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

/// A point in time on a [`Clock`]: nanoseconds since the origin of that clock.
///
/// Compare and subtract only timestamps of the same clock. All arithmetic saturates, so a clock that is set back gives
/// a duration of zero. The range is 584 years.
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
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// Creates the timestamp `nanos` nanoseconds after the origin of the clock.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the origin of the clock.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this timestamp, or zero if `earlier` is later.
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

/// Returns a duration in nanoseconds, at most `u64::MAX`.
#[inline]
pub fn saturating_nanos(duration: Duration) -> u64 {
    // `Duration::as_nanos` would multiply 128-bit numbers.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// The source of time for a pool: see [`PoolBuilder::clock`](crate::PoolBuilder::clock).
///
/// A pool reads it at most once per pick and once per event of a lease, and only for strategies that
/// [need](crate::Needs) the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time. It should never decrease; if it does, durations are measured as zero.
    fn now(&self) -> Timestamp;
}

/// The monotonic clock of the operating system. Its origin is the time when the value was created.
///
/// On common platforms a reading needs no system call and takes about 20 ns.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Creates a clock with the current time as its origin.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        // One is added because strategies take `Timestamp::ZERO` for "never".
        Timestamp::from_nanos(saturating_nanos(Instant::now().saturating_duration_since(self.origin)) + 1)
    }
}

/// A clock that changes only when it is advanced or set: for tests and simulations.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use equipoise_core::{Clock, ManualClock, Timestamp};
///
/// let clock = Arc::new(ManualClock::new());
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now(), Timestamp::from_nanos(5_000_000));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Creates a clock at [`Timestamp::ZERO`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(saturating_nanos(by), Ordering::Relaxed);
    }

    /// Sets the clock, forward or back, to test how code handles clocks that jump.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

//! Points in time, and the clocks that pools read. A pool reads the time only from its [`Clock`]: a [`SystemClock`] by
//! default, or a [`ManualClock`] in tests and simulations.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

/// A point in time on a [`Clock`]: the number of nanoseconds since the origin of that clock.
///
/// Only timestamps of the same clock can be compared or subtracted. All arithmetic saturates, so the time between two
/// timestamps is never negative, even if the clock was set back. The largest timestamp is 584 years after the origin.
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
    /// The origin of the clock: zero nanoseconds.
    pub const ZERO: Self = Self(0);

    /// Creates the timestamp that is `nanos` nanoseconds after the origin of the clock.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the number of nanoseconds since the origin of the clock.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this timestamp. Zero if `earlier` is later than this timestamp.
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

/// Returns a duration as a number of nanoseconds. A duration of more than `u64::MAX` nanoseconds becomes `u64::MAX`.
#[inline]
pub fn saturating_nanos(duration: Duration) -> u64 {
    // `Duration::as_nanos` would multiply 128-bit numbers.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

/// Returns a duration as a number of seconds, rounded up, such as for `Retry-After`. The largest duration becomes
/// `u64::MAX`.
pub fn seconds_rounded_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// The source of time of a pool. Set it with [`PoolBuilder::clock`](crate::PoolBuilder::clock). Default:
/// [`SystemClock`].
///
/// For each pick, and for each event of a lease such as its first byte, a pool reads its clock at most once. It reads
/// the clock only if the strategy [needs](crate::Needs) the time, or if the pool has [latency
/// histograms](crate::PoolBuilder::latency_histograms).
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time. The time should never decrease. If it decreases, the pool measures durations as zero.
    fn now(&self) -> Timestamp;
}

/// The monotonic clock of the operating system. Its origin is the moment at which the `SystemClock` was created.
///
/// On common platforms, reading it needs no system call and takes about 20 ns.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Creates a clock whose origin is the current time.
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

/// A clock for tests and simulations. Its time changes only by [`advance`](Self::advance) and [`set`](Self::set).
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
    /// Creates a clock at [`Timestamp::ZERO`]. Its time changes only when the clock is set or advanced.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the time of the clock forward by `by`.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(saturating_nanos(by), Ordering::Relaxed);
    }

    /// Sets the time of the clock to `now`, which may be earlier than before. Tests use this to check how code handles
    /// a clock that jumps.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

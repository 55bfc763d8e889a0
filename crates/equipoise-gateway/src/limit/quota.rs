use std::{fmt, time::Duration};

/// Maximum time in which a bucket becomes full again: ten years. So sums of times fit into 64 bits of nanoseconds.
const MAX_WINDOW: u128 = 10 * 365 * 24 * 60 * 60 * NANOS_PER_SECOND;
pub(super) const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// How many units a key may use: `units` per `period` in the long run, and at most [`burst`](Self::burst) at once.
///
/// The quota is that of a leaky bucket (GCRA). Units come back one by one, each after `period / units`. There are no
/// windows at whose start all units come back at once. In any window of length `w`, a key uses at most
/// `burst + w * units / period` units. A request uses one unit, unless a limit sets another
/// [cost](super::Limit::cost).
///
/// The time for one unit is rounded up to nanoseconds, so the highest rate is 10⁹ units per second. The quota is
/// checked when the layer is built: `units` and `burst` must be at least 1, `period` must not be zero, and an empty
/// bucket must become full within ten years.
///
/// ```
/// use std::time::Duration;
/// use equipoise_gateway::limit::Quota;
///
/// let steady = Quota::per_second(10).burst(20);
/// assert_eq!((steady.interval(), steady.window()), (Duration::from_millis(100), Duration::from_secs(2)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    units: u32,
    period: Duration,
    burst: u32,
}

impl Quota {
    /// Creates a quota of `units` units per `period`. The burst is `units`.
    #[must_use]
    pub const fn new(units: u32, period: Duration) -> Self {
        Self { units, period, burst: units }
    }

    /// Creates a quota of `units` units per second. The burst is `units`.
    #[must_use]
    pub const fn per_second(units: u32) -> Self {
        Self::new(units, Duration::from_secs(1))
    }

    /// Creates a quota of `units` units per minute. The burst is `units`.
    #[must_use]
    pub const fn per_minute(units: u32) -> Self {
        Self::new(units, Duration::from_secs(60))
    }

    /// Creates a quota of `units` units per hour. The burst is `units`.
    #[must_use]
    pub const fn per_hour(units: u32) -> Self {
        Self::new(units, Duration::from_secs(60 * 60))
    }

    /// Creates a quota of `units` units per 24 hours. The burst is `units`.
    #[must_use]
    pub const fn per_day(units: u32) -> Self {
        Self::new(units, Duration::from_secs(24 * 60 * 60))
    }

    /// Sets how many units a key may use at once after a pause: the size of the bucket. At least 1. Default: the number
    /// of units per period.
    #[must_use]
    pub const fn burst(mut self, units: u32) -> Self {
        self.burst = units;
        self
    }

    /// Returns the size of the bucket in units.
    pub const fn max_burst(&self) -> u32 {
        self.burst
    }

    /// Returns the time after which one unit comes back, rounded up to nanoseconds. At most 584 years.
    pub const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_nanos())
    }

    /// Returns the time in which an empty bucket becomes full, rounded up to nanoseconds. At most 584 years.
    pub const fn window(&self) -> Duration {
        let nanos = self.window_nanos();
        Duration::from_nanos(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 })
    }

    const fn window_nanos(&self) -> u128 {
        match self.units {
            0 => u128::MAX,
            units => self.period.as_nanos().saturating_mul(self.burst as u128).div_ceil(units as u128),
        }
    }

    pub(super) const fn interval_nanos(&self) -> u64 {
        let nanos = match self.units {
            0 => u128::MAX,
            units => self.period.as_nanos().div_ceil(units as u128),
        };
        if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
    }

    /// Returns the quota of governor that means the same. The error says what would be right.
    pub(super) fn checked(&self) -> Result<governor::Quota, &'static str> {
        if self.units == 0 {
            return Err("use at least 1 unit per period");
        }
        let Some(burst) = std::num::NonZeroU32::new(self.burst) else {
            return Err("use a burst of at least 1");
        };
        let interval = self.interval_nanos();
        if u128::from(interval) * u128::from(self.burst) > MAX_WINDOW {
            return Err("use a burst and a period with which a bucket becomes full within ten years");
        }
        match governor::Quota::with_period(Duration::from_nanos(interval)) {
            Some(quota) => Ok(quota.allow_burst(burst)),
            None => Err("use a period that is longer than zero"),
        }
    }

    /// Returns the part `1 / among` of the quota: with a rate of exactly this part, and a burst of at least 1.
    pub(super) fn share(&self, among: u32) -> Self {
        let among = among.max(1);
        Self { period: self.period.saturating_mul(among), burst: (self.burst / among).max(1), ..*self }
    }
}

impl fmt::Display for Quota {
    /// Such as `10 units per 1s with a burst of 20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} units per {:?} with a burst of {}", self.units, self.period, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_admit_a_request_is_refused() {
        for quota in [Quota::per_second(0), Quota::per_second(1).burst(0), Quota::new(1, Duration::ZERO)] {
            assert!(quota.checked().is_err(), "{quota:?}");
        }
        assert!(Quota::new(1, Duration::MAX).checked().is_err());
        assert!(Quota::per_day(1).burst(u32::MAX).checked().is_err());
        assert!(Quota::per_day(1).burst(3650).checked().is_ok());
        assert!(Quota::per_second(u32::MAX).checked().is_ok());
    }

    #[test]
    fn all_shares_together_are_the_quota() {
        let share = Quota::per_minute(100).burst(30).share(3);
        assert_eq!((share.interval(), share.max_burst()), (Duration::from_millis(1_800), 10));
        assert_eq!(Quota::per_minute(1).share(3), Quota::new(1, Duration::from_secs(180)));
        assert_eq!(Quota::per_minute(1).share(0), Quota::per_minute(1));
    }

    #[test]
    fn the_interval_is_rounded_up_so_that_the_rate_is_never_exceeded() {
        assert_eq!(Quota::per_second(3).interval(), Duration::from_nanos(333_333_334));
        assert_eq!(Quota::per_second(3).window(), Duration::from_secs(1));
        assert_eq!(Quota::per_second(u32::MAX).interval(), Duration::from_nanos(1));
    }
}

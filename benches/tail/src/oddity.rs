//! What is wrong with the first of the backends, and the capacity that is left.

use std::time::Duration;

use clap::ValueEnum;

/// Number of backends.
pub(crate) const BACKENDS: usize = 5;
/// Number of requests that a backend works on at once. Further requests wait at the backend.
pub(crate) const SLOTS: usize = 4;
/// Mean service time of a request. Service times are exponentially distributed.
pub(crate) const MEAN_SERVICE: Duration = Duration::from_millis(5);
/// How often the stalling backend stalls, measured from the start of one stall to the start of the next.
const STALL_PERIOD: Duration = Duration::from_secs(5);
/// Length of a stall.
const STALL: Duration = Duration::from_secs(1);
/// Time from the start of the run to the first stall.
const FIRST_STALL: Duration = Duration::from_secs(2);

/// What is wrong with the first backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Oddity {
    /// Nothing: all backends are alike.
    None,
    /// Its service times are ten times as long.
    Slow,
    /// It does no work for one second in five.
    Stall,
    /// It answers each request with 500 at once.
    Error,
}

impl Oddity {
    pub(crate) const DEFAULT: [Self; 3] = [Self::Slow, Self::Stall, Self::Error];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slow => "one is 10 times slower",
            Self::Stall => "one stalls 1 s in 5",
            Self::Error => "one answers 500 at once",
        }
    }

    /// Returns the number of requests per second that all backends together can answer with 200.
    pub(crate) fn capacity(self) -> f64 {
        let odd = match self {
            Self::None => 1.0,
            Self::Slow => 0.1,
            Self::Stall => 1.0 - STALL.as_secs_f64() / STALL_PERIOD.as_secs_f64(),
            Self::Error => 0.0,
        };
        (BACKENDS as f64 - 1.0 + odd) * SLOTS as f64 / MEAN_SERVICE.as_secs_f64()
    }

    /// Returns the time at which work of length `service` ends that starts at `start`, both measured from the start of
    /// the run, at the backend with this oddity.
    pub(crate) fn end(self, start: Duration, service: Duration) -> Duration {
        match self {
            Self::None | Self::Error => start + service,
            Self::Slow => start + service * 10,
            Self::Stall => end_between_stalls(start, service),
        }
    }
}

/// Advances from `start` by `service`, not counting the time of stalls.
fn end_between_stalls(start: Duration, service: Duration) -> Duration {
    let (mut now, mut left) = (start, service);
    loop {
        let stall = next_stall(now);
        if now + left <= stall {
            return now + left;
        }
        left -= stall.saturating_sub(now);
        now = stall + STALL;
    }
}

/// Returns the start of the stall that lasts at `now`, or else of the next stall.
fn next_stall(now: Duration) -> Duration {
    let mut stall = FIRST_STALL;
    while stall + STALL <= now {
        stall += STALL_PERIOD;
    }
    stall
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn work_waits_while_the_backend_stalls() {
        assert_eq!(Oddity::Stall.end(ms(0), ms(10)), ms(10));
        assert_eq!(Oddity::Stall.end(ms(1_990), ms(20)), ms(3_010));
        assert_eq!(Oddity::Stall.end(ms(2_500), ms(20)), ms(3_020));
        assert_eq!(Oddity::Stall.end(ms(3_000), ms(20)), ms(3_020));
        assert_eq!(Oddity::Stall.end(ms(3_000), ms(4_001)), ms(8_001));
    }

    #[test]
    fn capacity_counts_the_work_of_the_odd_backend() {
        assert_eq!(Oddity::None.capacity(), 4_000.0);
        assert_eq!(Oddity::Slow.capacity().round(), 3_280.0);
        assert_eq!(Oddity::Stall.capacity().round(), 3_840.0);
        assert_eq!(Oddity::Error.capacity(), 3_200.0);
    }
}

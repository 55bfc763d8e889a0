//! A moving average of latencies that rises to a higher latency at once.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::{Timestamp, saturating_nanos},
};

/// The lowest latency in milliseconds that is stored. 0 means that there is no latency yet.
const MIN_LATENCY: f64 = 1e-6;

/// The lowest weight of a new latency. It makes the average of a busy endpoint depend on its last few hundred
/// responses. With a lower limit, the highest of many thousand latencies would determine the average. This says little
/// about the endpoint, and would keep requests away long after a moment of overload.
const MIN_SHARE: f64 = 0.01;

/// In this time (in nanoseconds) after the last sample, only latencies above the average are sampled.
///
/// Each sample writes to memory that picks on all threads read. Below 100 000 responses per second of an endpoint, the
/// interval changes almost nothing. Above this rate, the average depends at least on the last millisecond.
const MIN_SAMPLE_INTERVAL: u64 = 10_000;

/// The bit of the average (its sign) that marks a slow endpoint to which a request was sent to measure it again.
const ON_TRIAL: u64 = 1 << 63;

/// The bit that marks an average as a lower bound: the endpoint has not responded yet, but a request has waited for a
/// response. It is the last bit of an `f64`. A change of this bit is too small to matter in comparisons.
const BOUND: u64 = 1;

/// A moving average of latencies that rises to a higher latency at once.
///
/// The two words are not updated together. If two samples arrive at the same moment on two threads, both may be
/// weighted with the time since the sample before them. Their weight is then slightly too large.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// The average in milliseconds, as the bits of an `f64`. 0 before the first sample. Negative if the bit [`ON_TRIAL`]
    /// is set. Odd if the bit [`BOUND`] is set.
    estimate: AtomicU64,
    /// The time of the last sample, in nanoseconds on the pool's clock.
    stamp: AtomicU64,
}

impl Latency {
    pub(super) fn sample(&self, latency: f64, now: Timestamp, decay: Duration, fade: Duration) {
        let latency = latency.max(MIN_LATENCY);
        let last = Timestamp::from_nanos(self.stamp.load(Ordering::Relaxed));
        let mut seen = self.estimate.load(Ordering::Relaxed);
        // A clock that was set back shows 0 here too, but then the stamp differs, and has to follow.
        let elapsed = saturating_nanos(now.since(last));
        if elapsed < MIN_SAMPLE_INTERVAL && now >= last && seen & ON_TRIAL == 0 && latency < f64::from_bits(seen) {
            return;
        }
        self.stamp.store(now.as_nanos(), Ordering::Relaxed);
        let share = share_after(elapsed, saturating_nanos(decay), saturating_nanos(fade));
        loop {
            let estimate = f64::from_bits(seen).abs();
            let aged = estimate + (latency - estimate) * share;
            let next = if seen == 0 || latency >= estimate {
                latency
            } else if seen & ON_TRIAL != 0 {
                // Half of the distance on a logarithmic scale. A few fast responses in a row restore the average. A
                // single fast response of a slow endpoint does not.
                aged.min((estimate * latency).sqrt())
            } else {
                aged
            };
            let next = next.to_bits() & !BOUND;
            match self.estimate.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Raises the faded average to `waited`, because the latency of an abandoned request is at least this time.
    pub(super) fn raise(&self, waited: f64, now: Timestamp, fade: Duration) {
        let waited = waited.max(MIN_LATENCY);
        let last = Timestamp::from_nanos(self.stamp.load(Ordering::Relaxed));
        let fade = saturating_nanos(fade).max(1) as f64;
        let idle = saturating_nanos(now.since(last)) as f64 / fade;
        let mut seen = self.estimate.load(Ordering::Relaxed);
        loop {
            let estimate = f64::from_bits(seen).abs();
            if waited <= estimate * (-idle).exp() {
                return;
            }
            if waited < estimate {
                // The estimate has faded to less than `waited`. Its time is set so that it has faded to just that.
                let faded = (fade * (estimate / waited).ln()) as u64;
                return self.stamp.store(now.as_nanos().saturating_sub(faded), Ordering::Relaxed);
            }
            let bound = if seen == 0 { BOUND } else { seen & BOUND };
            let next = waited.to_bits() & !BOUND | bound;
            match self.estimate.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.stamp.store(now.as_nanos(), Ordering::Relaxed),
                Err(other) => seen = other,
            }
        }
    }

    /// Returns the time since the last sample, or until it if the clock was set back, in nanoseconds.
    #[inline]
    pub(super) fn idle_nanos(&self, now: Timestamp) -> u64 {
        now.as_nanos().abs_diff(self.stamp.load(Ordering::Relaxed))
    }

    /// Marks the average: the next response is that of a request that measures a slow endpoint again.
    pub(super) fn mark_trial(&self) {
        self.estimate.fetch_or(ON_TRIAL, Ordering::Relaxed);
    }

    /// Returns the average for comparisons. It is negative if it is only a lower [`BOUND`].
    #[inline]
    pub(super) fn read(&self) -> f64 {
        let word = self.estimate.load(Ordering::Relaxed);
        let estimate = f64::from_bits(word).abs();
        if word & BOUND == 0 { estimate } else { -estimate }
    }
}

/// Returns a duration in milliseconds, without the division that `Duration::as_secs_f64` makes.
#[inline]
pub(super) fn millis(duration: Duration) -> f64 {
    saturating_nanos(duration) as f64 * 1e-6
}

/// Returns the weight of a sample that arrives `elapsed` after the last one. All arguments are in nanoseconds.
#[inline]
fn share_after(elapsed: u64, decay: u64, fade: u64) -> f64 {
    // 1 − e^(−x) is at most x, so where x is below the minimum share, there is nothing to compute.
    if elapsed <= fade && elapsed < decay / 100 {
        return MIN_SHARE;
    }
    let per = |time: u64| elapsed as f64 / time.max(1) as f64;
    // After a gap longer than the fading time, what was left of the memory had faded, not only aged.
    let x = per(decay).max(per(fade) - 1.0);
    (-(-x).exp_m1()).max(MIN_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_ten_microseconds_of_a_sample_only_higher_latencies_are_sampled() {
        const DECAY: Duration = Duration::from_secs(10);
        let latency = Latency::default();
        let sample = |millis, at_nanos, expected: f64, why| {
            latency.sample(millis, Timestamp::from_nanos(at_nanos), DECAY, DECAY);
            assert!((latency.read() - expected).abs() < 1e-9, "{} instead of {expected}: {why}", latency.read());
        };
        sample(10.0, 1_000_000, 10.0, "the first");
        sample(2.0, 1_009_999, 10.0, "lower and within the interval");
        sample(20.0, 1_009_999, 20.0, "higher");
        sample(10.0, 1_019_999, 19.9, "10 µs after the last sample");
        sample(9.9, 1_000_000, 19.8, "the clock was set back");
    }
}

//! The penalty of an endpoint for failures.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::Timestamp,
};

/// The maximum time for which `Retry-After` keeps the penalty at its maximum. Source: linkerd.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The penalty for failures, in one word. The upper half is the penalty in seconds, as an `f32`. The lower half is the
/// time from which the penalty fades, in units of 2²⁰ ns (about a millisecond). 0 means that there is no penalty.
#[derive(Debug, Default)]
pub(super) struct Penalty(AtomicU64);

impl Penalty {
    /// A penalty below this many seconds is removed.
    const NEGLIGIBLE: f32 = 1e-6;

    fn ticks(at: Timestamp) -> u32 {
        (at.as_nanos() >> 20) as u32
    }

    /// Returns the faded penalty in seconds at `now`.
    fn seconds(word: u64, now: Timestamp, fade: Duration) -> f32 {
        let full = f32::from_bits((word >> 32) as u32);
        if Self::is_held(word, now) {
            return full;
        }
        // The counters wrap. The age is right up to 26 days; an older penalty has long faded.
        let age = Self::ticks(now).wrapping_sub(word as u32).cast_signed();
        if age < 0 {
            // Later than any `Retry-After` allows: the clock was set back.
            return 0.0;
        }
        let age = age as f32 * (1u32 << 20) as f32 * 1e-9;
        full * (-age / fade.as_secs_f32().max(f32::MIN_POSITIVE)).exp()
    }

    /// Returns whether the time of a `Retry-After` is not over yet, so that the penalty does not fade.
    fn is_held(word: u64, now: Timestamp) -> bool {
        let ahead = (word as u32).wrapping_sub(Self::ticks(now));
        ahead > 0 && ahead <= Self::ticks(Timestamp::ZERO + MAX_RETRY_AFTER) + 1
    }

    #[inline]
    pub(super) fn millis(&self, now: Timestamp, fade: Duration) -> f64 {
        match self.0.load(Ordering::Relaxed) {
            0 => 0.0,
            word => f64::from(Self::seconds(word, now, fade)) * 1e3,
        }
    }

    fn change(&self, change: impl Fn(u64) -> Option<u64>) {
        // `Err` means that there was nothing to change.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    pub(super) fn add(&self, now: Timestamp, fade: Duration, most: Duration, hold: Duration) {
        self.change(|word| {
            let left = if word == 0 { 0.0 } else { Self::seconds(word, now, fade) };
            let most = most.as_secs_f32();
            let next = if hold.is_zero() { (2.0 * left + most / 8.0).min(most) } else { most };
            // A `Retry-After` that has not passed is not cut short.
            let from = Self::ticks(now + hold);
            let later = word != 0 && Self::is_held(word, now) && (word as u32).wrapping_sub(from).cast_signed() > 0;
            let from = if later { word as u32 } else { from };
            Some(u64::from(next.to_bits()) << 32 | u64::from(from))
        });
    }

    #[inline]
    pub(super) fn forgive(&self, now: Timestamp, fade: Duration) {
        if self.0.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.change(|word| {
            if word == 0 || Self::is_held(word, now) {
                return None;
            }
            let left = Self::seconds(word, now, fade) / 4.0;
            Some(if left < Self::NEGLIGIBLE {
                0
            } else {
                u64::from(left.to_bits()) << 32 | u64::from(Self::ticks(now))
            })
        });
    }
}

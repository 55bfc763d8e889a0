//! The penalty of an endpoint for failures, as Peak-EWMA and Log-EWMA store it.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::Timestamp,
};

/// The maximum time for which `Retry-After` keeps the maximum penalty. Source: linkerd.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The length of a tick in nanoseconds: about a millisecond.
pub(super) const TICK: u32 = 1 << 20;

/// The penalty for failures, in one word. The upper half contains the penalty as an `f32`, in a unit that the strategy
/// chooses. The lower half contains the time from which the penalty fades, in [`TICK`]s. 0 if there is no penalty.
///
/// The methods get `left`, which returns the part of a penalty that is left after a number of ticks.
#[derive(Debug, Default)]
pub(super) struct FadingPenalty(AtomicU64);

fn ticks(at: Timestamp) -> u32 {
    (at.as_nanos() / u64::from(TICK)) as u32
}

fn word(penalty: f32, from: u32) -> u64 {
    u64::from(penalty.to_bits()) << 32 | u64::from(from)
}

/// Returns what is left of the penalty at `now`.
fn faded(word: u64, now: Timestamp, left: impl Fn(u32) -> f32) -> f32 {
    let full = f32::from_bits((word >> 32) as u32);
    if word == 0 || is_held(word, now) {
        return full;
    }
    // The lower half overflows after 52 days. The age is right up to 26 days, and an older penalty has faded.
    match u32::try_from(ticks(now).wrapping_sub(word as u32).cast_signed()) {
        Ok(age) => full * left(age),
        // The time is later than any `Retry-After` allows, so the clock was set back.
        Err(_) => 0.0,
    }
}

/// Returns whether `Retry-After` still prevents the penalty from fading at `now`.
fn is_held(word: u64, now: Timestamp) -> bool {
    let ahead = (word as u32).wrapping_sub(ticks(now));
    ahead > 0 && ahead <= ticks(Timestamp::ZERO + MAX_RETRY_AFTER) + 1
}

impl FadingPenalty {
    /// Returns whether there is no penalty.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Returns whether `Retry-After` still prevents the penalty from fading at `now`.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        is_held(self.0.load(Ordering::Relaxed), now)
    }

    /// Returns what is left of the penalty at `now`.
    #[inline]
    pub(super) fn at(&self, now: Timestamp, left: impl Fn(u32) -> f32) -> f32 {
        match self.0.load(Ordering::Relaxed) {
            0 => 0.0,
            word => faded(word, now, left),
        }
    }

    /// Adds a failure. The first failure adds an eighth of `max`, and each further one more than doubles the penalty, up
    /// to `max`. If `retry_after` is not zero, the penalty is `max` and begins to fade after that time.
    pub(super) fn add(&self, now: Timestamp, max: f32, retry_after: Duration, left: impl Fn(u32) -> f32) {
        let hold = retry_after.min(MAX_RETRY_AFTER);
        self.change(|seen| {
            let next = if hold.is_zero() { (2.0 * faded(seen, now, &left) + max / 8.0).min(max) } else { max };
            // An earlier `Retry-After` that ends later still counts.
            let from = ticks(now + hold);
            let later = seen != 0 && is_held(seen, now) && (seen as u32).wrapping_sub(from).cast_signed() > 0;
            Some(word(next, if later { seen as u32 } else { from }))
        });
    }

    /// Removes three quarters of the penalty after a success, unless `Retry-After` keeps it. A penalty below
    /// `negligible` is removed.
    pub(super) fn forgive(&self, now: Timestamp, negligible: f32, left: impl Fn(u32) -> f32) {
        self.change(|seen| {
            if seen == 0 || is_held(seen, now) {
                return None;
            }
            let rest = faded(seen, now, &left) / 4.0;
            Some(if rest < negligible { 0 } else { word(rest, ticks(now)) })
        });
    }

    fn change(&self, change: impl Fn(u64) -> Option<u64>) {
        // `Err` means that there was nothing to change.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

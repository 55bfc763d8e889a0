//! The state of an endpoint, and its penalty: what failures add to the cost of the endpoint.

use std::time::Duration;

use super::estimate::{Estimate, Memory, Trials};
use crate::{
    sync::{AtomicU64, Ordering},
    time::{Timestamp, saturating_nanos},
    verdict::Verdict,
};

/// The state that [`LogEwma`](crate::LogEwma) keeps of an endpoint: its estimated latency, its trials and its penalty.
/// (A trial is a request that measures a slow endpoint again.)
#[derive(Debug, Default)]
#[repr(align(64))] // A cache line of its own, so that writes do not slow down reads of its neighbours.
pub struct LogEwmaState {
    pub(super) estimate: Estimate,
    pub(super) trials: Trials,
    pub(super) penalty: Penalty,
}

impl LogEwmaState {
    /// Samples the latency of a response.
    pub(super) fn sample(&self, latency: Duration, now: Timestamp, memory: Memory) {
        self.estimate.sample(latency, now, memory, &self.trials);
    }

    /// Counts the verdict of a request: a success reduces the penalty, and a failure adds to it.
    pub(super) fn count(&self, verdict: Verdict, now: Timestamp, memory: Memory) {
        let long_memory = || memory.after(self.estimate.interval());
        let retry_after = match verdict {
            Verdict::Success => return self.penalty.succeed(now, long_memory),
            Verdict::Failure(_) => None,
            Verdict::Overloaded { retry_after } | Verdict::Unavailable { retry_after } => retry_after,
            Verdict::Neutral => return,
        };
        self.penalty.add(now, long_memory(), retry_after);
    }
}

/// The maximum time for which `Retry-After` keeps the maximum penalty. Source: linkerd.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// `Retry-After` does not keep the maximum penalty if the endpoint has had a success within this time.
const RECENT_SUCCESS: Duration = Duration::from_secs(1);

/// The precision of the time of the last success in nanoseconds. With a higher precision, more successes would write to
/// memory that picks read.
const SUCCESS_RESOLUTION: u64 = 1 << 26;

/// The weight of a new response in the share of failures. With it, the share is that of about the last hundred
/// responses.
const OUTCOME_SHARE: f64 = 0.01;

/// A share of failures below this counts as 0, so that successes of an endpoint that does not fail write nothing.
const NEGLIGIBLE_SHARE: f64 = 1e-4;

/// A penalty below this many milliseconds is removed.
const NEGLIGIBLE: f32 = 1e-3;

/// The penalty of one endpoint for its failures.
#[derive(Debug, Default)]
pub(super) struct Penalty {
    /// The upper half contains the penalty in milliseconds as an `f32`. The lower half contains the time from which the
    /// penalty fades, in units of 2²⁰ ns (about a millisecond). 0 if there is no penalty.
    word: AtomicU64,
    /// The time of the last success, in nanoseconds on the clock of the pool. 0 before the first success.
    succeeded_at: AtomicU64,
    /// The share of failures among the last responses, from 0 to 1, as the bits of an `f64`: a moving average.
    failing: AtomicU64,
}

fn ticks(at: Timestamp) -> u32 {
    (at.as_nanos() >> 20) as u32
}

fn word(millis: f32, from: u32) -> u64 {
    u64::from(millis.to_bits()) << 32 | u64::from(from)
}

/// Returns the penalty at `now`, in milliseconds.
fn left(word: u64, now: Timestamp, memory: Memory) -> f32 {
    let full = f32::from_bits((word >> 32) as u32);
    if word == 0 || is_held(word, now) {
        return full;
    }
    // The lower half overflows after 52 days. The age is right up to 26 days, and an older penalty has faded.
    let age = ticks(now).wrapping_sub(word as u32).cast_signed();
    if age < 0 {
        // The time is later than any `Retry-After` allows, so the clock was set back.
        return 0.0;
    }
    full * memory.left(f64::from(age) * f64::from(1 << 20)) as f32
}

/// Returns whether `Retry-After` still prevents the penalty from fading at `now`.
fn is_held(word: u64, now: Timestamp) -> bool {
    let ahead = (word as u32).wrapping_sub(ticks(now));
    ahead > 0 && ahead <= ticks(Timestamp::ZERO + MAX_RETRY_AFTER) + 1
}

impl Penalty {
    /// Returns whether there is no penalty.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.word.load(Ordering::Relaxed) == 0
    }

    /// Returns the penalty at `now`, in milliseconds.
    pub(super) fn millis(&self, now: Timestamp, memory: Memory) -> f64 {
        f64::from(left(self.word.load(Ordering::Relaxed), now, memory))
    }

    /// Returns whether `Retry-After` still prevents the penalty from fading at `now`.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        is_held(self.word.load(Ordering::Relaxed), now)
    }

    /// Returns the share of failures among about the last hundred responses, from 0 to 1.
    pub(super) fn failing(&self) -> f64 {
        f64::from_bits(self.failing.load(Ordering::Relaxed))
    }

    /// Counts a response in the share of failures. `outcome` is 1 for a failure and 0 for a success. If two responses
    /// are counted at the same time, one of them may be lost.
    fn count(&self, outcome: f64) {
        let failing = self.failing();
        let next = failing + (outcome - failing) * OUTCOME_SHARE;
        let next = if next < NEGLIGIBLE_SHARE { 0.0 } else { next };
        self.failing.store(next.to_bits(), Ordering::Relaxed);
    }

    fn change(&self, change: impl Fn(u64) -> Option<u64>) {
        // `Err` means that there was nothing to change.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Adds a failure. The first failure adds an eighth of the maximum penalty, and each further one more than doubles
    /// the penalty. `retry_after` sets the maximum penalty, which then begins to fade after that time.
    pub(super) fn add(&self, now: Timestamp, memory: Memory, retry_after: Option<Duration>) {
        self.count(1.0);
        let max = memory.max_penalty as f32;
        let hold = retry_after.filter(|_| !self.has_succeeded_recently(now)).unwrap_or_default().min(MAX_RETRY_AFTER);
        self.change(|seen| {
            let next = if hold.is_zero() { (2.0 * left(seen, now, memory) + max / 8.0).min(max) } else { max };
            // An earlier `Retry-After` that ends later still counts.
            let from = ticks(now + hold);
            let later = seen != 0 && is_held(seen, now) && (seen as u32).wrapping_sub(from).cast_signed() > 0;
            Some(word(next, if later { seen as u32 } else { from }))
        });
    }

    /// Counts a success: removes three quarters of the penalty, unless `Retry-After` keeps it.
    #[inline]
    pub(super) fn succeed(&self, now: Timestamp, memory: impl FnOnce() -> Memory) {
        if now.as_nanos().abs_diff(self.succeeded_at.load(Ordering::Relaxed)) >= SUCCESS_RESOLUTION {
            self.succeeded_at.store(now.as_nanos().max(1), Ordering::Relaxed);
        }
        if self.failing() > 0.0 {
            self.count(0.0);
        }
        if !self.is_none() {
            self.forgive(now, memory());
        }
    }

    #[cold]
    fn forgive(&self, now: Timestamp, memory: Memory) {
        self.change(|seen| {
            if seen == 0 || is_held(seen, now) {
                return None;
            }
            let left = left(seen, now, memory) / 4.0;
            Some(if left < NEGLIGIBLE { 0 } else { word(left, ticks(now)) })
        });
    }

    fn has_succeeded_recently(&self, now: Timestamp) -> bool {
        let last = self.succeeded_at.load(Ordering::Relaxed);
        last != 0 && now.as_nanos().abs_diff(last) < saturating_nanos(RECENT_SUCCESS)
    }
}

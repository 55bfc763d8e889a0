//! The state of an endpoint, and its penalty: what failures add to the cost of the endpoint.

use std::time::Duration;

use super::estimate::{Estimate, Memory, Trials};
use crate::{
    strategy::penalty::{FadingPenalty, TICK},
    sync::{AtomicU64, Ordering},
    time::Timestamp,
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

    /// Counts a request that was given up after it had `waited`.
    pub(super) fn abandon(&self, waited: Duration, now: Timestamp, memory: Memory) {
        self.estimate.raise(waited, now, memory, &self.trials);
    }

    /// Counts the verdict of a request: a success reduces the penalty, and a failure adds to it.
    pub(super) fn count(&self, verdict: Verdict, now: Timestamp, memory: Memory) {
        let retry_after = match verdict {
            Verdict::Success => return self.penalty.succeed(now, memory),
            Verdict::Failure(_) | Verdict::Neutral => None,
            Verdict::Overloaded { retry_after } | Verdict::Unavailable { retry_after } => retry_after,
        };
        self.estimate.unmark_trial();
        if verdict != Verdict::Neutral {
            let retry_after = retry_after.filter(|_| !self.estimate.has_responded_within(RECENT_RESPONSE, now));
            self.penalty.add(now, memory.after(self.estimate.interval()), retry_after.unwrap_or_default());
        }
    }
}

/// `Retry-After` does not keep the maximum penalty if a response of the endpoint has come within this time.
const RECENT_RESPONSE: Duration = Duration::from_secs(1);

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
    /// In milliseconds.
    fading: FadingPenalty,
    /// The share of failures among the last responses, from 0 to 1, as the bits of an `f64`: a moving average.
    failing: AtomicU64,
}

/// Returns the part of a penalty that is left after a number of ticks.
fn left(memory: Memory) -> impl Fn(u32) -> f32 {
    move |age| memory.left(f64::from(age) * f64::from(TICK)) as f32
}

impl Penalty {
    /// Returns whether there is no penalty.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.fading.is_none()
    }

    /// Returns the penalty at `now`, in milliseconds.
    pub(super) fn millis(&self, now: Timestamp, memory: Memory) -> f64 {
        f64::from(self.fading.at(now, left(memory)))
    }

    /// Returns whether `Retry-After` still prevents the penalty from fading at `now`.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        self.fading.is_held(now)
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

    /// Adds a failure. The first failure adds an eighth of the maximum penalty, and each further one more than doubles
    /// the penalty. If `retry_after` is not zero, it sets the maximum penalty, which then begins to fade after that time.
    pub(super) fn add(&self, now: Timestamp, memory: Memory, retry_after: Duration) {
        self.count(1.0);
        self.fading.add(now, memory.max_penalty as f32, retry_after, left(memory));
    }

    /// Counts a success: removes three quarters of the penalty, unless `Retry-After` keeps it. `memory` is that without
    /// rare requests: with a longer memory, more would be left of the penalty than picks see, and a success would raise
    /// it.
    #[inline]
    pub(super) fn succeed(&self, now: Timestamp, memory: Memory) {
        if self.failing() > 0.0 {
            self.count(0.0);
        }
        if !self.is_none() {
            self.fading.forgive(now, NEGLIGIBLE, left(memory));
        }
    }
}

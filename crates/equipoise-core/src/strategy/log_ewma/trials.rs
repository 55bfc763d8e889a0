//! How often a slow endpoint is tried again. A trial is a request that measures a slow endpoint.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::{Timestamp, saturating_nanos},
};

/// A response to a trial is fast if its latency is less than the estimate divided by this factor. If an endpoint is
/// still slow and latencies are distributed exponentially, one response in six is fast.
const FAST: f64 = 3.0;

/// The factor by which the time between trials grows after a slow response.
const GROWTH: u64 = 2;

/// The factor by which the time between trials shrinks after a fast response. It is the square of [`GROWTH`]: two slow
/// responses make up for one fast response. The time grows if more than two of three responses are slow.
const SHRINKAGE: u64 = 4;

/// The minimum and maximum time between two trials of an endpoint, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrialIntervals {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl TrialIntervals {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min: saturating_nanos(min), max: saturating_nanos(max) }
    }
}

/// The trials of one endpoint. The time until the next trial doubles with each slow response. An endpoint that has been
/// slow for a second is tried after half a second, and one that has been slow for a minute every ten seconds.
///
/// The fields are not updated together. If two responses come at the same time, one change of the interval may be lost.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// The time of the last trial, in nanoseconds on the clock of the pool.
    begun_at: AtomicU64,
    /// The minimum time between the last trial and the next one, in nanoseconds. 0 before the first response to a
    /// trial.
    interval: AtomicU64,
}

impl Trials {
    /// Returns whether a trial may begin: the last one is longer ago than the interval, and than `min` nanoseconds.
    pub(super) fn may_begin(&self, now: Timestamp, min: u64) -> bool {
        // Also true if the clock was set back by more than the interval.
        now.as_nanos().abs_diff(self.begun_at.load(Ordering::Relaxed)) >= self.interval().max(min)
    }

    pub(super) fn begin(&self, now: Timestamp) {
        self.begun_at.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Returns the minimum time between two trials in nanoseconds. 0 before the first response to a trial.
    pub(super) fn interval(&self) -> u64 {
        self.interval.load(Ordering::Relaxed)
    }

    /// Changes the interval after a response to a trial. `latency` is that of the response and `estimate` the estimate
    /// before it, both in milliseconds.
    pub(super) fn learn(&self, latency: f64, estimate: f64, limits: TrialIntervals) {
        let last = self.interval().max(limits.min);
        let next =
            if latency * FAST > estimate { last.saturating_mul(GROWTH).min(limits.max) } else { last / SHRINKAGE };
        self.interval.store(next, Ordering::Relaxed);
    }
}

//! How long the measurements of an endpoint are remembered.

use std::time::Duration;

use super::trials::TrialIntervals;
use crate::time::saturating_nanos;

/// The minimum number of responses that are remembered. Without it, an endpoint with one request in half a minute would
/// forget each response before the next one.
const MIN_TURNS: f64 = 10.0;

/// The settings that say how long the measurements of an endpoint count, and the limits of trials and penalties.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The time after which an old response weighs 1/e, in nanoseconds.
    decay: f64,
    /// The time after which the measurements of an idle endpoint weigh 1/e, in nanoseconds.
    fade: f64,
    /// The minimum and maximum time between two trials.
    pub(super) trials: TrialIntervals,
    /// The maximum penalty in milliseconds.
    pub(super) max_penalty: f64,
}

impl Memory {
    pub(super) fn new(decay: Duration, fade: Duration, trials: TrialIntervals, max_penalty: f64) -> Self {
        Self { decay: saturating_nanos(decay) as f64, fade: saturating_nanos(fade) as f64, trials, max_penalty }
    }

    /// Returns this memory for an endpoint that gets a request once per `interval` nanoseconds. It lasts at least
    /// [`MIN_TURNS`] intervals.
    #[inline]
    pub(super) fn after(self, interval: f64) -> Self {
        let turns = MIN_TURNS * interval;
        Self { decay: self.decay.max(turns), fade: self.fade.max(turns), ..self }
    }

    /// Returns this memory with a fading time of at least `fade` nanoseconds.
    pub(super) fn lasting(self, fade: u64) -> Self {
        Self { fade: self.fade.max(fade as f64), ..self }
    }

    /// Returns the weight of a response that comes `elapsed` nanoseconds after the last one.
    pub(super) fn share(self, elapsed: u64) -> f64 {
        let elapsed = elapsed as f64;
        // After a gap longer than the fading time, the old average had not only aged but also faded.
        let x = (elapsed / self.decay).max(elapsed / self.fade - 1.0);
        // 1 − e^(−x) is close to x, and at most x.
        if x < 0.01 { x } else { -(-x).exp_m1() }
    }

    /// Returns the part of a measurement that is left after `idle` nanoseconds without responses, from 1 down to 0.
    pub(super) fn left(self, idle: f64) -> f64 {
        (-idle / self.fade).exp()
    }

    /// Returns the time after which a measurement of an idle endpoint weighs 1/e, in nanoseconds.
    pub(super) fn fade(self) -> f64 {
        self.fade
    }
}

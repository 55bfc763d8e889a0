//! The estimated latency of an endpoint: a moving average of the logarithm of latencies, the mean time between
//! responses, how long both are remembered, and how often a slow endpoint is tried again.

use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::{Timestamp, saturating_nanos},
};

/// The lowest latency that is sampled, in milliseconds: 10 µs. Differences below it come from the scheduling of threads
/// and not from endpoints. An estimate of 0 means that nothing was measured.
const MIN_LATENCY: f64 = 0.01;

/// The minimum weight of a response in the average. With it, the average of a busy endpoint is that of about its last
/// hundred responses. With a lower weight, changes of latency are noticed too late.
const MIN_SHARE: f64 = 0.03;

/// The minimum weight of a response to a trial if it is faster than the average. Responses to trials are rare, so each
/// of them must count more than other responses. With a weight of a half or more, a single fast response of a slow
/// endpoint would make the endpoint look fast.
const TRIAL_SHARE: f64 = 0.3;

/// The maximum first interval between two responses, in nanoseconds. Without it, an endpoint that got one request and
/// then none for an hour would count as an endpoint with one response per hour.
const MAX_FIRST_INTERVAL: f64 = 60e9;

/// The weight of a new interval in the mean interval between responses.
const INTERVAL_SHARE: f64 = 0.1;

/// A pause of more than this number of mean intervals between responses counts as this number. If responses come at
/// random times, one interval in 3 000 is longer.
const MAX_INTERVALS: f64 = 8.0;

/// If requests wait and no response has come for this number of mean intervals between responses, the endpoint counts
/// as silent. With a third of it, endpoints with a few long requests count as silent too often.
const SILENCE: f64 = 24.0;

/// A response within this time (in nanoseconds) after the last sample is not sampled.
///
/// Each sample writes to memory that picks on all threads read. At less than 100 000 responses per second and endpoint,
/// the limit changes next to nothing.
const MIN_SAMPLE_INTERVAL: u64 = 10_000;

/// A time that is earlier than a stored one by at most this much comes from a thread that read the clock before another
/// thread stored its time. An earlier time comes from a clock that was set back.
const MAX_SKEW: Duration = Duration::from_millis(1);

/// The bit of the average that marks an endpoint that has been given a trial. It is the sign of the `f64`.
const ON_TRIAL: u64 = 1 << 63;

/// The bit of the average that marks it as a lower bound: no response has come yet, but a request has waited for one.
/// It is the last bit of the `f64`, which is too small to change comparisons.
const BOUND: u64 = 1;

/// A moving average of the logarithm of latencies, the mean interval between samples, and the time of the last response.
///
/// The fields are not updated together. If two threads sample at the same moment, both samples may count the time since
/// the sample before, and so weigh a little too much.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// The geometric mean of latencies in milliseconds, as the bits of an `f64`. 0 before the first sample. The bits
    /// [`ON_TRIAL`] and [`BOUND`] are marks.
    average: AtomicU64,
    /// The time from which the average fades, in nanoseconds on the pool's clock: that of the last sample, or of the
    /// last request that was given up and changed the average.
    updated_at: AtomicU64,
    /// The time of the last sampled response, in nanoseconds on the pool's clock. 0 before the first one. A response is
    /// the first byte of a response that is no failure.
    responded_at: AtomicU64,
    /// The mean interval between samples in nanoseconds, as the bits of an `f64`. 0 before the second sample.
    interval: AtomicU64,
}

impl Estimate {
    /// Samples the latency of a response. If the endpoint was on trial, `trials` is told whether it is still slow.
    pub(super) fn sample(&self, latency: Duration, now: Timestamp, memory: Memory, trials: &Trials) {
        let mut seen = self.average.load(Ordering::Relaxed);
        let responded_at = self.responded_at();
        let response = not_before(responded_at, now);
        let interval = saturating_nanos(response.since(responded_at));
        // If the clock was set back, the interval is 0 too, but then the times have to follow.
        let is_close = interval < MIN_SAMPLE_INTERVAL && response >= responded_at;
        if is_close && seen & (ON_TRIAL | BOUND) == 0 && seen != 0 {
            return;
        }
        self.responded_at.store(response.as_nanos().max(1), Ordering::Relaxed);
        let is_first = responded_at == Timestamp::ZERO;
        let memory = memory.after(if is_first { 0.0 } else { self.count_interval(interval as f64) });
        let updated_at = self.updated_at();
        let now = not_before(updated_at, now);
        self.updated_at.store(now.as_nanos(), Ordering::Relaxed);
        let elapsed = saturating_nanos(now.since(updated_at));
        let share = memory.share(elapsed).max(MIN_SHARE);
        let latency = millis(latency).max(MIN_LATENCY);
        if seen & ON_TRIAL != 0 {
            trials.learn(latency, f64::from_bits(seen & !ON_TRIAL), memory.trials);
        }
        loop {
            let average = f64::from_bits(seen & !ON_TRIAL);
            let on_trial = seen & ON_TRIAL != 0 && latency < average;
            let share = if on_trial { share.max(TRIAL_SHARE) } else { share };
            let next =
                if seen & !ON_TRIAL == 0 || seen & BOUND != 0 { latency } else { blend(average, latency, share) };
            match self.average.compare_exchange_weak(seen, word(next), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Adds the interval since the last sample to the mean interval. Returns the mean before. For the first interval,
    /// it returns that interval.
    fn count_interval(&self, elapsed: f64) -> f64 {
        let mean = self.interval();
        let (before, next) = if mean == 0.0 {
            let first = elapsed.clamp(1.0, MAX_FIRST_INTERVAL);
            (first, first)
        } else {
            // A pause counts as a few intervals, so that it does not lengthen the memory for long.
            (mean, mean + (elapsed.min(MAX_INTERVALS * mean) - mean) * INTERVAL_SHARE)
        };
        self.interval.store(next.max(1.0).to_bits(), Ordering::Relaxed);
        before
    }

    /// Counts a request that was given up after it had `waited`. This never lowers the estimate.
    ///
    /// If no response came while the request waited, the estimate is raised to `waited`. If responses came meanwhile,
    /// `waited` counts as the latency of one more response.
    pub(super) fn raise(&self, waited: Duration, now: Timestamp, memory: Memory, trials: &Trials) {
        if self.unmark_trial() {
            trials.postpone(memory.trials);
        }
        let last = self.updated_at();
        let now = not_before(last, now);
        let idle = saturating_nanos(now.since(last)) as f64;
        let is_silent = now.since(self.responded_at()) >= waited;
        let memory = memory.after(self.interval());
        let waited_millis = millis(waited).max(MIN_LATENCY);
        let mut seen = self.average.load(Ordering::Relaxed);
        loop {
            let average = f64::from_bits(seen & !ON_TRIAL);
            if waited_millis <= average * memory.left(idle) {
                return;
            }
            let (next, bound) = match seen & !ON_TRIAL {
                0 => (waited_millis, BOUND),
                _ if waited_millis < average => {
                    // The estimate has faded below `waited`. With this time, it has faded to exactly `waited`.
                    let faded = (memory.fade() * (average / waited_millis).ln()) as u64;
                    return self.updated_at.store(now.as_nanos().saturating_sub(faded), Ordering::Relaxed);
                }
                measured if measured & BOUND != 0 || is_silent => (waited_millis, measured & BOUND),
                _ => (blend(average, waited_millis, MIN_SHARE), 0),
            };
            match self.average.compare_exchange_weak(seen, word(next) | bound, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.updated_at.store(now.as_nanos(), Ordering::Relaxed),
                Err(other) => seen = other,
            }
        }
    }

    /// Returns the estimate for comparisons, in milliseconds. 0 if nothing was measured. Negative if its absolute value
    /// is only a lower bound.
    #[inline]
    pub(super) fn millis(&self) -> f64 {
        let word = self.average.load(Ordering::Relaxed);
        let average = f64::from_bits(word & !ON_TRIAL);
        if word & BOUND == 0 { average } else { -average }
    }

    /// Returns the time from which the average fades.
    #[inline]
    fn updated_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.updated_at.load(Ordering::Relaxed))
    }

    /// Returns the time of the last sampled response. [`Timestamp::ZERO`] before the first one.
    #[inline]
    fn responded_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.responded_at.load(Ordering::Relaxed))
    }

    /// Returns whether a response has come within this time before or after `now`.
    pub(super) fn has_responded_within(&self, time: Duration, now: Timestamp) -> bool {
        let last = self.responded_at();
        last != Timestamp::ZERO && now.as_nanos().abs_diff(last.as_nanos()) < saturating_nanos(time)
    }

    /// Returns the mean interval between samples in nanoseconds. 0 before the second sample.
    pub(super) fn interval(&self) -> f64 {
        f64::from_bits(self.interval.load(Ordering::Relaxed))
    }

    /// Returns for how long no response has come, in milliseconds, if that is unusually long. Otherwise returns 0.
    /// `since` is the time since which requests wait. Their latency is at least the returned time.
    #[inline]
    pub(super) fn silence(&self, since: Timestamp, now: Timestamp) -> f64 {
        let silent = saturating_nanos(now.since(self.responded_at().max(since))) as f64;
        let interval = self.interval();
        if interval > 0.0 && silent > SILENCE * interval { silent * 1e-6 } else { 0.0 }
    }

    /// Returns two times in nanoseconds: the time for which the average has faded, and the time between two requests at
    /// this endpoint. The latter is the mean interval between samples, or the former time if that is longer, up to
    /// [`MAX_INTERVALS`] intervals.
    #[inline]
    pub(super) fn times(&self, now: Timestamp) -> (f64, f64) {
        let idle = saturating_nanos(now.since(self.updated_at())) as f64;
        let interval = self.interval();
        let turn = if interval == 0.0 {
            idle.min(MAX_FIRST_INTERVAL)
        } else {
            idle.max(interval).min(MAX_INTERVALS * interval)
        };
        (idle, turn)
    }

    /// Marks the endpoint, so that its next response counts as the response to a trial.
    pub(super) fn mark_trial(&self) {
        self.average.fetch_or(ON_TRIAL, Ordering::Relaxed);
    }

    /// Ends a trial without a response. Returns whether there was a trial.
    pub(super) fn unmark_trial(&self) -> bool {
        self.average.load(Ordering::Relaxed) & ON_TRIAL != 0
            && self.average.fetch_and(!ON_TRIAL, Ordering::Relaxed) & ON_TRIAL != 0
    }
}

/// Returns `now`, or `last` if `now` is earlier by at most [`MAX_SKEW`].
fn not_before(last: Timestamp, now: Timestamp) -> Timestamp {
    if last.since(now) <= MAX_SKEW { now.max(last) } else { now }
}

/// Returns the bits of an average without marks.
fn word(millis: f64) -> u64 {
    millis.to_bits() & !BOUND
}

/// Returns `average`, with its logarithm moved towards the logarithm of `latency` by `share` of the distance.
fn blend(average: f64, latency: f64, share: f64) -> f64 {
    average * ((latency / average).ln() * share).exp()
}

/// Returns a duration in milliseconds. Faster than `Duration::as_secs_f64`, which divides.
#[inline]
pub(super) fn millis(duration: Duration) -> f64 {
    saturating_nanos(duration) as f64 * 1e-6
}

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
        if latency * FAST > estimate {
            self.postpone(limits);
        } else {
            self.interval.store(self.interval().max(limits.min) / SHRINKAGE, Ordering::Relaxed);
        }
    }

    /// Makes the interval longer.
    fn postpone(&self, limits: TrialIntervals) {
        let next = self.interval().max(limits.min).saturating_mul(GROWTH).min(limits.max);
        self.interval.store(next, Ordering::Relaxed);
    }

    /// Forgets the interval of an endpoint that is fast again, if the last trial is longer ago than twice the maximum
    /// interval. An endpoint that becomes slow again and again keeps its interval.
    #[inline]
    pub(super) fn forget(&self, now: Timestamp, limits: TrialIntervals) {
        if self.interval() != 0 && self.may_begin(now, limits.max.saturating_mul(2)) {
            self.interval.store(0, Ordering::Relaxed);
        }
    }
}

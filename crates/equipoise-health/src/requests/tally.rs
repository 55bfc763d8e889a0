use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use equipoise_core::{Failure, Timestamp, Verdict};

use crate::{
    machine::{FailureLimit, IntervalCounts, Signal},
    settings::Outliers,
};

/// The results of the requests to one endpoint. Requests end on all threads at once, so everything is atomic.
#[derive(Debug)]
pub(super) struct Tally {
    rules: Outliers,
    failures: Consecutive,
    gateway_failures: Consecutive,
    connection_failures: Consecutive,
    failures_within: WindowCount,
    successes: AtomicU64,
    failed: AtomicU64,
    latency_samples: AtomicU64,
    latency_nanos: AtomicU64,
    /// The longest `Retry-After` since the last call of [`Tally::signals`], in nanoseconds.
    retry_after: AtomicU64,
    usual_latency: MovingAverage,
}

/// A set of signals of an endpoint, with one bit for each kind of signal.
pub(super) type Flags = u8;

const FAILURES: Flags = 1;
const GATEWAY_FAILURES: Flags = 2;
const CONNECTION_FAILURES: Flags = 4;
const FAILURES_WITHIN: Flags = 8;
const PROBATION_PASSED: Flags = 16;
const PROBATION_FAILED: Flags = 32;
const RETRY_AFTER: Flags = 64;

impl Tally {
    pub(super) fn new(rules: Outliers) -> Self {
        Self {
            rules,
            failures: Consecutive::default(),
            gateway_failures: Consecutive::default(),
            connection_failures: Consecutive::default(),
            failures_within: WindowCount::default(),
            successes: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            latency_samples: AtomicU64::new(0),
            latency_nanos: AtomicU64::new(0),
            retry_after: AtomicU64::new(0),
            usual_latency: MovingAverage::default(),
        }
    }

    /// The factor for abandoned requests: see [`Outliers::abandon_factor`]. `None` if they do not count.
    pub(super) fn abandon_factor(&self) -> Option<f64> {
        self.rules.abandon_factor
    }

    /// The usual time to the first byte in nanoseconds. 0 before the first response.
    pub(super) fn usual_latency(&self) -> u64 {
        self.usual_latency.get()
    }

    pub(super) fn on_latency(&self, latency: Duration) {
        if self.rules.abandon_factor.is_some() {
            self.usual_latency.add(latency);
        }
        if self.rules.latency.is_some() {
            self.latency_samples.fetch_add(1, Relaxed);
            self.latency_nanos.fetch_add(nanos(latency), Relaxed);
        }
    }

    /// Records the result of a request. Returns the signals that it causes.
    pub(super) fn on_outcome(&self, verdict: Verdict, now: Timestamp) -> Flags {
        match verdict {
            Verdict::Success => {
                self.on_success();
                0
            }
            Verdict::Failure(failure) => self.on_failure(failure, now),
            Verdict::Overloaded { retry_after: Some(time) } if self.rules.max_retry_after.is_some() => {
                self.on_retry_after(time)
            }
            Verdict::Unavailable { retry_after } => match retry_after.filter(|time| !time.is_zero()) {
                Some(time) if self.rules.max_retry_after.is_some() => self.on_retry_after(time),
                _ => self.on_failure(Failure::Gateway, now),
            },
            _ => 0,
        }
    }

    /// Returns the signal for the result of the request on probation. An endpoint that is only overloaded works, so
    /// its probation succeeds.
    pub(super) fn on_probation(verdict: Verdict) -> Flags {
        let failed = matches!(verdict, Verdict::Failure(_) | Verdict::Unavailable { .. });
        if failed { PROBATION_FAILED } else { PROBATION_PASSED }
    }

    fn on_retry_after(&self, time: Duration) -> Flags {
        self.retry_after.fetch_max(nanos(time), Relaxed);
        RETRY_AFTER
    }

    fn on_success(&self) {
        if self.rules.needs_counts() {
            self.successes.fetch_add(1, Relaxed);
        }
        self.failures.reset();
        self.gateway_failures.reset();
        self.connection_failures.reset();
    }

    fn on_failure(&self, failure: Failure, now: Timestamp) -> Flags {
        if self.rules.needs_counts() {
            self.failed.fetch_add(1, Relaxed);
        }
        let connection = matches!(failure, Failure::Connect | Failure::Transport | Failure::Timeout);
        let gateway = connection || failure == Failure::Gateway;
        let rules = &self.rules;
        let limits = [
            (&self.failures, rules.consecutive_failures, FAILURES, true),
            (&self.gateway_failures, rules.consecutive_gateway_failures, GATEWAY_FAILURES, gateway),
            (&self.connection_failures, rules.consecutive_connection_failures, CONNECTION_FAILURES, connection),
        ];
        let mut flags = 0;
        for (count, limit, flag, is_of_this_kind) in limits {
            let Some(limit) = limit else { continue };
            if !is_of_this_kind {
                count.reset();
            } else if count.reaches(limit) {
                flags |= flag;
            }
        }
        if let Some((limit, time)) = rules.failures_within
            && self.failures_within.add(now, time) >= limit
        {
            self.failures_within.reset();
            flags |= FAILURES_WITHIN;
        }
        flags
    }

    /// Returns the signals whose bits are set in `flags`.
    pub(super) fn signals(&self, flags: Flags) -> impl Iterator<Item = Signal> + use<> {
        let rules = &self.rules;
        let limit = |limit: Option<u32>, kind: fn(u32) -> FailureLimit| {
            Signal::FailureLimitReached(kind(limit.unwrap_or_default()))
        };
        let retry_after = if flags & RETRY_AFTER != 0 { self.retry_after.swap(0, Relaxed) } else { 0 };
        let signals = [
            (FAILURES, limit(rules.consecutive_failures, FailureLimit::Consecutive)),
            (GATEWAY_FAILURES, limit(rules.consecutive_gateway_failures, FailureLimit::ConsecutiveGateway)),
            (CONNECTION_FAILURES, limit(rules.consecutive_connection_failures, FailureLimit::ConsecutiveConnection)),
            (FAILURES_WITHIN, limit(rules.failures_within.map(|(count, _)| count), FailureLimit::Within)),
            (PROBATION_FAILED, Signal::ProbationFailed),
            (PROBATION_PASSED, Signal::ProbationPassed),
            (RETRY_AFTER, Signal::RetryAfter(Duration::from_nanos(retry_after))),
        ];
        signals.into_iter().filter(move |(flag, _)| flags & flag != 0).map(|(_, signal)| signal)
    }

    /// Returns the counts since the last call.
    pub(super) fn take_counts(&self) -> IntervalCounts {
        let sum = Duration::from_nanos(self.latency_nanos.swap(0, Relaxed));
        IntervalCounts::new(self.successes.swap(0, Relaxed), self.failed.swap(0, Relaxed))
            .with_latency(self.latency_samples.swap(0, Relaxed), sum)
    }
}

/// Converts a duration to nanoseconds, at most `u64::MAX`.
pub(super) fn nanos(time: Duration) -> u64 {
    (Timestamp::ZERO + time).as_nanos()
}

/// The number of consecutive failures of one kind.
#[derive(Debug, Default)]
struct Consecutive(AtomicU32);

impl Consecutive {
    /// Adds one failure. Returns whether the limit is reached. When the limit is reached, the count starts again at 0,
    /// because the endpoint may not be ejected this time.
    fn reaches(&self, limit: u32) -> bool {
        let reached = self.0.fetch_add(1, Relaxed) + 1 >= limit;
        if reached {
            self.0.store(0, Relaxed);
        }
        reached
    }

    /// Sets the count to 0. Reads it before, so that consecutive successes do not write to shared memory.
    fn reset(&self) {
        if self.0.load(Relaxed) != 0 {
            self.0.store(0, Relaxed);
        }
    }
}

/// A moving average of times in nanoseconds. Each new sample has a weight of 1/16. 0 before the first sample.
#[derive(Debug, Default)]
struct MovingAverage(AtomicU64);

impl MovingAverage {
    fn add(&self, time: Duration) {
        let time = nanos(time).max(1);
        let next = |average: u64| match average {
            0 => time,
            _ => average - average / 16 + time / 16,
        };
        let _ = self.0.fetch_update(Relaxed, Relaxed, |average| Some(next(average)));
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The number of failures in a time window that begins with its first failure. One word contains the start of the
/// window (upper 32 bits, in units of 2²⁰ ns, about a millisecond) and the count (lower 32 bits).
#[derive(Debug, Default)]
struct WindowCount(AtomicU64);

impl WindowCount {
    /// Adds one failure at `now`. Returns the new count.
    fn add(&self, now: Timestamp, window: Duration) -> u32 {
        let tick = (now.as_nanos() >> 20) as u32;
        let window = u64::try_from(window.as_nanos() >> 20).unwrap_or(u64::MAX);
        let next = |word: u64| {
            let (since, count) = ((word >> 32) as u32, word as u32);
            let is_over = count == 0 || u64::from(tick.wrapping_sub(since)) > window;
            let (since, count) = if is_over { (tick, 1) } else { (since, count.saturating_add(1)) };
            u64::from(since) << 32 | u64::from(count)
        };
        let before = self.0.fetch_update(Relaxed, Relaxed, |word| Some(next(word))).unwrap_or_default();
        next(before) as u32
    }

    fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

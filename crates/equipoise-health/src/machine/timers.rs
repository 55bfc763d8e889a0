use std::collections::BTreeSet;

use equipoise_core::Timestamp;

/// A timer of the health state machine. At most one timer with the same value is set at a time, so that each endpoint
/// has only a few timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next probe of a check is due.
    Check { record: u64, check: usize },
    /// A running probe exceeds its timeout.
    Deadline { record: u64, check: usize },
    /// The ejection or pause of an endpoint ends, or its request on probation takes too long.
    Release { record: u64 },
    /// The drain of an endpoint reaches its deadline.
    Drained { record: u64 },
    /// An interval of outlier detection ends.
    Interval,
}

/// The timers that are set, ordered by time.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    /// Sets a timer to `at`. Returns `at`, because [`cancel`](Self::cancel) needs it.
    pub(super) fn set(&mut self, at: Timestamp, timer: Timer) -> Timestamp {
        self.0.insert((at, timer));
        at
    }

    pub(super) fn cancel(&mut self, at: Option<Timestamp>, timer: Timer) {
        if let Some(at) = at {
            self.0.remove(&(at, timer));
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Removes and returns the first timer that is due at `now`.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        let &(at, timer) = self.0.first()?;
        // At the maximum time of the clock, a recurring timer would be due again at once, in an endless loop.
        (at <= now && at.as_nanos() < u64::MAX).then(|| {
            self.0.remove(&(at, timer));
            timer
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

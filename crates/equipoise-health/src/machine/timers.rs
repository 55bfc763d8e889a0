use std::collections::BTreeSet;

use equipoise_core::Timestamp;

/// A timer of the machine. Each exists at most once, so that there are only a few for each endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A check is due.
    Check { record: u64, check: usize },
    /// A probe exceeds its timeout.
    Deadline { record: u64, check: usize },
    /// An ejection, a pause or the timeout on probation ends.
    Release { record: u64 },
    /// A drain reaches its deadline.
    Drained { record: u64 },
    /// The interval of outlier detection ends.
    Interval,
}

/// The set timers, ordered by time.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    /// Sets a timer. Returns its time, which [`cancel`](Self::cancel) needs.
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

    /// Removes and returns the next timer that is due.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        let &(at, timer) = self.0.first()?;
        // At the maximum of the clock, a recurring timer would be due again at once, endlessly.
        (at <= now && at.as_nanos() < u64::MAX).then(|| {
            self.0.remove(&(at, timer));
            timer
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

use std::collections::BTreeSet;

use equipoise_core::Timestamp;

/// What is to be done later. Each exists at most once, so there are never more than a few per endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A check is due.
    Check { record: u64, check: usize },
    /// A probe has taken too long.
    Deadline { record: u64, check: usize },
    /// An ejection or a pause is over.
    Release { record: u64 },
    /// A drain is over.
    Drained { record: u64 },
    /// The window of the rates is over.
    Window,
}

/// Timers in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    /// Sets a timer; answers its handle.
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

    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        let &(at, timer) = self.0.first()?;
        // At the end of all time nothing is set for later, so nothing that recurs may be due.
        (at <= now && at.as_nanos() < u64::MAX).then(|| {
            self.0.remove(&(at, timer));
            timer
        })
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

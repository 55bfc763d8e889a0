use std::time::Duration;

use equipoise_core::Timestamp;

use crate::settings::{Schedule, Start};

/// What one check thinks of one endpoint.
#[derive(Debug)]
pub(super) struct CheckState {
    pub(super) up: bool,
    /// Results in a row that speak against `up`.
    pub(super) against: u32,
    /// Whether anything is known yet.
    pub(super) seen: bool,
    pub(super) since: Timestamp,
    /// Why the last look failed.
    pub(super) reason: Option<String>,
    /// When the next look is due, if it is.
    pub(super) due: Option<Timestamp>,
    pub(super) running: Option<Running>,
    /// Whether it waits for others' probes to end.
    pub(super) waits: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) number: u64,
    pub(super) since: Timestamp,
    pub(super) deadline: Timestamp,
}

impl CheckState {
    pub(super) fn new(schedule: &Schedule, now: Timestamp) -> Self {
        Self {
            up: schedule.start == Start::Optimistic,
            against: 0,
            seen: false,
            since: now,
            reason: None,
            due: None,
            running: None,
            waits: false,
        }
    }

    /// A look has ended. Answers whether that changes its mind.
    pub(super) fn record(&mut self, passed: bool, schedule: &Schedule, now: Timestamp) -> bool {
        let first = !std::mem::replace(&mut self.seen, true);
        if passed == self.up {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = if self.up { schedule.fall } else { schedule.rise };
        if !first && self.against < enough {
            return false;
        }
        (self.up, self.against, self.since) = (passed, 0, now);
        true
    }

    /// The time from the last look to the next.
    pub(super) fn interval(&self, schedule: &Schedule) -> Duration {
        match (self.against, self.up) {
            (0, true) => schedule.interval,
            (0, false) => schedule.down_interval(),
            _ => schedule.fast_interval(),
        }
    }
}

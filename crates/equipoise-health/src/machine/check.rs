use std::time::Duration;

use equipoise_core::Timestamp;

use crate::settings::{OnTrip, Schedule, Start};

/// What one check thinks of one endpoint.
#[derive(Debug)]
pub(super) struct CheckState {
    pub(super) up: bool,
    /// Results in a row that speak against `up`.
    pub(super) against: u32,
    /// Whether anything is known yet.
    seen: bool,
    /// Whether it takes nothing before it was looked at, and was not yet.
    pub(super) awaited: bool,
    pub(super) since: Timestamp,
    /// What the last look said against it, or why it said nothing.
    pub(super) last: Option<String>,
    /// When the next look is due, if it is.
    pub(super) due: Option<Timestamp>,
    pub(super) running: Option<Running>,
    /// Whether it waits for others' probes to end.
    pub(super) waits: bool,
    /// Whether there was no answer in time at the last look.
    pub(super) hangs: bool,
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
            awaited: schedule.start == Start::MustPass,
            since: now,
            last: None,
            due: None,
            running: None,
            waits: false,
            hangs: false,
        }
    }

    /// A look has ended, with a reason if it failed.
    pub(super) fn record(&mut self, result: Result<(), String>, schedule: &Schedule, now: Timestamp) {
        let passed = result.is_ok();
        self.awaited = false;
        self.last = result.err();
        let first = !std::mem::replace(&mut self.seen, true);
        if passed == self.up {
            self.against = 0;
            return;
        }
        self.against += 1;
        let enough = if self.up { schedule.fall } else { schedule.rise };
        if first || self.against >= enough {
            (self.up, self.against, self.since) = (passed, 0, now);
        }
    }

    /// A look has ended, and nothing was learnt by it. Nobody waits for a second one that may be like it.
    pub(super) fn learnt_nothing(&mut self, why: String) {
        self.up |= std::mem::take(&mut self.awaited);
        self.last = Some(why);
    }

    /// Requests have failed, and speak through this check.
    pub(super) fn tripped(&mut self, what: OnTrip, reason: &str, schedule: &Schedule, now: Timestamp) {
        if !self.up {
            return;
        }
        match what {
            OnTrip::Eject | OnTrip::LookSoon => return,
            OnTrip::FailCheck => {}
            // As if so many looks had failed before this one.
            OnTrip::SuddenDeath => self.against = self.against.max(schedule.fall.saturating_sub(2)),
            OnTrip::MarkDown => self.against = schedule.fall,
        }
        self.seen = true;
        self.record(Err(reason.to_owned()), schedule, now);
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

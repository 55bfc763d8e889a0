use std::time::Duration;

use equipoise_core::Timestamp;

use crate::settings::{InitialState, OnFailureLimit, Schedule};

/// The state of one check of one endpoint.
#[derive(Debug)]
pub(super) struct CheckState {
    pub(super) up: bool,
    /// The number of consecutive results that contradict `up`.
    pub(super) against: u32,
    /// Whether a result is known.
    known: bool,
    /// Whether the endpoint must pass its first probe, which has not ended yet.
    pub(super) must_pass: bool,
    pub(super) since: Timestamp,
    /// Why the last probe failed or was inconclusive.
    pub(super) last_error: Option<String>,
    /// The time of the next probe, if one is scheduled.
    pub(super) due: Option<Timestamp>,
    pub(super) running: Option<Running>,
    /// Whether a probe is due and waits for a free place.
    pub(super) waits: bool,
    /// Whether the last probe exceeded its timeout.
    pub(super) hangs: bool,
}

/// A probe that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) number: u64,
    pub(super) since: Timestamp,
    pub(super) deadline: Timestamp,
}

impl CheckState {
    pub(super) fn new(schedule: &Schedule, now: Timestamp) -> Self {
        Self {
            up: schedule.initial_state == InitialState::Up,
            against: 0,
            known: false,
            must_pass: schedule.initial_state == InitialState::MustPass,
            since: now,
            last_error: None,
            due: None,
            running: None,
            waits: false,
            hangs: false,
        }
    }

    /// Records the result of a probe.
    pub(super) fn record(&mut self, result: Result<(), String>, schedule: &Schedule, now: Timestamp) {
        let passed = result.is_ok();
        self.must_pass = false;
        self.last_error = result.err();
        let first = !std::mem::replace(&mut self.known, true);
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

    /// Records a probe that was inconclusive. It ends the wait for the first probe, because the next one may be inconclusive
    /// as well.
    pub(super) fn inconclusive(&mut self, reason: String) {
        self.up |= std::mem::take(&mut self.must_pass);
        self.last_error = Some(reason);
    }

    /// Applies a failure limit that the endpoint's requests have reached.
    pub(super) fn failure_limit_reached(
        &mut self,
        action: OnFailureLimit,
        reason: &str,
        schedule: &Schedule,
        now: Timestamp,
    ) {
        if !self.up {
            return;
        }
        match action {
            OnFailureLimit::Eject | OnFailureLimit::CheckSoon => return,
            OnFailureLimit::FailCheck => {}
            // The record below adds one, so that one more failed probe reaches `fall`.
            OnFailureLimit::SuddenDeath => self.against = self.against.max(schedule.fall.saturating_sub(2)),
            OnFailureLimit::MarkDown => self.against = schedule.fall,
        }
        self.known = true;
        self.record(Err(reason.to_owned()), schedule, now);
    }

    /// The time between the starts of the last probe and the next one.
    pub(super) fn interval(&self, schedule: &Schedule) -> Duration {
        match (self.against, self.up) {
            (0, true) => schedule.interval,
            (0, false) => schedule.interval_while_down(),
            _ => schedule.transition_interval(),
        }
    }
}

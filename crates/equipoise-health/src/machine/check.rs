use std::time::Duration;

use equipoise_core::Timestamp;

use crate::settings::{InitialState, OnFailureLimit, Schedule};

/// The state of one check of one endpoint.
#[derive(Debug)]
pub(super) struct CheckState {
    pub(super) up: bool,
    /// The number of consecutive probe results that contradict `up`.
    pub(super) contradicting: u32,
    /// Whether a probe has passed or failed, or a failure limit was applied.
    known: bool,
    /// Whether the endpoint must pass its first probe, and that probe has not ended yet.
    pub(super) must_pass: bool,
    pub(super) since: Timestamp,
    /// Why the last probe failed or was inconclusive. `None` if it passed.
    pub(super) last_error: Option<String>,
    /// The time at which the next probe starts. `None` if no probe is scheduled.
    pub(super) due: Option<Timestamp>,
    pub(super) running: Option<Running>,
    /// Whether a probe is due but waits, because the maximum number of probes runs.
    pub(super) waits: bool,
    /// Whether the last probe exceeded its timeout.
    pub(super) hangs: bool,
}

/// A running probe.
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
            contradicting: 0,
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

    /// Records the result of a probe that passed or failed.
    pub(super) fn record(&mut self, result: Result<(), String>, schedule: &Schedule, now: Timestamp) {
        let passed = result.is_ok();
        self.must_pass = false;
        self.last_error = result.err();
        let first = !std::mem::replace(&mut self.known, true);
        if passed == self.up {
            self.contradicting = 0;
            return;
        }
        self.contradicting += 1;
        let enough = if self.up { schedule.fall } else { schedule.rise };
        if first || self.contradicting >= enough {
            (self.up, self.contradicting, self.since) = (passed, 0, now);
        }
    }

    /// Records the end of an inconclusive probe. If the endpoint had to pass its first probe, it now counts as up,
    /// because further probes may be inconclusive as well.
    pub(super) fn inconclusive(&mut self, reason: String) {
        self.up |= std::mem::take(&mut self.must_pass);
        self.last_error = Some(reason);
    }

    /// Applies `action` to this check, because the endpoint's requests have reached a failure limit.
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
            // The call of `record` below adds one, so that the next failed probe reaches `fall`.
            OnFailureLimit::SuddenDeath => self.contradicting = self.contradicting.max(schedule.fall.saturating_sub(2)),
            OnFailureLimit::MarkDown => self.contradicting = schedule.fall,
        }
        self.known = true;
        self.record(Err(reason.to_owned()), schedule, now);
    }

    /// Returns the time between the starts of the last probe and the next one, before jitter.
    pub(super) fn interval(&self, schedule: &Schedule) -> Duration {
        match (self.contradicting, self.up) {
            (0, true) => schedule.interval,
            (0, false) => schedule.interval_while_down(),
            _ => schedule.transition_interval(),
        }
    }
}

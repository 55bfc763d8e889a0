//! Active checks in the health state machine: when probes start, and how their results change the state of endpoints.

use std::{collections::HashMap, time::Duration};

use equipoise_core::Timestamp;

use super::{
    Action, ProbeId,
    check::{CheckState, Running},
    state::Machine,
    stats::ProbeResult,
    timers::Timer,
};
use crate::{
    probe::{OnTimeout, ProbeError, ProbeOutcome},
    settings::{CheckPolicy, InvalidHealth},
};

/// The first probes of n endpoints that join at the same time are spread over n times this duration, so that they do
/// not all start at once. About 100 first probes start in each second.
const FIRST_PROBE_SPREAD: Duration = Duration::from_millis(10);

impl Machine {
    /// Replaces the checks at the time `now`. If a new check has the name of an old one, each endpoint keeps its state
    /// of this check. Other new checks begin in their [initial state](crate::Schedule::initial_state). Afterwards, call
    /// [`poll_action`](Self::poll_action) until it returns `None`. Takes O(n) time for n endpoints.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting. The checks are not replaced then.
    pub fn replace_checks(&mut self, now: Timestamp, checks: Vec<CheckPolicy>) -> Result<(), InvalidHealth> {
        checks.iter().try_for_each(CheckPolicy::validate)?;
        self.advance(now);
        self.stats.set_checks(&checks);
        let old_checks = std::mem::replace(&mut self.policy.checks, checks);
        let records: Vec<u64> = self.records.keys().copied().collect();
        for &number in &records {
            self.stop_checks(number);
            let Some(record) = self.records.get_mut(&number) else { continue };
            let old_states = std::mem::take(&mut record.checks);
            let mut old: HashMap<_, _> = old_checks.iter().map(|check| &check.name).zip(old_states).collect();
            let state = |check: &CheckPolicy| {
                old.remove(&check.name).unwrap_or_else(|| CheckState::new(&check.schedule, self.now))
            };
            record.checks = self.policy.checks.iter().map(state).collect();
            self.schedule_first(number, records.len());
            self.publish(number);
        }
        self.start_due();
        Ok(())
    }

    /// Schedules the first probe of each check of an endpoint, which is one of so many that begin at the same time.
    pub(super) fn schedule_first(&mut self, number: u64, endpoints: usize) {
        let spread = FIRST_PROBE_SPREAD.saturating_mul(u32::try_from(endpoints).unwrap_or(u32::MAX));
        for check in 0..self.policy.checks.len() {
            let within = spread.min(self.policy.checks[check].schedule.interval);
            self.schedule(number, check, self.now + within.mul_f64(self.random_fraction()));
        }
    }

    /// Cancels the probes of an endpoint: those that run, wait or are scheduled.
    pub(super) fn stop_checks(&mut self, number: u64) {
        let Some(record) = self.records.get_mut(&number) else { return };
        for (check, state) in record.checks.iter_mut().enumerate() {
            self.timers.cancel(state.due.take(), Timer::Check { record: number, check });
            if let Some(running) = state.running.take() {
                self.timers.cancel(Some(running.deadline), Timer::Deadline { record: number, check });
                let probe = ProbeId { record: number, check, number: running.number };
                self.actions.push_back(Action::CancelProbe(probe));
                self.running -= 1;
                self.running_hanging -= usize::from(state.hangs);
            }
            if std::mem::take(&mut state.waits) {
                self.due.forget(number);
            }
        }
    }

    pub(super) fn schedule(&mut self, number: u64, check: usize, at: Timestamp) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.checks[check].due = Some(self.timers.set(at, Timer::Check { record: number, check }));
    }

    pub(super) fn check_due(&mut self, number: u64, check: usize) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.checks[check].due = None;
        record.checks[check].waits = true;
        self.due.push((number, check), record.checks[check].hangs);
    }

    /// Starts probes that are due, until the maximum number of probes runs.
    pub(super) fn start_due(&mut self) {
        while self.running < self.policy.max_concurrent_probes {
            // Endpoints that hang get at most half of the running probes, so that they do not delay the other probes.
            let is_full = self.running_hanging >= self.policy.max_concurrent_probes.div_ceil(2);
            let Some((number, check)) = self.due.pop(!is_full) else { return };
            let Some(record) = self.records.get_mut(&number) else { continue };
            let schedule = &self.policy.checks[check].schedule;
            self.next_probe += 1;
            let running = Running { number: self.next_probe, since: self.now, deadline: self.now + schedule.timeout };
            record.checks[check].waits = false;
            record.checks[check].running = Some(running);
            self.running += 1;
            self.running_hanging += usize::from(record.checks[check].hangs);
            self.timers.set(running.deadline, Timer::Deadline { record: number, check });
            let probe = ProbeId { record: number, check, number: running.number };
            self.actions.push_back(Action::Probe { probe, id: record.id.clone(), port: schedule.port });
        }
    }

    pub(super) fn probe_timed_out(&mut self, number: u64, check: usize) {
        let Some(running) = self.records.get(&number).and_then(|record| record.checks[check].running) else { return };
        let probe = ProbeId { record: number, check, number: running.number };
        self.actions.push_back(Action::CancelProbe(probe));
        let result = match self.policy.checks[check].on_timeout {
            OnTimeout::Fail => Err(ProbeError::Timeout),
            OnTimeout::Ignore => Ok(ProbeOutcome::Inconclusive(ProbeError::Timeout)),
        };
        self.probed(probe, result);
    }

    pub(super) fn probed(&mut self, probe: ProbeId, result: Result<ProbeOutcome, ProbeError>) {
        let ProbeId { record: number, check, number: of } = probe;
        let Some(record) = self.records.get_mut(&number) else { return };
        let Some(state) = record.checks.get_mut(check) else { return };
        let Some(running) = state.running.take_if(|running| running.number == of) else { return };
        let schedule = self.policy.checks[check].schedule;
        self.timers.cancel(Some(running.deadline), Timer::Deadline { record: number, check });
        self.running -= 1;
        self.running_hanging -= usize::from(state.hangs);
        self.unprobed -= usize::from(std::mem::take(&mut record.unprobed));
        state.hangs = matches!(result, Err(ProbeError::Timeout) | Ok(ProbeOutcome::Inconclusive(ProbeError::Timeout)));
        let ended = match result {
            // The check passes with any reply of the agent. The state that the agent reports is a source of its own.
            Ok(ProbeOutcome::Agent(reply)) => {
                state.record(Ok(()), &schedule, self.now);
                let has_error = reply.unknown_word.is_some() || reply.warning.is_some();
                state.last_error = has_error.then(|| reply.text.clone());
                record.agent_replied(&reply, self.now);
                ProbeResult::Passed
            }
            // A probe that the operating system forbids says nothing about the endpoint.
            Ok(ProbeOutcome::Inconclusive(why)) | Err(why @ ProbeError::Forbidden(_)) => {
                state.inconclusive(why.to_string());
                ProbeResult::Inconclusive
            }
            Ok(ProbeOutcome::Passed) => {
                state.record(Ok(()), &schedule, self.now);
                ProbeResult::Passed
            }
            Err(why) => {
                state.record(Err(why.to_string()), &schedule, self.now);
                ProbeResult::Failed
            }
        };
        self.stats.probe_ended(&self.policy.checks[check].name, ended);
        let interval = record.checks[check].interval(&schedule);
        // Jitter only shortens the interval, so that the configured interval is an upper limit.
        let jitter = 1.0 - schedule.jitter * self.random_fraction();
        let next = (running.since + interval.mul_f64(jitter)).max(self.now);
        self.schedule(number, check, next);
        self.publish(number);
    }
}

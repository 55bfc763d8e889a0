//! Outlier detection in the health state machine: when endpoints are ejected, paused or on probation, and for how
//! long.

use std::time::Duration;

use equipoise_core::EndpointId;

use super::{
    Action, IntervalCounts, Signal,
    outliers::{Phase, find_outliers},
    state::Machine,
    timers::Timer,
};
use crate::{
    probe::OnTimeout,
    settings::{OnFailureLimit, Outliers},
};

/// How long an endpoint on probation has to answer its request. After that, another request is admitted.
const PROBATION_TIMEOUT: Duration = Duration::from_secs(10);

impl Machine {
    pub(super) fn signalled(&mut self, id: &EndpointId, signal: Signal) {
        self.decrement_ejections();
        let Some(&number) = self.ids.get(id) else { return };
        let Some(record) = self.records.get_mut(&number) else { return };
        let Some(rules) = self.policy.outliers else { return };
        // The endpoint may have been paused by another response while it was on probation. The result of the request
        // on probation still counts then.
        let paused_on_probation = record.requests.paused_on_probation;
        match (signal, record.requests.phase) {
            (Signal::FailureLimitReached(limit), Phase::Up) => {
                let has_checks = self.policy.checks.iter().any(|check| check.on_timeout == OnTimeout::Fail);
                return match rules.on_failure_limit {
                    OnFailureLimit::Eject => self.eject(number, limit.to_string(), &rules),
                    _ if !has_checks => self.eject(number, limit.to_string(), &rules),
                    action => self.fail_checks(number, &limit.to_string(), action),
                };
            }
            (Signal::ProbationFailed, phase)
                if phase == Phase::Probation || phase == Phase::Paused && paused_on_probation =>
            {
                return self.eject(number, "the request on probation failed".to_owned(), &rules);
            }
            (Signal::ProbationPassed, Phase::Probation) => {
                self.timers.cancel(record.requests.until.take(), Timer::Release { record: number });
                record.enter(Phase::Up, self.now);
            }
            (Signal::ProbationPassed, Phase::Paused) => record.requests.paused_on_probation = false,
            (Signal::RetryAfter(time), phase @ (Phase::Up | Phase::Probation)) => {
                let Some(max) = rules.max_retry_after else { return };
                let time = time.min(max);
                record.requests.paused_on_probation = phase == Phase::Probation;
                return self.eject_or_pause(number, Phase::Paused, time, format!("it asked for a pause of {time:?}"));
            }
            _ => return,
        }
        self.publish(number);
    }

    /// Applies `action` to the endpoint's checks, because its requests have reached a failure limit.
    fn fail_checks(&mut self, number: u64, reason: &str, action: OnFailureLimit) {
        let Some(record) = self.records.get_mut(&number) else { return };
        let checks = record.checks.iter_mut().zip(&self.policy.checks).enumerate();
        for (check, (state, policy)) in checks.filter(|(_, (_, policy))| policy.on_timeout == OnTimeout::Fail) {
            state.failure_limit_reached(action, reason, &policy.schedule, self.now);
            let soon = self.now + policy.schedule.transition_interval();
            // Brings the next probe forward. `due` is `None` while a probe runs.
            if let Some(due) = state.due.filter(|due| *due > soon) {
                let timer = Timer::Check { record: number, check };
                self.timers.cancel(Some(due), timer);
                state.due = Some(self.timers.set(soon, timer));
            }
        }
        self.publish(number);
    }

    fn eject(&mut self, number: u64, reason: String, rules: &Outliers) {
        let Some(record) = self.records.get(&number) else { return };
        let ejections = record.requests.ejections.saturating_add(1);
        let time = rules.ejection_time(ejections).mul_f64(1.0 + rules.jitter * self.random_fraction());
        self.eject_or_pause(number, Phase::Ejected, time, reason);
    }

    /// Ejects or pauses an endpoint for `time`. If outlier detection already keeps requests from the maximum number of
    /// endpoints, this does nothing. If the endpoint itself is one of them, `time` replaces its earlier time.
    fn eject_or_pause(&mut self, number: u64, phase: Phase, time: Duration, reason: String) {
        let max = self.max_out();
        let Some(record) = self.records.get_mut(&number) else { return };
        if self.out >= max && !record.counts_towards_max {
            self.stats.prevented += 1;
            return;
        }
        match phase {
            Phase::Ejected => self.stats.ejections += 1,
            _ => self.stats.pauses += 1,
        }
        let requests = &mut record.requests;
        requests.ejections = requests.ejections.saturating_add(u32::from(phase == Phase::Ejected));
        requests.reason = reason;
        self.timers.cancel(requests.until, Timer::Release { record: number });
        requests.until = Some(self.timers.set(self.now + time, Timer::Release { record: number }));
        record.enter(phase, self.now);
        self.publish(number);
    }

    /// Returns the maximum number of endpoints that outlier detection may keep out at the same time. It is at least
    /// 1.
    pub(super) fn max_out(&self) -> usize {
        let percent = self.policy.outliers.map_or(0, |rules| rules.max_ejection_percent as usize);
        (self.records.len() * percent / 100).max(1)
    }

    /// Handles the end of an ejection, of a pause, or of the timeout of the request on probation.
    pub(super) fn release(&mut self, number: u64) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.requests.until = None;
        match record.requests.phase {
            Phase::Ejected => record.enter(Phase::Probation, self.now),
            Phase::Paused if std::mem::take(&mut record.requests.paused_on_probation) => {
                record.enter(Phase::Probation, self.now);
            }
            Phase::Paused => record.enter(Phase::Up, self.now),
            // The request on probation hangs or has ended without a verdict, so another request is admitted.
            Phase::Probation => record.admit_another(&mut self.actions),
            Phase::Up => return,
        }
        if record.requests.phase == Phase::Probation {
            let timer = Timer::Release { record: number };
            record.requests.until = Some(self.timers.set(self.now + PROBATION_TIMEOUT, timer));
        }
        self.publish(number);
    }

    pub(super) fn interval_over(&mut self) {
        let Some(rules) = self.policy.outliers else { return };
        self.decrement_ejections();
        self.timers.set(self.now + rules.interval, Timer::Interval);
        self.decrement_due = true;
        if rules.needs_counts() {
            self.actions.push_back(Action::CollectCounts);
        } else {
            self.decrement_ejections();
        }
    }

    /// Subtracts one from the number of past ejections of each endpoint that is up at the end of an interval, as
    /// gRPC's proposal A50 does. It is called after the outliers of the interval were ejected. If the driver does not
    /// answer [`Action::CollectCounts`], there are no outliers in that interval.
    fn decrement_ejections(&mut self) {
        if std::mem::take(&mut self.decrement_due) {
            for record in self.records.values_mut().filter(|record| record.requests.phase == Phase::Up) {
                record.requests.ejections = record.requests.ejections.saturating_sub(1);
            }
        }
    }

    pub(super) fn counted(&mut self, counts: Vec<(EndpointId, IntervalCounts)>) {
        let Some(rules) = self.policy.outliers else { return };
        let known = counts.into_iter().filter_map(|(id, counts)| Some((*self.ids.get(&id)?, counts)));
        // Endpoints that outlier detection keeps out are not compared with the others.
        let is_up = |(number, _): &(u64, IntervalCounts)| {
            self.records.get(number).is_some_and(|record| record.requests.phase == Phase::Up)
        };
        let mut known: Vec<(u64, IntervalCounts)> = known.filter(is_up).collect();
        // The order of the counts is arbitrary. It must affect neither the rounding of the mean nor the choice between
        // outliers that are equally bad.
        known.sort_unstable_by_key(|(number, _)| *number);
        for (number, reason) in find_outliers(&known, &rules) {
            self.eject(number, reason, &rules);
        }
        self.decrement_ejections();
    }
}

//! What requests bring about: ejections, trials, pauses.

use std::time::Duration;

use equipoise_core::EndpointId;

use super::{
    Machine,
    event::{Action, Counts, Signal},
    requests::{self, Phase},
    timers::Timer,
};
use crate::{
    probe::Silence,
    settings::{OnTrip, Outliers},
};

/// How long a request on trial is waited for before another is let in.
const TRIAL: Duration = Duration::from_secs(10);

impl Machine {
    pub(super) fn signalled(&mut self, id: &EndpointId, signal: Signal) {
        self.forgive();
        let Some(&number) = self.ids.get(id) else { return };
        let Some(record) = self.records.get_mut(&number) else { return };
        let Some(rules) = self.policy.outliers else { return };
        // A pause that was asked for on trial does not change what the request on trial has shown.
        let on_probation = record.requests.probation;
        match (signal, record.requests.phase) {
            (Signal::Tripped(trip), Phase::Serving) => {
                let has_checks = self.policy.checks.iter().any(|check| check.silence == Silence::Fails);
                return match rules.on_trip {
                    OnTrip::Eject => self.eject(number, trip.to_string(), &rules),
                    _ if !has_checks => self.eject(number, trip.to_string(), &rules),
                    what => self.tripped(number, &trip.to_string(), what),
                };
            }
            (Signal::TrialFailed, phase) if phase == Phase::OnTrial || phase == Phase::Paused && on_probation => {
                return self.eject(number, "the request on trial failed".to_owned(), &rules);
            }
            (Signal::TrialPassed, Phase::OnTrial) => {
                self.timers.cancel(record.requests.until.take(), Timer::Release { record: number });
                record.enter(Phase::Serving, self.now);
            }
            (Signal::TrialPassed, Phase::Paused) => record.requests.probation = false,
            (Signal::Pause(time), phase @ (Phase::Serving | Phase::OnTrial)) => {
                let Some(longest) = rules.longest_pause else { return };
                let time = time.min(longest);
                record.requests.probation = phase == Phase::OnTrial;
                return self.take_out(number, Phase::Paused, time, format!("it asked to be left alone for {time:?}"));
            }
            _ => return,
        }
        self.publish(number);
    }

    /// Requests speak through the checks.
    pub(super) fn tripped(&mut self, number: u64, reason: &str, what: OnTrip) {
        let Some(record) = self.records.get_mut(&number) else { return };
        let checks = record.checks.iter_mut().zip(&self.policy.checks).enumerate();
        for (check, (state, policy)) in checks.filter(|(_, (_, policy))| policy.silence == Silence::Fails) {
            state.tripped(what, reason, &policy.schedule, self.now);
            let soon = self.now + policy.schedule.fast_interval();
            // The next look, unless one is under way.
            if let Some(due) = state.due.filter(|due| *due > soon) {
                let timer = Timer::Check { record: number, check };
                self.timers.cancel(Some(due), timer);
                state.due = Some(self.timers.set(soon, timer));
            }
        }
        self.publish(number);
    }

    pub(super) fn eject(&mut self, number: u64, reason: String, rules: &Outliers) {
        let Some(times) = self.records.get(&number).map(|record| record.requests.times.saturating_add(1)) else {
            return;
        };
        let time = rules.duration(times).mul_f64(1.0 + rules.jitter * self.chance());
        self.take_out(number, Phase::Ejected, time, reason);
    }

    /// Takes an endpoint out for a time, if so many may be. One that is out already stays out.
    pub(super) fn take_out(&mut self, number: u64, phase: Phase, time: Duration, reason: String) {
        let most = self.most_out();
        let Some(record) = self.records.get_mut(&number) else { return };
        if self.out >= most && !record.counted {
            return;
        }
        let requests = &mut record.requests;
        requests.times = requests.times.saturating_add(u32::from(phase == Phase::Ejected));
        requests.reason = reason;
        self.timers.cancel(requests.until, Timer::Release { record: number });
        requests.until = Some(self.timers.set(self.now + time, Timer::Release { record: number }));
        record.enter(phase, self.now);
        self.publish(number);
    }

    /// How many may be out for their requests alone.
    pub(super) fn most_out(&self) -> usize {
        let percent = self.policy.outliers.map_or(0, |rules| rules.most_percent as usize);
        (self.records.len() * percent / 100).max(1)
    }

    /// An ejection, a pause or the time for a trial is over.
    pub(super) fn release(&mut self, number: u64) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.requests.until = None;
        match record.requests.phase {
            Phase::Ejected => record.enter(Phase::OnTrial, self.now),
            Phase::Paused if std::mem::take(&mut record.requests.probation) => record.enter(Phase::OnTrial, self.now),
            Phase::Paused => record.enter(Phase::Serving, self.now),
            // The request that was let in hangs, or has ended without a verdict that anybody heard: another one.
            Phase::OnTrial => record.try_again(&mut self.actions),
            Phase::Serving => return,
        }
        if record.requests.phase == Phase::OnTrial {
            record.requests.until = Some(self.timers.set(self.now + TRIAL, Timer::Release { record: number }));
        }
        self.publish(number);
    }

    pub(super) fn window_over(&mut self) {
        let Some(rules) = self.policy.outliers else { return };
        self.forgive();
        self.timers.set(self.now + rules.interval, Timer::Window);
        self.forgives = true;
        if rules.counts() {
            self.actions.push_back(Action::Count);
        } else {
            self.forgive();
        }
    }

    /// Forgives one ejection of each endpoint that serves at the end of a window, as A50 does: those that the window's
    /// counts eject are ejected first. A driver that does not answer [`Action::Count`] has found none.
    fn forgive(&mut self) {
        if std::mem::take(&mut self.forgives) {
            for record in self.records.values_mut().filter(|record| record.requests.phase == Phase::Serving) {
                record.requests.times = record.requests.times.saturating_sub(1);
            }
        }
    }

    pub(super) fn counted(&mut self, counts: Vec<(EndpointId, Counts)>) {
        let Some(rules) = self.policy.outliers else { return };
        let known = counts.into_iter().filter_map(|(id, counts)| Some((*self.ids.get(&id)?, counts)));
        // Who is out already says nothing about the others.
        let serving = |(number, _): &(u64, Counts)| {
            self.records.get(number).is_some_and(|record| record.requests.phase == Phase::Serving)
        };
        let mut known: Vec<(u64, Counts)> = known.filter(serving).collect();
        // Counts come in any order. Who goes first of two that are equally bad must not depend on it, nor the last digit
        // of a mean.
        known.sort_unstable_by_key(|(number, _)| *number);
        for (number, reason) in requests::outliers(&known, &rules) {
            self.eject(number, reason, &rules);
        }
        self.forgive();
    }
}

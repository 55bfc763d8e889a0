//! The machine's checks: when to look, and what comes of it.

use equipoise_core::Timestamp;

use super::{
    Machine,
    check::Running,
    event::{Action, ProbeId},
    timers::Timer,
};
use crate::probe::{Answer, ProbeError, Silence};

impl Machine {
    pub(super) fn schedule(&mut self, number: u64, check: usize, at: Timestamp) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.checks[check].due = Some(self.timers.set(at, Timer::Check { record: number, check }));
    }

    pub(super) fn check_due(&mut self, number: u64, check: usize) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.checks[check].due = None;
        record.checks[check].waits = true;
        self.waiting.push((number, check), record.checks[check].hangs);
    }

    /// Starts as many of the probes that are due as may be under way.
    pub(super) fn start_waiting(&mut self) {
        while self.probing < self.policy.most_probes {
            // Those that hung the last time have half of the places, so that they do not keep the others from being seen.
            let is_full = self.hanging >= self.policy.most_probes.div_ceil(2);
            let Some((number, check)) = self.waiting.pop(!is_full) else { return };
            let Some(record) = self.records.get_mut(&number) else { continue };
            let schedule = &self.policy.checks[check].schedule;
            self.next_probe += 1;
            let running = Running { number: self.next_probe, since: self.now, deadline: self.now + schedule.timeout };
            record.checks[check].waits = false;
            record.checks[check].running = Some(running);
            self.probing += 1;
            self.hanging += usize::from(record.checks[check].hangs);
            self.timers.set(running.deadline, Timer::Deadline { record: number, check });
            let probe = ProbeId { record: number, check, number: running.number };
            self.actions.push_back(Action::Probe { probe, id: record.id.clone(), port: schedule.port });
        }
    }

    pub(super) fn too_late(&mut self, number: u64, check: usize) {
        let Some(running) = self.records.get(&number).and_then(|record| record.checks[check].running) else { return };
        let probe = ProbeId { record: number, check, number: running.number };
        self.actions.push_back(Action::Cancel(probe));
        let silence = match self.policy.checks[check].silence {
            Silence::Fails => Err(ProbeError::Timeout),
            Silence::SaysNothing => Ok(Answer::Silent(ProbeError::Timeout)),
        };
        self.probed(probe, silence);
    }

    pub(super) fn probed(&mut self, probe: ProbeId, result: Result<Answer, ProbeError>) {
        let ProbeId { record: number, check, number: of } = probe;
        let Some(record) = self.records.get_mut(&number) else { return };
        let Some(state) = record.checks.get_mut(check) else { return };
        let Some(running) = state.running.take_if(|running| running.number == of) else { return };
        let schedule = self.policy.checks[check].schedule;
        self.timers.cancel(Some(running.deadline), Timer::Deadline { record: number, check });
        self.probing -= 1;
        self.hanging -= usize::from(state.hangs);
        self.unseen -= usize::from(std::mem::take(&mut record.unseen));
        state.hangs = matches!(result, Err(ProbeError::Timeout) | Ok(Answer::Silent(ProbeError::Timeout)));
        match result {
            // Whatever it says, it answers: what a check that failed before has been waiting for.
            Ok(Answer::Agent(reply)) => {
                state.record(Ok(()), &schedule, self.now);
                state.last = (reply.unknown.is_some() || reply.warning.is_some()).then(|| reply.text.clone());
                record.agent_said(&reply, self.now);
            }
            // Who was not looked at at all, because the system forbids it, has not failed.
            Ok(Answer::Silent(why)) | Err(why @ ProbeError::Forbidden(_)) => state.learnt_nothing(why.to_string()),
            Ok(Answer::Passed) => state.record(Ok(()), &schedule, self.now),
            Err(why) => state.record(Err(why.to_string()), &schedule, self.now),
        }
        let interval = record.checks[check].interval(&schedule);
        // Shorter only, so that what follows from the interval holds.
        let jitter = 1.0 - schedule.jitter * self.chance();
        let next = (running.since + interval.mul_f64(jitter)).max(self.now);
        self.schedule(number, check, next);
        self.publish(number);
    }
}

//! Events at servers: attempts arrive, get work done, and leave.

use super::{
    events::{AttemptId, Event},
    state::Engine,
    station::Place,
};
use crate::{error::RunError, report::End};

impl Engine<'_> {
    pub(super) fn arrive_at_server(&mut self, id: AttemptId) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        let server = attempt.server as usize;
        let station = &mut self.stations[server];
        if station.faults.is_blackhole() {
            return self.lose(id);
        }
        if station.faults.refuses() {
            return self.send_back(id, End::Refused);
        }
        if let Some(after) = station.faults.fails_fast_after(attempt.draw.failure_draw) {
            return self.events.plan(self.now.saturating_add(after), Event::FailedFast(id));
        }
        if let Some(retry_after) = station.sheds() {
            return self.send_back(id, End::Shed { retry_after });
        }
        let before = station.len();
        attempt.place = Some(station.enter(id, attempt.draw.work, self.now));
        self.meter.change(server, before, before + 1, self.now);
        self.replan(server);
    }

    /// Marks an attempt as lost: it never gets a response and ends by its timeout.
    pub(super) fn lose(&mut self, id: AttemptId) {
        match self.attempts.get_mut(id) {
            Some(attempt) if attempt.pending.is_some() => attempt.lost = true,
            _ => drop(self.attempts.remove(id)),
        }
    }

    pub(super) fn done(&mut self, server: usize, plan: u32) -> Result<(), RunError> {
        let station = &mut self.stations[server];
        if !station.follows(plan) {
            return Ok(());
        }
        let before = station.len();
        let Some((id, started)) = station.done(self.now, |id| self.attempts.is_at_server(id)) else { return Ok(()) };
        self.meter.change(server, before, before - 1, self.now);
        self.mark_in_service(started);
        let fails = |failure_draw| self.stations[server].faults.fails_after_work(failure_draw);
        let failed = self.attempts.get(id).is_some_and(|attempt| fails(attempt.draw.failure_draw));
        self.leave(id, if failed { End::Failed } else { End::Answered })?;
        self.replan(server);
        Ok(())
    }

    /// Sends the response of an attempt on which the server has finished its work.
    pub(super) fn leave(&mut self, id: AttemptId, end: End) -> Result<(), RunError> {
        let Some(attempt) = self.attempts.get_mut(id) else { return Ok(()) };
        attempt.place = None;
        attempt.load = Some(self.stations[attempt.server as usize].load());
        if attempt.draw.back == 0 && self.scenario.network.is_none() {
            attempt.end = end;
            return self.answer(id);
        }
        self.send_back(id, end);
        Ok(())
    }

    pub(super) fn send_back(&mut self, id: AttemptId, end: End) {
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        attempt.end = end;
        self.events.plan(self.now.saturating_add(attempt.draw.back), Event::Answer(id));
    }

    pub(super) fn mark_in_service(&mut self, id: Option<AttemptId>) {
        if let Some(attempt) = id.and_then(|id| self.attempts.get_mut(id)) {
            attempt.place = Some(Place::InService);
        }
    }

    pub(super) fn replan(&mut self, server: usize) {
        if let Some((at, plan)) = self.stations[server].plan(|id| self.attempts.is_at_server(id)) {
            self.events.plan(at, Event::Done { server: server as u32, plan });
        }
    }
}

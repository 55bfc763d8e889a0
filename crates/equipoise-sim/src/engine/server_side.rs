//! What servers do: attempts reach them, are worked on, and leave.

use super::{
    Engine,
    events::{Event, TryId},
    requests::End,
    station::Place,
};
use crate::error::RunError;

impl Engine<'_> {
    pub(super) fn reach(&mut self, id: TryId) {
        let Some(attempt) = self.tries.get_mut(id) else { return };
        let server = attempt.server as usize;
        let station = &mut self.stations[server];
        if station.faults.swallows() {
            return self.lose(id);
        }
        if station.faults.refuses() {
            return self.send_back(id, End::Refused);
        }
        if let Some(after) = station.faults.sinks() {
            return self.events.plan(self.now + after, Event::Sunk(id));
        }
        let before = station.len();
        attempt.place = Some(station.enter(id, attempt.work, self.now));
        self.meter.change(server, before, before + 1, self.now);
        self.replan(server);
    }

    /// Who waits for an answer that never comes waits for the time-out.
    pub(super) fn lose(&mut self, id: TryId) {
        match self.tries.get_mut(id) {
            Some(attempt) if attempt.held.is_some() => attempt.lost = true,
            _ => drop(self.tries.remove(id)),
        }
    }

    pub(super) fn done(&mut self, server: usize, plan: u32) -> Result<(), RunError> {
        let station = &mut self.stations[server];
        if !station.follows(plan) {
            return Ok(());
        }
        let before = station.len();
        let Some((id, up)) = station.done(self.now, |id| self.tries.is_here(id)) else { return Ok(()) };
        self.meter.change(server, before, before - 1, self.now);
        self.moved_up(up);
        self.leave(id, End::Answered)?;
        self.replan(server);
        Ok(())
    }

    /// The server is through with an attempt.
    pub(super) fn leave(&mut self, id: TryId, end: End) -> Result<(), RunError> {
        let Some(attempt) = self.tries.get_mut(id) else { return Ok(()) };
        attempt.place = None;
        attempt.load = Some(self.stations[attempt.server as usize].load());
        if self.scenario.network.is_none() {
            attempt.end = end;
            return self.answer(id);
        }
        self.send_back(id, end);
        Ok(())
    }

    pub(super) fn send_back(&mut self, id: TryId, end: End) {
        let Some(attempt) = self.tries.get_mut(id) else { return };
        attempt.end = end;
        self.events.plan(self.now.saturating_add(attempt.back), Event::Answer(id));
    }

    pub(super) fn moved_up(&mut self, id: Option<TryId>) {
        if let Some(attempt) = id.and_then(|id| self.tries.get_mut(id)) {
            attempt.place = Some(Place::InWork);
        }
    }

    pub(super) fn replan(&mut self, server: usize) {
        if let Some((at, plan)) = self.stations[server].plan(|id| self.tries.is_here(id)) {
            self.events.plan(at, Event::Done { server: server as u32, plan });
        }
    }
}

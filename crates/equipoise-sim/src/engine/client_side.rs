//! The client side: requests arrive, are attempted and end.

use equipoise_core::{PickError, PickRequest, Timestamp};

use super::{
    client::Draw,
    events::{AttemptId, Event, nanos},
    requests::{Call, Pending},
    state::Engine,
};
use crate::{error::RunError, report::End};

/// Most attempts end long before their timeout. Timers of ended attempts are removed once there are more than twice as
/// many timers as open attempts, plus this number. Otherwise a long timeout would keep all attempts of that time in
/// memory.
const SPARE: usize = 1024;

impl Engine<'_> {
    pub(super) fn arrive(&mut self, number: u32) -> Result<(), RunError> {
        let client = &mut self.clients[number as usize];
        let gap = client.gap();
        let draw = client.draw_first(&self.work, &self.scenario.network);
        let key = self.popularity.as_ref().map(|popularity| client.key(popularity));
        if let Some(budget) = self.scenario.retries.budget {
            client.deposit(budget);
        }
        let next = self.now.saturating_add(gap);
        if !self.meter.is_over(next) {
            self.events.plan(next, Event::Arrival { client: number });
        }
        let measured = self.meter.begin(self.now);
        self.call_number = self.call_number.wrapping_add(1);
        let call = Call {
            number: self.call_number,
            client: number,
            key,
            begun: self.now,
            measured,
            retries: 0,
            tried: Vec::new(),
            open: [None; 2],
        };
        let call = self.calls.insert(call) as u32;
        self.send_probes(number as usize);
        if let Some(after) = self.scenario.hedge {
            self.hedges.push_back((self.now.saturating_add(nanos(after)), call, self.call_number));
            if self.hedges.len() > 2 * self.calls.len() + SPARE {
                let calls = &self.calls;
                self.hedges
                    .retain(|&(_, call, number)| calls.get(call as usize).is_some_and(|call| call.number == number));
            }
        }
        if !self.attempt(call, draw)? {
            self.end(call, End::Unserved);
        }
        Ok(())
    }

    /// Makes an attempt, at a server that was not tried yet if there is one. Returns false if no endpoint could be
    /// picked.
    fn attempt(&mut self, number: u32, draw: Draw) -> Result<bool, RunError> {
        let call = &mut self.calls[number as usize];
        let client = &self.clients[call.client as usize];
        let bytes = call.key.map(u32::to_le_bytes);
        let request = bytes.as_ref().map_or_else(PickRequest::new, |key| PickRequest::new().key(key));
        let mut picked = client.pool.pick(&request.exclude(&call.tried));
        if matches!(picked, Err(PickError::Excluded)) {
            picked = client.pool.pick(&request);
        }
        let lease = match picked {
            Ok(lease) => lease,
            Err(PickError::Empty | PickError::Unavailable { .. } | PickError::Saturated) => return Ok(false),
            Err(source) => {
                let (label, client) = (self.contender.label(), call.client as usize);
                return Err(RunError::Misbehaved { label, client, after: self.elapsed(), source });
            }
        };
        if self.scenario.hedge.is_some() || self.scenario.retries.max > 0 {
            let id = lease.endpoint().id();
            if !call.tried.contains(id) {
                call.tried.push(id.clone());
            }
        }
        self.meter.send(*lease.target() as usize, call.key, self.now);
        self.meter.send_by(call.client as usize, *lease.target() as usize);
        let id = self.attempts.insert(lease, number, draw.work, draw.back);
        let free = usize::from(call.open[0].is_some());
        call.open[free] = Some(id);
        if self.attempts.len() > self.scenario.max_open_attempts {
            let (label, open) = (self.contender.label(), self.attempts.len());
            return Err(RunError::PiledUp { label, open, after: self.elapsed() });
        }
        if let Some(timeout) = self.scenario.timeout {
            self.timeouts.push_back((self.now.saturating_add(nanos(timeout)), id));
            if self.timeouts.len() > 2 * self.attempts.len() + SPARE {
                self.timeouts.retain(|&(_, id)| self.attempts.get(id).is_some());
            }
        }
        match draw.there {
            0 if self.scenario.network.is_none() => self.arrive_at_server(id),
            there => self.events.plan(self.now.saturating_add(there), Event::AtServer(id)),
        }
        Ok(true)
    }

    pub(super) fn answer(&mut self, id: AttemptId) -> Result<(), RunError> {
        let Some(attempt) = self.attempts.remove(id) else { return Ok(()) };
        let Some(Pending { mut lease, call }) = attempt.pending else { return Ok(()) };
        let client = self.calls[call as usize].client as usize;
        if let Some(load) = attempt.load {
            lease.first_byte();
            self.feed.on_response(client, attempt.server as usize, load, Timestamp::from_nanos(self.now));
        }
        lease.finish(attempt.end.verdict());
        self.meter.end_by(client, attempt.server as usize, attempt.end);
        self.attempt_ended(call, id, attempt.end)
    }

    pub(super) fn time_out(&mut self, id: AttemptId) -> Result<(), RunError> {
        let Some(server) = self.attempts.get(id).map(|attempt| attempt.server as usize) else { return Ok(()) };
        let Some(call) = self.give_up(id, End::TimedOut) else { return Ok(()) };
        self.meter.end_by(self.calls[call as usize].client as usize, server, End::TimedOut);
        self.attempt_ended(call, id, End::TimedOut)
    }

    /// Cancels an attempt on the client side. Returns the request that it belongs to.
    fn give_up(&mut self, id: AttemptId, end: End) -> Option<u32> {
        let attempt = self.attempts.get_mut(id)?;
        let Pending { lease, call } = attempt.pending.take()?;
        lease.finish(end.verdict());
        let server = attempt.server as usize;
        match attempt.place {
            // The server does not notice and finishes the work.
            _ if !self.scenario.cancels && !attempt.lost => {}
            Some(place) => {
                self.attempts.remove(id);
                let station = &mut self.stations[server];
                let before = station.len();
                let started = station.cancel(place, self.now, |id| self.attempts.is_at_server(id));
                self.meter.change(server, before, before - 1, self.now);
                self.mark_in_service(started);
                self.replan(server);
            }
            None => drop(self.attempts.remove(id)),
        }
        Some(call)
    }

    fn attempt_ended(&mut self, number: u32, id: AttemptId, end: End) -> Result<(), RunError> {
        let call = &mut self.calls[number as usize];
        for open in &mut call.open {
            open.take_if(|open| *open == id);
        }
        if end == End::Answered {
            self.end(number, end);
            return Ok(());
        }
        if call.open.iter().any(Option::is_some) {
            return Ok(());
        }
        if call.retries < self.scenario.retries.max {
            let client = &mut self.clients[call.client as usize];
            if self.scenario.retries.budget.is_none() || client.withdraw() {
                call.retries += 1;
                let draw = client.draw_retry(&self.work, &self.scenario.network);
                if self.attempt(number, draw)? {
                    return Ok(());
                }
            }
        }
        self.end(number, end);
        Ok(())
    }

    pub(super) fn hedge(&mut self, number: u32, of: u32) -> Result<(), RunError> {
        let Some(call) = self.calls.get(number as usize).filter(|call| call.number == of) else { return Ok(()) };
        if call.open.iter().all(Option::is_some) {
            return Ok(());
        }
        let draw = self.clients[call.client as usize].draw_retry(&self.work, &self.scenario.network);
        self.attempt(number, draw).map(drop)
    }

    fn end(&mut self, number: u32, end: End) {
        let call = self.calls.remove(number as usize);
        self.meter.end(call.measured, self.now - call.begun, end);
        for id in call.open.into_iter().flatten() {
            // The verdict is neutral, because the server is not at fault.
            self.give_up(id, End::Unserved);
        }
    }
}

//! Events at clients: requests arrive, attempts are sent, and attempts and requests end.

use equipoise_core::{Lease, PickError, PickRequest, Timestamp};

use super::{
    draw::Draw,
    events::{AttemptId, Event, nanos},
    requests::{Attempt, Call, Pending},
    state::Engine,
};
use crate::{error::RunError, report::End};

/// Timers of ended attempts are removed once there are more than twice as many timers as open attempts, plus this
/// number. Most attempts end long before their timeout, so without the removal a long timeout would fill the memory
/// with timers.
const SPARE: usize = 1024;

impl Engine<'_> {
    pub(super) fn plan_arrival(&mut self, client: u32) {
        let next = self.clients[client as usize].next_arrival(self.now);
        if let Some(next) = next.filter(|&next| !self.meter.is_over(next)) {
            self.events.plan(next, Event::Arrival { client });
        }
    }

    pub(super) fn arrive(&mut self, number: u32) -> Result<(), RunError> {
        let client = &mut self.clients[number as usize];
        let traced_work = client.take_traced();
        let draw = client.draws.first(&self.costs, traced_work);
        let gives_up = client.draws.is_impatient(&self.costs);
        let key = self.popularity.as_ref().map(|popularity| client.key(popularity));
        if let Some(budget) = self.scenario.retries.budget {
            client.deposit(budget);
        }
        self.plan_arrival(number);
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
            traced_work,
            waiting: None,
        };
        let call = self.calls.insert(call) as u32;
        if let Some(impatience) = self.scenario.impatience.filter(|_| gives_up) {
            let at = self.now.saturating_add(nanos(impatience.after));
            self.events.plan(at, Event::GivesUp { call, number: self.call_number });
        }
        self.send_probes(number as usize);
        if let Some(after) = self.scenario.hedge {
            self.hedges.push_back((self.now.saturating_add(nanos(after)), call, self.call_number));
            if self.hedges.len() > 2 * self.calls.len() + SPARE {
                let calls = &self.calls;
                self.hedges
                    .retain(|&(_, call, number)| calls.get(call as usize).is_some_and(|call| call.number == number));
            }
        }
        if !self.attempt(call, draw)? && !self.wait(call, draw)? {
            self.end(call, End::Unserved);
        }
        Ok(())
    }

    /// Sends an attempt of a request, to a server that the request has not tried if there is one. Returns false if no
    /// endpoint can take the request.
    fn attempt(&mut self, number: u32, draw: Draw) -> Result<bool, RunError> {
        let call = &self.calls[number as usize];
        let client = &self.clients[call.client as usize];
        let bytes = call.key.map(u32::to_le_bytes);
        let request = bytes.as_ref().map_or_else(PickRequest::new, |key| PickRequest::new().key(key));
        let mut picked = client.pool.pick(&request.exclude(&call.tried));
        if matches!(picked, Err(PickError::Excluded)) {
            picked = client.pool.pick(&request);
        }
        match picked {
            Ok(lease) => self.send(number, lease, draw).map(|()| true),
            Err(error) => self.refused(number, error).map(|()| false),
        }
    }

    /// Sends an attempt of a request to the server of the lease.
    pub(super) fn send(&mut self, number: u32, lease: Lease<u32>, mut draw: Draw) -> Result<(), RunError> {
        let call = &mut self.calls[number as usize];
        if self.scenario.hedge.is_some() || self.scenario.retries.max > 0 {
            let id = lease.endpoint().id();
            if !call.tried.contains(id) {
                call.tried.push(id.clone());
            }
        }
        let server = *lease.target() as usize;
        self.meter.send(server, call.key, self.now);
        self.meter.send_by(call.client as usize, server);
        let distance = nanos(self.scenario.servers[server].distance);
        draw.there = draw.there.saturating_add(distance / 2);
        draw.back = draw.back.saturating_add(distance - distance / 2);
        let id = self.attempts.insert(Pending { lease, call: number, measured: call.measured }, draw);
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
        Ok(())
    }

    /// Handles the head of a response, or an error in its place, when it reaches the client.
    pub(super) fn answer(&mut self, id: AttemptId) -> Result<(), RunError> {
        let Some(attempt) = self.attempts.get_mut(id) else { return Ok(()) };
        let Some(Pending { lease, call, .. }) = &mut attempt.pending else {
            self.attempts.remove(id);
            return Ok(());
        };
        let (call, server, end) = (*call, attempt.server as usize, attempt.end);
        let has_body = end == End::Answered && attempt.draw.body > 0;
        lease.response_head(end.verdict(), has_body);
        let client = self.calls[call as usize].client as usize;
        if let Some(load) = attempt.load {
            self.feed.on_response(client, server, load, Timestamp::from_nanos(self.now));
        }
        if has_body {
            let until = self.now.saturating_add(attempt.draw.body);
            attempt.body_until = Some(until);
            self.events.plan(until, Event::BodyEnds(id));
        } else {
            self.attempts.remove(id);
        }
        self.meter.end_by(client, server, end);
        self.attempt_ended(call, id, end)
    }

    /// Handles the end of the body of a response: the regular end, or the time at which the client notices that the body
    /// has broken off. Ignored if a break has moved the end.
    pub(super) fn end_body(&mut self, id: AttemptId) {
        if self.attempts.get(id).is_none_or(|attempt| attempt.body_until != Some(self.now)) {
            return;
        }
        let Some(attempt) = self.attempts.remove(id) else { return };
        if let (Some(Pending { lease, .. }), Some(verdict)) = (attempt.pending, attempt.end.verdict()) {
            lease.finish(verdict);
        }
    }

    pub(super) fn time_out(&mut self, id: AttemptId) -> Result<(), RunError> {
        let waits = |attempt: &&Attempt| attempt.body_until.is_none();
        let attempt = self.attempts.get(id).filter(waits);
        let Some(server) = attempt.map(|attempt| attempt.server as usize) else { return Ok(()) };
        let Some(call) = self.give_up(id, End::TimedOut) else { return Ok(()) };
        self.meter.end_by(self.calls[call as usize].client as usize, server, End::TimedOut);
        self.attempt_ended(call, id, End::TimedOut)
    }

    /// Cancels an attempt on the side of the client. Returns the request of the attempt if it was open.
    fn give_up(&mut self, id: AttemptId, end: End) -> Option<u32> {
        let attempt = self.attempts.get_mut(id)?;
        let Pending { mut lease, call, .. } = attempt.pending.take()?;
        if let Some(verdict) = end.verdict() {
            lease.record(verdict);
        }
        drop(lease);
        let server = attempt.server as usize;
        match attempt.place {
            // The server is not informed and finishes the work.
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
                let draw = client.draws.retry(&self.costs, call.traced_work);
                if self.attempt(number, draw)? || self.wait(number, draw)? {
                    return Ok(());
                }
            }
        }
        self.end(number, end);
        Ok(())
    }

    pub(super) fn hedge(&mut self, number: u32, of: u32) -> Result<(), RunError> {
        let Some(call) = self.calls.get(number as usize).filter(|call| call.number == of) else { return Ok(()) };
        if call.open.iter().all(Option::is_some) || call.waiting.is_some() {
            return Ok(());
        }
        let draw = self.clients[call.client as usize].draws.retry(&self.costs, call.traced_work);
        self.attempt(number, draw).map(drop)
    }

    pub(super) fn end(&mut self, number: u32, end: End) {
        let call = self.calls.remove(number as usize);
        self.meter.end(call.measured, self.now - call.begun, end);
        for id in call.open.into_iter().flatten() {
            // The verdict is neutral if another attempt was answered, because the server of this attempt did not fail.
            self.give_up(id, if end == End::GivenUp { end } else { End::Unserved });
        }
    }
}

//! What a session sends to its endpoint, and what happens when the endpoint does not get it.

use std::{io, task::Context, time::Duration};

use equipoise_core::Failure;

use super::{
    super::{
        end::UdpEnd as End,
        listener::Sent,
        place::{Moment, Placed, Placer},
        ready::Woken,
        session::{Departure, Endpoint, Session},
        socket::{Datagrams, is_refused},
    },
    Worker,
};

impl Worker {
    /// Places a session that has no endpoint. If no file can be opened, another session ends for it.
    pub(super) fn place(&mut self, id: usize) -> Placed {
        let placed = self.try_place(id, Placer::place);
        match placed == Placed::NoSocket && self.displace(Some(id)) {
            true => self.try_place(id, Placer::place),
            false => placed,
        }
    }

    fn try_place(&mut self, id: usize, place: fn(&mut Placer, &mut Session, &mut Moment<'_>) -> Placed) -> Placed {
        let Some(session) = self.table.get_mut(id) else { return Placed::Nowhere };
        let (state, settings, counted) = (&self.listening.state, &*self.settings, &mut self.counted);
        let mut moment = Moment { state, now: self.now, settings, counted };
        place(&mut self.placer, session, &mut moment)
    }

    pub(super) fn drop_unplaced(&mut self, placed: Placed, count: u64) {
        match placed {
            Placed::NoSocket => self.counted.dropped.full += count,
            Placed::OwnAddress => self.counted.dropped.own_address += count,
            _ => self.counted.dropped.no_endpoint += count,
        }
    }

    /// Sends datagrams to the endpoint of a session, or to another one if it does not get them.
    pub(super) fn send(&mut self, id: usize, datagrams: Datagrams<'_>) {
        let Err(error) = self.try_send(id, datagrams) else { return };
        self.read_last_replies(id);
        let connected = self.table.get_mut(id).and_then(Session::connected);
        // As in `on_broken`: the error is that of an earlier datagram.
        if connected.is_some_and(|connected| connected.has_replied && !is_refused(&error)) {
            self.suspect(id);
            if self.try_send(id, datagrams).is_ok() {
                return;
            }
        }
        self.fail(id, Failure::Connect, Some(datagrams));
    }

    fn try_send(&mut self, id: usize, datagrams: Datagrams<'_>) -> io::Result<()> {
        let Some(session) = self.table.get_mut(id) else { return Ok(()) };
        let Endpoint::Connected(connected) = &session.endpoint else { return Ok(()) };
        let sent = connected.send(&self.listening.state, &session.prefix, datagrams)?;
        self.counted.to_endpoints += sent.datagrams;
        self.counted.bytes_to_endpoints += sent.bytes;
        self.counted.dropped.to_endpoint += sent.failed;
        session.sent += sent.datagrams;
        session.sent_bytes += sent.bytes;
        if session.waiting_since.is_none() && sent.datagrams > 0 {
            session.keep(datagrams.first());
            self.table.wait(id, self.now);
        }
        Ok(())
    }

    /// Gives up the endpoint of a session, and sends the datagrams that it did not get to another one. If none is at hand,
    /// the session ends.
    pub(super) fn fail(&mut self, id: usize, failure: Failure, at_hand: Option<Datagrams<'_>>) {
        let mut failure = failure;
        loop {
            let Some(session) = self.table.get_mut(id) else { return };
            let connected = match std::mem::replace(&mut session.endpoint, Endpoint::None) {
                Endpoint::Connected(connected) => connected,
                other => {
                    session.endpoint = other;
                    return;
                }
            };
            match failure {
                Failure::Timeout => {
                    self.counted.reply_timeouts += 1;
                    // It is too old to be of use.
                    session.forget_kept();
                }
                _ => self.counted.unreachable += u64::from(!connected.has_failed),
            }
            let dropped = at_hand.map_or(0, Datagrams::count) as u64 + u64::from(session.kept().is_some());
            Placer::judge(session, connected, failure);
            if dropped == 0 {
                self.end(id, End::NoEndpoint);
                return;
            }
            let placed = self.place(id);
            match placed {
                Placed::Connected if self.send_again(id, at_hand) => return,
                Placed::Connected => failure = Failure::Connect,
                Placed::Resolving => {
                    self.wait_again(id, at_hand);
                    return;
                }
                Placed::Nowhere | Placed::NoSocket | Placed::OwnAddress => {
                    self.drop_unplaced(placed, dropped);
                    self.end(id, End::NoEndpoint);
                    return;
                }
            }
        }
    }

    /// Sends the datagrams that an endpoint did not get to the one that was picked after it. Returns whether it can be
    /// reached.
    fn send_again(&mut self, id: usize, at_hand: Option<Datagrams<'_>>) -> bool {
        let Some(session) = self.table.get_mut(id) else { return true };
        let Endpoint::Connected(connected) = &session.endpoint else { return true };
        let kept = session.kept().map(Datagrams::one);
        let (mut again, mut new) = (Sent::default(), Sent::default());
        for (datagrams, sent) in [(kept, &mut again), (at_hand, &mut new)] {
            let Some(datagrams) = datagrams else { continue };
            let Ok(result) = connected.send(&self.listening.state, &session.prefix, datagrams) else { return false };
            *sent = result;
        }
        self.counted.to_endpoints += again.datagrams + new.datagrams;
        self.counted.bytes_to_endpoints += again.bytes + new.bytes;
        self.counted.dropped.to_endpoint += again.failed + new.failed;
        // The kept one was counted when it was sent first.
        session.sent += new.datagrams;
        session.sent_bytes += new.bytes;
        if again.datagrams + new.datagrams == 0 {
            self.table.stop_waiting(id);
            return true;
        }
        if let Some(datagrams) = at_hand {
            session.keep(datagrams.first());
        }
        self.counted.failovers += 1;
        self.table.wait(id, self.now);
        true
    }

    /// Notes that a session waits for the name of another endpoint.
    fn wait_again(&mut self, id: usize, at_hand: Option<Datagrams<'_>>) {
        let Some(session) = self.table.get_mut(id) else { return };
        let count = at_hand.map_or(0, Datagrams::count) as u64;
        let kept = u64::from(at_hand.is_some_and(|datagrams| session.keep(datagrams.first())));
        session.sent += kept;
        self.counted.dropped.resolving += count - kept;
        self.counted.failovers += 1;
        self.table.wait(id, self.now);
    }

    /// Reports that the endpoint of a session has failed, and leaves it to the session until the next datagram.
    pub(super) fn suspect(&mut self, id: usize) {
        let Some(connected) = self.table.get_mut(id).and_then(Session::connected) else { return };
        (connected.is_broken, connected.is_refused) = (false, false);
        self.counted.unreachable += u64::from(!connected.has_failed);
        Placer::suspect(connected, Failure::Connect);
    }

    /// Ends a session whose endpoint is closing or cannot be reached. Returns the cost in messages.
    pub(super) fn on_ending(&mut self, id: usize) -> usize {
        let Some(session) = self.table.get_mut(id) else { return 0 };
        let (timeout, since) = (self.settings.reply_timeout, session.waiting_since);
        let Endpoint::Connected(connected) = &mut session.endpoint else { return 0 };
        let mut cx = Context::from_waker(&session.ending);
        if connected.poll_broken(&mut cx, &self.listening.state) {
            self.woken.push_back(Woken::Readable(id));
        }
        let before = connected.departure();
        match connected.poll_departure(&mut cx) {
            Departure::Closed => self.end(id, End::EndpointClosing),
            Departure::Draining if before == Departure::None => {
                // The endpoint still replies to what it has got.
                let waits = since.is_some_and(|since| self.now.saturating_duration_since(since) < timeout);
                match waits && timeout != Duration::MAX {
                    true => {
                        connected.leave_by = self.now.checked_add(timeout);
                        self.table.wait(id, self.now);
                    }
                    false => self.end(id, End::EndpointClosing),
                }
            }
            Departure::Draining | Departure::None => {}
        }
        1
    }

    /// Finds the sessions whose endpoint may have an address now. Returns the cost in messages.
    pub(super) fn on_names(&mut self) -> usize {
        if self.placer.names.poll(self.now) {
            let is_resolving = |id: &usize| {
                self.table.get(*id).is_some_and(|session| matches!(session.endpoint, Endpoint::Resolving(_)))
            };
            self.woken.extend(self.table.ids().into_iter().filter(is_resolving).map(Woken::Resolved));
        }
        1
    }

    /// Connects a session that has waited for the address of its endpoint. Returns the cost in messages.
    pub(super) fn on_resolved(&mut self, id: usize) -> usize {
        // The session that has waited for the name may have ended, and another one may have its place.
        let is_resolving = |session: &Session| matches!(session.endpoint, Endpoint::Resolving(_));
        if !self.table.get(id).is_some_and(is_resolving) {
            return 1;
        }
        let mut placed = self.try_place(id, Placer::resume);
        if placed == Placed::NoSocket {
            placed = self.place(id);
        }
        let Some(session) = self.table.get_mut(id) else { return 1 };
        match placed {
            Placed::Resolving => {}
            Placed::Connected => {
                let kept = session.kept().map(<[u8]>::to_vec);
                session.forget_kept();
                // It is counted, and waited for, when it is sent.
                session.sent -= u64::from(kept.is_some()).min(session.sent);
                self.table.stop_waiting(id);
                if let Some(kept) = kept {
                    self.send(id, Datagrams::one(&kept));
                }
            }
            Placed::Nowhere | Placed::NoSocket | Placed::OwnAddress => {
                let count = u64::from(session.kept().is_some());
                self.drop_unplaced(placed, count);
                self.end(id, End::NoEndpoint);
            }
        }
        1
    }
}

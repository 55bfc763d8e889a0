//! Events that change servers: faults, antagonists, and servers that leave or join the pools.

use equipoise_core::{EndpointSpec, UpdateError};

use super::{
    client,
    events::{Event, Nanos, nanos},
    state::Engine,
};
use crate::{
    error::RunError,
    report::End,
    scenario::{Fault, FaultKind},
};

impl Engine<'_> {
    pub(super) fn fault(&mut self, at: usize, begins: bool) -> Result<(), RunError> {
        let fault = self.scenario.faults[at];
        if begins {
            self.begin_fault(at, &fault);
            self.crash(&fault);
        } else {
            let station = &mut self.stations[fault.server];
            station.advance(self.now);
            let active = &mut station.faults.active;
            if let Some(one) = active.iter().position(|kind| *kind == fault.kind) {
                active.swap_remove(one);
            }
            self.replan(fault.server);
        }
        if fault.kind == FaultKind::Removed {
            self.meter.membership(fault.server, !self.stations[fault.server].faults.is_removed(), self.now);
            self.update_members()?;
        }
        Ok(())
    }

    pub(super) fn begin_fault(&mut self, at: usize, fault: &Fault) {
        let station = &mut self.stations[fault.server];
        station.advance(self.now);
        station.faults.active.push(fault.kind);
        if matches!(fault.kind, FaultKind::Cold { .. }) {
            station.faults.cold_since = self.now;
        }
        self.replan(fault.server);
        let at = at as u32;
        if let Some(lasting) = fault.lasting {
            self.events.plan(self.now.saturating_add(nanos(lasting)), Event::Fault { at, begins: false });
        }
        if let Some(period) = fault.every {
            self.events.plan(self.now.saturating_add(nanos(period)), Event::Fault { at, begins: true });
        }
    }

    /// Ends the requests at a server whose fault makes it refuse connections or unreachable. Other faults end no
    /// requests.
    fn crash(&mut self, fault: &Fault) {
        if !matches!(fault.kind, FaultKind::Refuses | FaultKind::Blackhole) {
            return;
        }
        let station = &mut self.stations[fault.server];
        self.meter.change(fault.server, station.len(), 0, self.now);
        for id in station.drop_all(self.now, |id| self.attempts.is_at_server(id)) {
            let Some(attempt) = self.attempts.get_mut(id) else { continue };
            attempt.place = None;
            match fault.kind {
                FaultKind::Refuses => self.send_back(id, End::Broken),
                _ => self.lose(id),
            }
        }
        self.break_bodies(fault);
        self.replan(fault.server);
    }

    /// Breaks off the bodies that are on their way from a server whose fault makes it refuse connections or
    /// unreachable. Clients notice at once if the server refuses connections, and after the timeout if it is
    /// unreachable. Their requests count as broken from the start of the fault, because the run may end before the
    /// timeout.
    fn break_bodies(&mut self, fault: &Fault) {
        for id in self.attempts.in_body_from(fault.server) {
            let Some(attempt) = self.attempts.get_mut(id) else { continue };
            // The server has already sent the last byte of a body that ends within the delay of the network.
            let last_byte = attempt.body_until.map(|until| until.saturating_sub(attempt.draw.back));
            if attempt.end != End::Answered || last_byte <= Some(self.now) {
                continue;
            }
            let (end, after) = match fault.kind {
                FaultKind::Refuses => (End::Broken, attempt.draw.back),
                _ => (End::TimedOut, self.scenario.timeout.map_or(0, nanos)),
            };
            let until = self.now.saturating_add(after);
            (attempt.end, attempt.body_until) = (end, Some(until));
            self.meter.break_body(attempt.pending.as_ref().is_some_and(|pending| pending.measured));
            self.events.plan(until, Event::BodyEnds(id));
        }
    }

    pub(super) fn antagonise(&mut self, server: usize) {
        let Some(antagonists) = self.scenario.antagonists else { return };
        let rng = &mut self.antagonists[server];
        let (share, gap) = (antagonists.share(rng), antagonists.next(rng));
        self.stations[server].set_share(share, self.now);
        self.replan(server);
        let at = self.now.saturating_add((gap * 1e9) as Nanos);
        self.events.plan(at, Event::Antagonists { server: server as u32 });
    }

    pub(super) fn update_members(&mut self) -> Result<(), RunError> {
        let members: Vec<EndpointSpec> = (self.scenario.servers.iter().zip(&self.stations).enumerate())
            .filter(|(_, (_, station))| !station.faults.is_removed())
            .map(|(at, (server, _))| {
                let spec = EndpointSpec::new(at.to_string()).with_id(client::server_id(at)).weight(server.weight);
                let spec = spec.zone(server.zone.as_deref().unwrap_or_default());
                server.max_in_flight.map_or(spec.clone(), |limit| spec.max_in_flight(limit))
            })
            .collect();
        for number in 0..self.clients.len() {
            if self.control.is_stopped() {
                break;
            }
            self.clients[number].update(&members).map_err(|source| self.unusable(number, source))?;
            self.update_monitored(number)?;
        }
        Ok(())
    }

    pub(super) fn unusable(&self, client: usize, source: UpdateError) -> RunError {
        RunError::Unusable { label: self.contender.label(), client, source }
    }
}

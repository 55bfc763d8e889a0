//! Health of servers: passes signals of requests, health checks and timeouts to the health state machines of the
//! clients, and applies the actions of these machines, in the same way as the tokio driver of `equipoise-health`.

use std::time::Duration;

use equipoise_core::{EndpointId, Timestamp};
use equipoise_health::{
    AvailabilityChange,
    machine::{Action, Event as HealthEvent, ProbeId},
};

use super::{
    client,
    events::{Event, ORIGIN},
    monitor::Check,
    state::Engine,
};
use crate::{error::RunError, report::HealthChange};

impl Engine<'_> {
    /// Runs the state machines of the clients for which requests have left signals.
    pub(super) fn deliver_signals(&mut self) -> Result<(), RunError> {
        while let Some(client) = self.health.as_ref().and_then(|health| health.woken.1.try_recv().ok()) {
            self.run_machine(client)?;
        }
        Ok(())
    }

    /// Handles the timeout of the state machine of a client. Does nothing if the machine has asked for another time in
    /// the meantime.
    pub(super) fn on_health_timer(&mut self, client: usize) -> Result<(), RunError> {
        match self.clients[client].monitor.as_mut().and_then(|monitor| monitor.wakes.take_if(|at| *at == self.now)) {
            Some(_) => self.run_machine(client),
            None => Ok(()),
        }
    }

    fn run_machine(&mut self, client: usize) -> Result<(), RunError> {
        let now = Timestamp::from_nanos(self.now);
        let Some(monitor) = &mut self.clients[client].monitor else { return Ok(()) };
        for event in monitor.collector.take() {
            monitor.machine.handle(now, event);
        }
        monitor.machine.handle_timeout(now);
        self.apply_actions(client)
    }

    /// Informs the state machine of a client about the servers that have joined or left.
    pub(super) fn update_monitored(&mut self, client: usize) -> Result<(), RunError> {
        let now = Timestamp::from_nanos(self.now);
        let Some(monitor) = &mut self.clients[client].monitor else { return Ok(()) };
        for (server, (known, station)) in monitor.members.iter_mut().zip(&self.stations).enumerate() {
            let member = !station.faults.is_removed();
            if std::mem::replace(known, member) != member {
                let id = client::server_id(server);
                monitor.machine.handle(now, if member { HealthEvent::Joined(id) } else { HealthEvent::Left(id) });
            }
        }
        self.apply_actions(client)
    }

    fn apply_actions(&mut self, number: usize) -> Result<(), RunError> {
        let now = Timestamp::from_nanos(self.now);
        // All availabilities are set in one call, as in the tokio driver.
        let mut availabilities = Vec::new();
        loop {
            let client = &mut self.clients[number];
            let Some(monitor) = &mut client.monitor else { return Ok(()) };
            let done = match monitor.machine.poll_action() {
                None => break,
                Some(Action::Probe { probe, id, .. }) => {
                    self.send_check(number, probe, &id);
                    Ok(true)
                }
                Some(Action::SetAvailability { id, availability }) => {
                    availabilities.push((id, availability));
                    Ok(true)
                }
                Some(Action::SetWeightPercent { id, percent }) => client.pool.set_weight_percent(id, percent),
                Some(Action::SetMaxInFlight { id, max_in_flight }) => client.pool.set_max_in_flight(id, max_in_flight),
                Some(Action::CollectCounts) => {
                    let counted = monitor.collector.count();
                    monitor.machine.handle(now, counted);
                    Ok(true)
                }
                Some(Action::Notify(change)) => {
                    self.note(number, &change);
                    Ok(true)
                }
                // Actions that cancel a check need no work here: the machine ignores late results of checks.
                Some(_) => Ok(true),
            };
            done.map_err(|source| self.unusable(number, source))?;
        }
        if !availabilities.is_empty() {
            let set = self.clients[number].pool.set_availabilities(availabilities);
            set.map_err(|source| self.unusable(number, source))?;
        }
        self.plan_to_wake(number);
        Ok(())
    }

    fn plan_to_wake(&mut self, client: usize) {
        let Some(monitor) = &mut self.clients[client].monitor else { return };
        let Some(at) = monitor.machine.poll_timeout().map(|at| at.as_nanos().max(self.now)) else { return };
        // No timeouts after the end of the run: they would only take time until the last response has come.
        if monitor.wakes.is_none_or(|wakes| at < wakes) && !self.meter.is_over(at) {
            monitor.wakes = Some(at);
            self.events.plan(at, Event::HealthTimer { client: client as u32 });
        }
    }

    fn note(&mut self, client: usize, change: &AvailabilityChange) {
        let Some(server) = client::server_index(&change.id) else { return };
        let at = Duration::from_nanos(self.now - ORIGIN);
        let reason = format!("{}: {}", change.source, change.reason);
        self.meter.change_health(HealthChange { at, client, server, to: change.to, reason });
    }

    /// Sends a health check to a server.
    fn send_check(&mut self, client: usize, probe: ProbeId, id: &EndpointId) {
        let (Some(health), Some(server)) = (&mut self.health, client::server_index(id)) else { return };
        let at = health.checks.insert(Check { client, server, probe, result: None }) as u32;
        let there = self.scenario.one_way(server, &mut health.network);
        self.events.plan(self.now.saturating_add(there), Event::Check { at });
    }

    /// Handles a health check that has arrived at its server, or the response to a check that has arrived at its
    /// client.
    pub(super) fn check(&mut self, at: usize) -> Result<(), RunError> {
        let Some(health) = &mut self.health else { return Ok(()) };
        let check = &mut health.checks[at];
        if check.result.is_some() {
            let Check { client, probe, result, .. } = health.checks.remove(at);
            if let (Some(monitor), Some(result)) = (&mut self.clients[client].monitor, result) {
                monitor.machine.handle(Timestamp::from_nanos(self.now), HealthEvent::Probed { probe, result });
            }
            return self.apply_actions(client);
        }
        match self.stations[check.server].faults.check(self.now) {
            Some((result, after)) => {
                check.result = Some(result);
                let back = self.scenario.one_way(check.server, &mut health.network);
                self.events.plan(self.now.saturating_add(after).saturating_add(back), Event::Check { at: at as u32 });
            }
            None => drop(health.checks.remove(at)),
        }
        Ok(())
    }
}

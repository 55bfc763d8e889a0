//! What clients think of servers: a health machine for each, driven as the driver of `equipoise-health` does it.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use equipoise_core::{AnyStrategy, EndpointId, Timestamp};
use equipoise_health::{
    Action, Change, Event as HealthEvent, Machine, Policy, ProbeId, Signals,
    probe::{Answer, ProbeError},
};
use slab::Slab;

use super::{
    Engine, ORIGIN,
    events::{Event, Nanos},
    mishaps,
    streams::{Purpose, Stream, number, stream},
};
use crate::{error::RunError, report::HealthChange, scenario::InvalidScenario};

/// What the keepers of all clients share.
pub(super) struct Health {
    policy: Policy,
    seed: u64,
    /// The clients to whom requests have said something.
    woken: (Sender<usize>, Receiver<usize>),
    checks: Slab<Check>,
    network: Stream,
}

/// Keeps an eye on the servers for one client.
pub(super) struct Keeper {
    machine: Machine,
    signals: Signals,
    /// By server: whether the machine knows it.
    members: Vec<bool>,
    /// When it is woken next.
    wakes: Option<Nanos>,
}

/// A check on its way.
struct Check {
    client: usize,
    server: usize,
    probe: ProbeId,
    /// `None` on the way there.
    result: Option<Result<Answer, ProbeError>>,
}

impl Health {
    pub(super) fn new(policy: &Policy, seed: u64) -> Self {
        let network = stream(seed, Purpose::Checks, 0);
        Self { policy: policy.clone(), seed, woken: channel(), checks: Slab::new(), network }
    }

    pub(super) fn keeper(&self, client: usize, servers: usize) -> Result<Keeper, InvalidScenario> {
        let machine = Machine::new(self.policy.clone(), number(self.seed, Purpose::Health, client))?;
        let signals = Signals::new(self.policy.outliers);
        let woken = self.woken.0.clone();
        signals.wake_by(move || {
            // Nobody listens once the run is over.
            let _ = woken.send(client);
        });
        Ok(Keeper { machine, signals, members: vec![false; servers], wakes: None })
    }
}

impl Keeper {
    pub(super) fn watch(&self, strategy: AnyStrategy) -> AnyStrategy {
        AnyStrategy::new(self.signals.watch(strategy))
    }
}

impl Engine<'_> {
    /// Lets the machines hear what requests have said.
    pub(super) fn hear(&mut self) -> Result<(), RunError> {
        while let Some(client) = self.health.as_ref().and_then(|health| health.woken.1.try_recv().ok()) {
            self.tend(client)?;
        }
        Ok(())
    }

    /// The time has come that a machine asked for, unless it has asked for another since.
    pub(super) fn wake(&mut self, client: usize) -> Result<(), RunError> {
        match self.clients[client].keeper.as_mut().and_then(|keeper| keeper.wakes.take_if(|at| *at == self.now)) {
            Some(_) => self.tend(client),
            None => Ok(()),
        }
    }

    fn tend(&mut self, client: usize) -> Result<(), RunError> {
        let now = Timestamp::from_nanos(self.now);
        let Some(keeper) = &mut self.clients[client].keeper else { return Ok(()) };
        for event in keeper.signals.take() {
            keeper.machine.handle(now, event);
        }
        keeper.machine.handle_timeout(now);
        self.act(client)
    }

    /// Tells a client's machine who has come and gone.
    pub(super) fn meet_members(&mut self, client: usize) -> Result<(), RunError> {
        let now = Timestamp::from_nanos(self.now);
        let Some(keeper) = &mut self.clients[client].keeper else { return Ok(()) };
        for (server, (known, station)) in keeper.members.iter_mut().zip(&self.stations).enumerate() {
            let member = !station.faults.is_away();
            if std::mem::replace(known, member) != member {
                let id = mishaps::id(server);
                keeper.machine.handle(now, if member { HealthEvent::Joined(id) } else { HealthEvent::Left(id) });
            }
        }
        self.act(client)
    }

    fn act(&mut self, number: usize) -> Result<(), RunError> {
        let now = Timestamp::from_nanos(self.now);
        // Set all at once, as the driver does.
        let mut availabilities = Vec::new();
        loop {
            let client = &mut self.clients[number];
            let Some(keeper) = &mut client.keeper else { return Ok(()) };
            let done = match keeper.machine.poll_action() {
                None => break,
                Some(Action::Probe { probe, id, .. }) => {
                    self.look(number, probe, &id);
                    Ok(true)
                }
                Some(Action::Set { id, availability }) => {
                    availabilities.push((id, availability));
                    Ok(true)
                }
                Some(Action::Weigh { id, percent }) => client.pool.set_weight_percent(id, percent),
                Some(Action::Limit { id, limit }) => client.pool.set_max_in_flight(id, limit),
                Some(Action::Count) => {
                    let counted = keeper.signals.count();
                    keeper.machine.handle(now, counted);
                    Ok(true)
                }
                Some(Action::Tell(change)) => {
                    self.note(number, &change);
                    Ok(true)
                }
                // An answer that comes too late is known by its number.
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
        let Some(keeper) = &mut self.clients[client].keeper else { return };
        let Some(at) = keeper.machine.poll_timeout().map(|at| at.as_nanos().max(self.now)) else { return };
        // Nothing after the end, or the last answer would be waited for in steps of an interval.
        if keeper.wakes.is_none_or(|wakes| at < wakes) && !self.meter.is_over(at) {
            keeper.wakes = Some(at);
            self.events.plan(at, Event::Tend { client: client as u32 });
        }
    }

    fn note(&mut self, client: usize, change: &Change) {
        let Some(server) = mishaps::server(&change.id) else { return };
        let at = Duration::from_nanos(self.now - ORIGIN);
        let reason = format!("{}: {}", change.source, change.reason);
        self.meter.change_health(HealthChange { at, client, server, to: change.to.into(), reason });
    }

    /// Sends a check.
    fn look(&mut self, client: usize, probe: ProbeId, id: &EndpointId) {
        let (Some(health), Some(server)) = (&mut self.health, mishaps::server(id)) else { return };
        let at = health.checks.insert(Check { client, server, probe, result: None }) as u32;
        let there = self.scenario.network.draw(&mut health.network);
        self.events.plan(self.now.saturating_add(there), Event::Check { at });
    }

    /// A check has come to its server, or back.
    pub(super) fn check(&mut self, at: usize) -> Result<(), RunError> {
        let Some(health) = &mut self.health else { return Ok(()) };
        let check = &mut health.checks[at];
        if check.result.is_some() {
            let Check { client, probe, result, .. } = health.checks.remove(at);
            if let (Some(keeper), Some(result)) = (&mut self.clients[client].keeper, result) {
                keeper.machine.handle(Timestamp::from_nanos(self.now), HealthEvent::Probed { probe, result });
            }
            return self.act(client);
        }
        match self.stations[check.server].faults.check(self.now) {
            Some((result, after)) => {
                check.result = Some(result);
                let back = self.scenario.network.draw(&mut health.network);
                self.events.plan(self.now.saturating_add(after).saturating_add(back), Event::Check { at: at as u32 });
            }
            None => drop(health.checks.remove(at)),
        }
        Ok(())
    }
}

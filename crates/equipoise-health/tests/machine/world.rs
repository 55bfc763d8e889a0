//! A machine, a clock, and endpoints that answer probes as the test says.

use std::{collections::BTreeMap, time::Duration};

use equipoise_core::{Availability, EndpointId, Timestamp};
use equipoise_health::{
    AdminState, AvailabilityChange, CheckPolicy, HealthPolicy, Schedule,
    machine::{Action, Event, Machine, ProbeId, Signal},
    probe::{ProbeError, ProbeOutcome},
};

pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) now: Timestamp,
    /// The running probes with the time of their start.
    pub(crate) probes: BTreeMap<ProbeId, (EndpointId, Timestamp)>,
    pub(crate) availability: BTreeMap<EndpointId, Availability>,
    pub(crate) changes: Vec<AvailabilityChange>,
    /// All availabilities that the machine has set, in order.
    pub(crate) sets: Vec<(EndpointId, Availability)>,
    /// All other actions.
    pub(crate) others: Vec<Action>,
    /// The number of probes started, by endpoint.
    pub(crate) started: BTreeMap<EndpointId, usize>,
}

pub(crate) fn id(at: usize) -> EndpointId {
    EndpointId::from(format!("e{at}"))
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) fn checks(schedule: Schedule) -> HealthPolicy {
    let check = CheckPolicy::new("http", schedule);
    HealthPolicy::new().check(check)
}

pub(crate) fn failed() -> Result<ProbeOutcome, ProbeError> {
    Err(ProbeError::Unexpected("status 500".to_owned()))
}

impl World {
    pub(crate) fn new(policy: HealthPolicy, endpoints: usize) -> Self {
        let machine = Machine::new(policy, 1).expect("a policy that makes sense");
        let mut world = Self {
            machine,
            now: Timestamp::from_nanos(1_000_000_000),
            probes: BTreeMap::new(),
            availability: BTreeMap::new(),
            changes: Vec::new(),
            sets: Vec::new(),
            others: Vec::new(),
            started: BTreeMap::new(),
        };
        for at in 0..endpoints {
            world.availability.insert(id(at), Availability::Up);
            world.tell(Event::Joined(id(at)));
        }
        world
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.machine.handle(self.now, event);
        self.act();
    }

    pub(crate) fn signal(&mut self, at: usize, signal: Signal) {
        self.tell(Event::Signalled { id: id(at), signal });
    }

    pub(crate) fn order(&mut self, at: usize, order: AdminState) {
        self.tell(Event::AdminStateSet { id: id(at), state: order });
    }

    pub(crate) fn of(&self, at: usize) -> Availability {
        self.availability[&id(at)]
    }

    /// The number of endpoints that are not up.
    pub(crate) fn out(&self) -> usize {
        self.availability.values().filter(|&&availability| availability != Availability::Up).count()
    }

    fn act(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Probe { probe, id, .. } => {
                    *self.started.entry(id.clone()).or_default() += 1;
                    self.probes.insert(probe, (id, self.now));
                }
                Action::CancelProbe(probe) => drop(self.probes.remove(&probe)),
                Action::SetAvailability { id, availability } => {
                    self.sets.push((id.clone(), availability));
                    self.availability.insert(id, availability);
                }
                Action::Notify(change) => self.changes.push(change),
                other => self.others.push(other),
            }
        }
    }

    pub(crate) fn set_clock(&mut self, now: Timestamp) {
        self.now = now;
        self.machine.handle_timeout(now);
        self.act();
    }

    /// Advances to the machine's next timeout, at most to `until`. Returns whether there was one.
    pub(crate) fn step(&mut self, until: Timestamp) -> bool {
        let next = self.machine.poll_timeout().filter(|&at| at <= until);
        self.now = next.unwrap_or(until).max(self.now);
        self.machine.handle_timeout(self.now);
        self.act();
        next.is_some()
    }

    /// Advances the time. Probes are answered at once; with `None`, a probe gets no answer.
    pub(crate) fn pass(
        &mut self,
        time: Duration,
        mut answer: impl FnMut(&EndpointId, Timestamp) -> Option<Result<ProbeOutcome, ProbeError>>,
    ) {
        let until = self.now + time;
        loop {
            let came = self.step(until);
            while let Some((probe, result)) = self.probes.iter().find_map(|(probe, (id, since))| {
                (*since == self.now).then(|| answer(id, self.now)).flatten().map(|result| (*probe, result))
            }) {
                self.probes.remove(&probe);
                self.tell(Event::Probed { probe, result });
            }
            if !came && self.now >= until {
                return;
            }
        }
    }
}

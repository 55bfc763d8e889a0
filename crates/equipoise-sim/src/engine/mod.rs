//! The run itself: one thread, one clock, one event after the other.

mod client;
mod events;
mod meter;
mod requests;
mod station;
mod streams;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use equipoise_core::{EndpointSpec, ManualClock, PickError, PickRequest, Timestamp};
use rand_distr::Zipf;
use slab::Slab;

pub(crate) use self::requests::End;
use self::{
    client::{Client, Draw},
    events::{Event, Events, Nanos, TryId},
    meter::Meter,
    requests::{Call, Held, Tries},
    station::Station,
    streams::{Purpose, Stream, stream},
};
use crate::{
    contender::Contender,
    control::Control,
    error::RunError,
    feed::{Feed, ServerLoad},
    report::Report,
    scenario::{Fault, FaultKind, InvalidScenario, Scenario, WorkSource},
};

/// When a run begins: pools read a timestamp of zero as "never".
const ORIGIN: Nanos = 1_000_000_000;

/// How many events pass between two looks at the control.
const LOOK: u32 = 4096;

pub(crate) fn run(
    scenario: &Scenario,
    contender: &dyn Contender,
    feed: &mut dyn Feed,
    control: &Control,
) -> Result<Report, RunError> {
    let mut engine = Engine::new(scenario, contender, feed)?;
    let interrupted = engine.run(control)?;
    Ok(engine.meter.report(contender.label(), scenario, &mut engine.stations, engine.now, interrupted))
}

struct Engine<'a> {
    scenario: &'a Scenario,
    contender: &'a dyn Contender,
    feed: &'a mut dyn Feed,
    clock: Arc<ManualClock>,
    now: Nanos,
    events: Events,
    stations: Vec<Station>,
    clients: Vec<Client>,
    calls: Slab<Call>,
    call_number: u32,
    tries: Tries,
    /// In the order of their time, since all wait for the same.
    timeouts: VecDeque<(Nanos, TryId)>,
    hedges: VecDeque<(Nanos, u32, u32)>,
    probes: Slab<Probe>,
    probing: Stream,
    antagonists: Vec<Stream>,
    work: WorkSource,
    popularity: Option<Zipf<f64>>,
    meter: Meter,
    /// Scratch space.
    asked: Vec<usize>,
    loads: Vec<ServerLoad>,
}

struct Probe {
    client: usize,
    server: usize,
    load: Option<ServerLoad>,
}

impl<'a> Engine<'a> {
    fn new(scenario: &'a Scenario, contender: &'a dyn Contender, feed: &'a mut dyn Feed) -> Result<Self, RunError> {
        let clock = Arc::new(ManualClock::new());
        clock.set(Timestamp::from_nanos(ORIGIN));
        let clients = (0..scenario.clients).map(|client| Client::new(scenario, client, contender, &clock));
        let popularity = scenario.keys.map(|keys| {
            let impossible = |_| InvalidScenario::Keys { count: keys.count, exponent: keys.exponent, most: u32::MAX };
            Zipf::new(f64::from(keys.count), keys.exponent).map_err(impossible)
        });
        let stations: Vec<Station> = scenario.servers.iter().map(Station::new).collect();
        let mut engine = Self {
            clients: clients.collect::<Result<_, _>>()?,
            popularity: popularity.transpose()?,
            antagonists: (0..stations.len()).map(|at| stream(scenario.seed, Purpose::Antagonists, at)).collect(),
            probing: stream(scenario.seed, Purpose::Probes, 0),
            work: scenario.work.source(),
            meter: Meter::new(scenario, ORIGIN),
            now: ORIGIN,
            events: Events::default(),
            calls: Slab::new(),
            call_number: 0,
            tries: Tries::default(),
            timeouts: VecDeque::new(),
            hedges: VecDeque::new(),
            probes: Slab::new(),
            asked: Vec::new(),
            loads: Vec::new(),
            scenario,
            contender,
            feed,
            clock,
            stations,
        };
        engine.plan_from_the_start();
        engine.tell_members()?;
        Ok(engine)
    }

    fn plan_from_the_start(&mut self) {
        for (at, fault) in self.scenario.faults.iter().enumerate() {
            let begins = Event::Fault { at: at as u32, begins: true };
            match nanos(fault.from) {
                0 => self.begin_fault(at, fault),
                from => self.events.plan(ORIGIN.saturating_add(from), begins),
            }
        }
        if self.scenario.antagonists.is_some() {
            (0..self.stations.len()).for_each(|server| self.antagonise(server));
        }
        for client in 0..self.clients.len() {
            let gap = self.clients[client].gap();
            self.events.plan(self.now.saturating_add(gap), Event::Arrival { client: client as u32 });
        }
        if let Some(period) = self.feed.period() {
            self.events.plan(self.now.saturating_add(nanos(period).max(1)), Event::Board);
        }
        self.events.plan(self.now.saturating_add(nanos(self.scenario.sample)), Event::Sample);
        for border in self.meter.window() {
            self.events.plan(border, Event::Border);
        }
    }

    /// Until what is measured is over. Answers whether it was stopped before.
    fn run(&mut self, control: &Control) -> Result<bool, RunError> {
        loop {
            for _ in 0..LOOK {
                if self.meter.is_complete(self.now) {
                    control.set_done(1.0);
                    return Ok(false);
                }
                self.step()?;
            }
            control.set_done(self.meter.part_done(self.now));
            if control.is_stopped() {
                return Ok(true);
            }
        }
    }

    fn step(&mut self) -> Result<(), RunError> {
        let event = self.events.next_at().unwrap_or(Nanos::MAX);
        let timeout = self.timeouts.front().map_or(Nanos::MAX, |&(at, _)| at);
        let hedge = self.hedges.front().map_or(Nanos::MAX, |&(at, ..)| at);
        self.now = event.min(timeout).min(hedge);
        self.clock.set(Timestamp::from_nanos(self.now));
        if timeout <= event.min(hedge) {
            match self.timeouts.pop_front() {
                Some((_, id)) => self.time_out(id),
                None => Ok(()),
            }
        } else if hedge <= event {
            match self.hedges.pop_front() {
                Some((_, call, number)) => self.hedge(call, number),
                None => Ok(()),
            }
        } else {
            match self.events.next() {
                Some((_, event)) => self.happen(event),
                None => Ok(()),
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), RunError> {
        match event {
            Event::Arrival { client } => return self.arrive(client),
            Event::Reach(id) => self.reach(id),
            Event::Done { server, plan } => return self.done(server as usize, plan),
            Event::Sunk(id) => return self.leave(id, End::Failed),
            Event::Answer(id) => return self.answer(id),
            Event::Fault { at, begins } => return self.fault(at as usize, begins),
            Event::Antagonists { server } => self.antagonise(server as usize),
            Event::Probe { at } => self.probe(at as usize),
            Event::Board => self.fill_board(),
            Event::Border => self.meter.flush(&mut self.stations, self.now),
            Event::Sample => {
                self.meter.sample(&mut self.stations, self.now);
                let next = self.now.saturating_add(nanos(self.scenario.sample));
                // A last answer may be on its way for years.
                if next <= self.meter.window()[1] {
                    self.events.plan(next, Event::Sample);
                }
            }
        }
        Ok(())
    }

    // The client's side.

    fn arrive(&mut self, number: u32) -> Result<(), RunError> {
        let client = &mut self.clients[number as usize];
        let gap = client.gap();
        let draw = client.first(&self.work, &self.scenario.network);
        let key = self.popularity.as_ref().map(|popularity| client.key(popularity));
        if let Some(budget) = self.scenario.retries.budget {
            client.earn(budget);
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
        self.ask(number as usize);
        if let Some(after) = self.scenario.hedge {
            self.hedges.push_back((self.now.saturating_add(nanos(after)), call, self.call_number));
        }
        if !self.attempt(call, draw)? {
            self.end(call, End::Unserved);
        }
        Ok(())
    }

    /// Makes an attempt, at a server not tried yet if there is one. Answers whether it could.
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
        if self.scenario.hedge.is_some() || self.scenario.retries.most > 0 {
            call.tried.push(lease.endpoint().id().clone());
        }
        self.meter.send(*lease.target() as usize, call.key, self.now);
        let id = self.tries.insert(lease, number, draw.work, draw.back);
        let free = usize::from(call.open[0].is_some());
        call.open[free] = Some(id);
        if self.tries.len() > self.scenario.most_open {
            let (label, open) = (self.contender.label(), self.tries.len());
            return Err(RunError::PiledUp { label, open, after: self.elapsed() });
        }
        if let Some(timeout) = self.scenario.timeout {
            self.timeouts.push_back((self.now.saturating_add(nanos(timeout)), id));
        }
        match draw.there {
            0 if self.scenario.network.is_none() => self.reach(id),
            there => self.events.plan(self.now.saturating_add(there), Event::Reach(id)),
        }
        Ok(true)
    }

    fn answer(&mut self, id: TryId) -> Result<(), RunError> {
        let Some(attempt) = self.tries.remove(id) else { return Ok(()) };
        let Some(Held { mut lease, call }) = attempt.held else { return Ok(()) };
        if let Some(load) = attempt.load {
            lease.first_byte();
            let client = self.calls[call as usize].client as usize;
            self.feed.answered(client, attempt.server as usize, load, Timestamp::from_nanos(self.now));
        }
        lease.finish(attempt.end.verdict());
        self.attempt_ended(call, id, attempt.end)
    }

    fn time_out(&mut self, id: TryId) -> Result<(), RunError> {
        let Some(call) = self.give_up(id, End::TimedOut) else { return Ok(()) };
        self.attempt_ended(call, id, End::TimedOut)
    }

    /// The client wants no answer any more. Answers the request that the attempt was for.
    fn give_up(&mut self, id: TryId, end: End) -> Option<u32> {
        let attempt = self.tries.get_mut(id)?;
        let Held { lease, call } = attempt.held.take()?;
        lease.finish(end.verdict());
        let server = attempt.server as usize;
        match attempt.place {
            // The server works on, or will, and finds nobody to answer.
            _ if !self.scenario.cancels && !attempt.lost => {}
            Some(place) => {
                self.tries.remove(id);
                let station = &mut self.stations[server];
                let before = station.len();
                let up = station.take_away(place, self.now, |id| self.tries.is_here(id));
                self.meter.change(server, before, before - 1, self.now);
                self.moved_up(up);
                self.replan(server);
            }
            None => drop(self.tries.remove(id)),
        }
        Some(call)
    }

    fn attempt_ended(&mut self, number: u32, id: TryId, end: End) -> Result<(), RunError> {
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
        if call.retries < self.scenario.retries.most {
            let client = &mut self.clients[call.client as usize];
            if self.scenario.retries.budget.is_none() || client.spend() {
                call.retries += 1;
                let draw = client.again(&self.work, &self.scenario.network);
                if self.attempt(number, draw)? {
                    return Ok(());
                }
            }
        }
        self.end(number, end);
        Ok(())
    }

    fn hedge(&mut self, number: u32, of: u32) -> Result<(), RunError> {
        let Some(call) = self.calls.get(number as usize).filter(|call| call.number == of) else { return Ok(()) };
        if call.open.iter().all(Option::is_some) {
            return Ok(());
        }
        let draw = self.clients[call.client as usize].again(&self.work, &self.scenario.network);
        self.attempt(number, draw).map(drop)
    }

    fn end(&mut self, number: u32, end: End) {
        let call = self.calls.remove(number as usize);
        self.meter.end(call.measured, self.now - call.begun, end);
        for id in call.open.into_iter().flatten() {
            // Not needed any more; nothing is held against its server.
            self.give_up(id, End::Unserved);
        }
    }

    // The server's side.

    fn reach(&mut self, id: TryId) {
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
    fn lose(&mut self, id: TryId) {
        match self.tries.get_mut(id) {
            Some(attempt) if attempt.held.is_some() => attempt.lost = true,
            _ => drop(self.tries.remove(id)),
        }
    }

    fn done(&mut self, server: usize, plan: u32) -> Result<(), RunError> {
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
    fn leave(&mut self, id: TryId, end: End) -> Result<(), RunError> {
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

    fn send_back(&mut self, id: TryId, end: End) {
        let Some(attempt) = self.tries.get_mut(id) else { return };
        attempt.end = end;
        self.events.plan(self.now.saturating_add(attempt.back), Event::Answer(id));
    }

    fn moved_up(&mut self, id: Option<TryId>) {
        if let Some(attempt) = id.and_then(|id| self.tries.get_mut(id)) {
            attempt.place = Some(station::Place::InWork);
        }
    }

    fn replan(&mut self, server: usize) {
        if let Some((at, plan)) = self.stations[server].plan(|id| self.tries.is_here(id)) {
            self.events.plan(at, Event::Done { server: server as u32, plan });
        }
    }

    // What happens to servers.

    fn fault(&mut self, at: usize, begins: bool) -> Result<(), RunError> {
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
        if fault.kind == FaultKind::Away {
            self.meter.membership(fault.server, !self.stations[fault.server].faults.is_away(), self.now);
            self.tell_members()?;
        }
        Ok(())
    }

    fn begin_fault(&mut self, at: usize, fault: &Fault) {
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

    /// What becomes of those who are at a server that dies.
    fn crash(&mut self, fault: &Fault) {
        if !matches!(fault.kind, FaultKind::Refuses | FaultKind::Swallows) {
            return;
        }
        let station = &mut self.stations[fault.server];
        self.meter.change(fault.server, station.len(), 0, self.now);
        for id in station.drop_all(self.now, |id| self.tries.is_here(id)) {
            let Some(attempt) = self.tries.get_mut(id) else { continue };
            attempt.place = None;
            match fault.kind {
                FaultKind::Refuses => self.send_back(id, End::Broken),
                _ => self.lose(id),
            }
        }
        self.replan(fault.server);
    }

    fn antagonise(&mut self, server: usize) {
        let Some(antagonists) = self.scenario.antagonists else { return };
        let rng = &mut self.antagonists[server];
        let (share, gap) = (antagonists.share(rng), antagonists.next(rng));
        self.stations[server].allot(share, self.now);
        self.replan(server);
        let at = self.now.saturating_add((gap * 1e9) as Nanos);
        self.events.plan(at, Event::Antagonists { server: server as u32 });
    }

    fn tell_members(&mut self) -> Result<(), RunError> {
        let members: Vec<EndpointSpec> = (self.scenario.servers.iter().zip(&self.stations).enumerate())
            .filter(|(_, (_, station))| !station.faults.is_away())
            .map(|(at, (server, _))| {
                let spec = EndpointSpec::new(at.to_string()).named(format!("server-{at}")).weight(server.weight);
                let spec = spec.zone(server.zone.as_deref().unwrap_or_default());
                server.limit.map_or(spec.clone(), |limit| spec.limit(limit))
            })
            .collect();
        for (number, client) in self.clients.iter().enumerate() {
            client.learn(&members).map_err(|source| RunError::Unusable {
                label: self.contender.label(),
                client: number,
                source,
            })?;
        }
        Ok(())
    }

    // What servers say of themselves.

    fn ask(&mut self, client: usize) {
        self.asked.clear();
        self.feed.probes(client, Timestamp::from_nanos(self.now), &mut self.asked);
        for at in 0..self.asked.len() {
            let server = self.asked[at];
            if server < self.stations.len() {
                let probe = self.probes.insert(Probe { client, server, load: None }) as u32;
                let there = self.scenario.network.draw(&mut self.probing);
                self.events.plan(self.now.saturating_add(there), Event::Probe { at: probe });
            }
        }
    }

    fn probe(&mut self, at: usize) {
        let probe = &mut self.probes[at];
        let station = &self.stations[probe.server];
        if let Some(load) = probe.load {
            let Probe { client, server, .. } = self.probes.remove(at);
            return self.feed.probed(client, server, load, Timestamp::from_nanos(self.now));
        }
        if station.faults.swallows() || station.faults.refuses() {
            self.probes.remove(at);
            return;
        }
        probe.load = Some(station.load());
        let back = self.scenario.network.draw(&mut self.probing);
        self.events.plan(self.now.saturating_add(back), Event::Probe { at: at as u32 });
    }

    fn fill_board(&mut self) {
        self.loads.clear();
        self.loads.extend(self.stations.iter().map(Station::load));
        self.feed.posted(&self.loads, Timestamp::from_nanos(self.now));
        if let Some(period) = self.feed.period() {
            self.events.plan(self.now.saturating_add(nanos(period).max(1)), Event::Board);
        }
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now - ORIGIN)
    }
}

fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

//! The run itself: one thread, one clock, one event after the other.
//!
//! Here are the run's state, its beginning and its loop, which hands each event to whom it concerns: `client_side`,
//! `server_side`, `mishaps` (what happens to servers), `feeding` (what servers say of themselves) or `health` (what is thought of them). What they work on has
//! a file each: a `client` (a pool and its chance), a `station` (a server at work), open `requests`, `events` to come, the
//! `meter`.

mod client;
mod client_side;
mod events;
mod feeding;
mod health;
mod meter;
mod mishaps;
mod requests;
mod server_side;
mod station;
mod streams;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use equipoise_core::{ManualClock, Timestamp, take_panicked};
use rand_distr::Zipf;
use slab::Slab;

pub(crate) use self::requests::End;
use self::{
    client::Client,
    events::{Event, Events, Nanos, TryId},
    feeding::Probe,
    health::Health,
    meter::Meter,
    requests::{Call, Tries},
    station::Station,
    streams::{Purpose, Stream, stream},
};
use crate::{
    contender::Contender,
    control::Control,
    error::RunError,
    feed::{Feed, ServerLoad},
    report::Report,
    scenario::{InvalidScenario, Scenario, WorkSource},
};

/// When a run begins: pools read a timestamp of zero as "never".
const ORIGIN: Nanos = 1_000_000_000;

/// How many events pass until the control hears of it.
const TELL: u32 = 4096;

pub(crate) fn run(
    scenario: &Scenario,
    contender: &dyn Contender,
    feed: &mut dyn Feed,
    control: &Control,
) -> Result<Report, RunError> {
    // Of a run before this one, whose last leases ended with it.
    take_panicked();
    let mut engine = Engine::new(scenario, contender, feed, control)?;
    let interrupted = engine.run()?;
    Ok(engine.meter.report(contender.label(), scenario, &mut engine.stations, engine.now, interrupted))
}

struct Engine<'a> {
    scenario: &'a Scenario,
    contender: &'a dyn Contender,
    feed: &'a mut dyn Feed,
    control: &'a Control,
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
    /// How often it is filled: asked once, since a run was allowed with this.
    board: Option<Nanos>,
    health: Option<Health>,
    antagonists: Vec<Stream>,
    work: WorkSource,
    popularity: Option<Zipf<f64>>,
    meter: Meter,
    /// Scratch space.
    asked: Vec<usize>,
    loads: Vec<ServerLoad>,
}

impl<'a> Engine<'a> {
    fn new(
        scenario: &'a Scenario,
        contender: &'a dyn Contender,
        feed: &'a mut dyn Feed,
        control: &'a Control,
    ) -> Result<Self, RunError> {
        let clock = Arc::new(ManualClock::new());
        clock.set(Timestamp::from_nanos(ORIGIN));
        // Many clients take seconds.
        let clients = (0..scenario.clients).take_while(|_| !control.is_stopped());
        let health = scenario.health.as_ref().map(|policy| Health::new(policy, scenario.seed));
        let clients = clients.map(|client| {
            let keeper = health.as_ref().map(|health| health.keeper(client, scenario.servers.len())).transpose()?;
            Client::new(scenario, client, contender, &clock, keeper)
        });
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
            board: feed.period().map(nanos),
            asked: Vec::new(),
            loads: Vec::new(),
            health,
            scenario,
            contender,
            feed,
            control,
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
        if let Some(period) = self.board {
            self.events.plan(self.now.saturating_add(period), Event::Board);
        }
        self.events.plan(self.now.saturating_add(nanos(self.scenario.sample)), Event::Sample);
        for border in self.meter.window() {
            self.events.plan(border, Event::Border);
        }
    }

    /// Until what is measured is over. Answers whether it was stopped before.
    fn run(&mut self) -> Result<bool, RunError> {
        loop {
            for _ in 0..TELL {
                if self.control.is_stopped() {
                    return Ok(true);
                }
                if self.meter.is_complete(self.now) {
                    self.control.set_done(1.0);
                    return Ok(false);
                }
                self.step()?;
                if self.health.is_some() {
                    self.hear()?;
                }
                if take_panicked() {
                    return Err(RunError::HookPanicked { label: self.contender.label(), after: self.elapsed() });
                }
            }
            self.control.set_done(self.meter.part_done(self.now));
        }
    }

    fn step(&mut self) -> Result<(), RunError> {
        let event = self.events.next_at().unwrap_or(Nanos::MAX);
        let timeout = self.timeouts.front().map_or(Nanos::MAX, |&(at, _)| at);
        let hedge = self.hedges.front().map_or(Nanos::MAX, |&(at, ..)| at);
        self.now = event.min(timeout).min(hedge);
        self.clock.set(Timestamp::from_nanos(self.now));
        // At the end of time all three are equal, also where there is none.
        if timeout <= event.min(hedge)
            && let Some((_, id)) = self.timeouts.pop_front()
        {
            return self.time_out(id);
        }
        if hedge <= event
            && let Some((_, call, number)) = self.hedges.pop_front()
        {
            return self.hedge(call, number);
        }
        self.events.next().map_or(Ok(()), |(_, event)| self.happen(event))
    }

    fn happen(&mut self, event: Event) -> Result<(), RunError> {
        match event {
            Event::Arrival { client } => return self.arrive(client),
            Event::FailureStage(id) => self.reach(id),
            Event::Done { server, plan } => return self.done(server as usize, plan),
            Event::Sunk(id) => return self.leave(id, End::Failed),
            Event::Answer(id) => return self.answer(id),
            Event::Fault { at, begins } => return self.fault(at as usize, begins),
            Event::Antagonists { server } => self.antagonise(server as usize),
            Event::Probe { at } => self.probe(at as usize),
            Event::Check { at } => return self.check(at as usize),
            Event::Tend { client } => return self.wake(client as usize),
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

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now - ORIGIN)
    }
}

fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

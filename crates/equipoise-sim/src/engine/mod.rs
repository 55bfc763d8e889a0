//! The simulation of one run: a discrete-event simulation in one thread, with one clock.
//!
//! `state` holds the state of a run: clients (each with a pool and random numbers), stations (the servers), open
//! requests, future events and the meter (the measurements). The event loop is in this file. It passes each event to
//! the code in `client_side`, `server_side`, `waiting` (queues of pools), `faults`, `load_feed` (load reports) or
//! `health`.

mod client;
mod client_side;
mod draw;
mod events;
mod faults;
mod health;
mod load_feed;
mod meter;
mod monitor;
mod queued;
mod requests;
mod server_side;
mod state;
mod station;
mod streams;
mod waiting;

use equipoise_core::{__private::take_panicked, Timestamp};

use self::{
    events::{Event, Nanos, ORIGIN, nanos},
    state::Engine,
};
use crate::{
    contender::Contender,
    control::Control,
    error::RunError,
    feed::Feed,
    report::{End, Report},
    scenario::Scenario,
};

/// Number of events after which the progress in the [`Control`] is updated.
const CONTROL_INTERVAL: u32 = 4096;

pub(crate) fn run(
    scenario: &Scenario,
    contender: &dyn Contender,
    feed: &mut dyn Feed,
    control: &Control,
) -> Result<Report, RunError> {
    // A lease of an earlier run on this thread may have left a panic when it was dropped. Forgets it.
    take_panicked();
    let mut engine = Engine::new(scenario, contender, feed, control)?;
    engine.plan_from_the_start();
    engine.update_members()?;
    let interrupted = engine.run()?;
    Ok(engine.meter.report(contender.label(), scenario, &mut engine.stations, engine.now, interrupted))
}

impl Engine<'_> {
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
            self.plan_arrival(client as u32);
        }
        if let Some(period) = self.snapshot_interval {
            self.events.plan(self.now.saturating_add(period), Event::LoadSnapshot);
        }
        self.events.plan(self.now.saturating_add(nanos(self.scenario.sample)), Event::Sample);
        for border in self.meter.window() {
            self.events.plan(border, Event::WindowEdge);
        }
    }

    /// Handles events until all measured requests have ended. Returns whether the run was stopped before that.
    fn run(&mut self) -> Result<bool, RunError> {
        loop {
            for _ in 0..CONTROL_INTERVAL {
                if self.control.is_stopped() {
                    return Ok(true);
                }
                if self.meter.is_complete(self.now) {
                    self.control.set_progress(1.0);
                    return Ok(false);
                }
                self.step()?;
                if self.scenario.queue_timeout.is_some() {
                    self.serve_woken()?;
                }
                if self.health.is_some() {
                    self.deliver_signals()?;
                }
                if take_panicked() {
                    return Err(RunError::HookPanicked { label: self.contender.label(), after: self.elapsed() });
                }
            }
            self.control.set_progress(self.meter.part_done(self.now));
        }
    }

    fn step(&mut self) -> Result<(), RunError> {
        let event = self.events.next_at().unwrap_or(Nanos::MAX);
        let timeout = self.timeouts.front().map_or(Nanos::MAX, |&(at, _)| at);
        let hedge = self.hedges.front().map_or(Nanos::MAX, |&(at, ..)| at);
        self.now = event.min(timeout).min(hedge);
        self.clock.set(Timestamp::from_nanos(self.now));
        // A time of `Nanos::MAX` means that there is no entry, so each queue is also tested for an entry.
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
            Event::AtServer(id) => self.arrive_at_server(id),
            Event::Done { server, plan } => return self.done(server as usize, plan),
            Event::FailedFast(id) => return self.leave(id, End::Failed),
            Event::Answer(id) => return self.answer(id),
            Event::BodyEnds(id) => self.end_body(id),
            Event::QueueTimeout { call, number } => self.queue_timeout(call, number),
            Event::GivesUp { call, number } => self.caller_gives_up(call, number),
            Event::Fault { at, begins } => return self.fault(at as usize, begins),
            Event::Antagonists { server } => self.antagonise(server as usize),
            Event::Probe { at } => self.probe(at as usize),
            Event::Check { at } => return self.check(at as usize),
            Event::HealthTimer { client } => return self.on_health_timer(client as usize),
            Event::LoadSnapshot => self.snapshot_loads(),
            Event::WindowEdge => self.meter.flush(&mut self.stations, self.now),
            Event::Sample => {
                self.meter.sample(&mut self.stations, self.now);
                let next = self.now.saturating_add(nanos(self.scenario.sample));
                // No samples after the end of the run: the last response may come much later.
                if next <= self.meter.window()[1] {
                    self.events.plan(next, Event::Sample);
                }
            }
        }
        Ok(())
    }
}

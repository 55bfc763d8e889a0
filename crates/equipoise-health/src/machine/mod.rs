//! The machine: one writer for one pool, without any I/O.

mod check;
mod event;
mod record;
mod requests;
mod timers;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use equipoise_core::{EndpointId, Entropy, SeededEntropy, Timestamp};

pub use self::event::{Action, Change, Counts, Event, Order, ProbeId, Signal, Source, Trip};
pub use self::record::{Looks, Opinion, Standing};
use self::{
    check::Running,
    record::Record,
    requests::Phase,
    timers::{Timer, Timers},
};
use crate::{
    probe::{Answer, ProbeError, Silence},
    settings::{InvalidHealth, OnTrip, Outliers, Policy},
};

/// Decides on the health of a pool's endpoints, from everything that anybody says about them.
///
/// It does nothing itself: it is told what happens ([`handle`](Self::handle)) and what time it is
/// ([`handle_timeout`](Self::handle_timeout)), and says when it wants to be woken ([`poll_timeout`](Self::poll_timeout))
/// and what is to be done ([`poll_action`](Self::poll_action)). The same machine runs under tokio, under a manual clock and
/// in the simulator; the same events at the same times give the same actions.
///
/// # Who decides
///
/// | source | says | and takes it back by |
/// | --- | --- | --- |
/// | operator | maintenance: closed; drain: bound-only, closed after the deadline | [`Order::Ready`] |
/// | agent | maintenance, down: closed; drain: bound-only | `ready` for the first and the last, `up` for down |
/// | checks | down: unfit; not passed yet where it [must](crate::Start::MustPass): closed | `rise` passes in a row, of every check |
/// | requests | ejected, or paused as it asked: unfit | time, then one request on trial (after a pause: time) |
///
/// Each takes back only what it said itself. (In HAProxy an agent's `ready` also takes back an operator's maintenance and
/// drain; here it does not: who works on a server does not want it back because a program on it feels well.) The
/// strictest opinion holds; an endpoint that drains and is unfit is closed. The first of this table that has a bad opinion
/// is named as the reason. Unfit endpoints are used when too many of their tier are
/// ([`PoolBuilder::panic_below`](equipoise_core::PoolBuilder::panic_below)); those that an operator or an agent took out
/// never are.
#[derive(Debug)]
pub struct Machine {
    policy: Policy,
    entropy: SeededEntropy,
    ids: HashMap<EndpointId, u64>,
    records: BTreeMap<u64, Record>,
    /// What operators want of those that are not there yet.
    early: HashMap<EndpointId, Order>,
    next_record: u64,
    next_probe: u64,
    timers: Timers,
    actions: VecDeque<Action>,
    /// Checks that are due and wait for a probe to end.
    waiting: VecDeque<(u64, usize)>,
    probing: usize,
    /// How many endpoints are out because of their requests.
    out: usize,
    /// The latest time it was told.
    now: Timestamp,
    /// How far its own time is ahead of what it is told, since that was set back.
    lag: Duration,
}

impl Machine {
    /// A machine for a pool that is empty as yet. Chance (jitter, the spread of first probes) is drawn from `seed`.
    ///
    /// # Errors
    ///
    /// When the policy is impossible; the error names the setting.
    pub fn new(policy: Policy, seed: u64) -> Result<Self, InvalidHealth> {
        policy.check()?;
        Ok(Self {
            policy,
            entropy: SeededEntropy::new(seed),
            ids: HashMap::new(),
            records: BTreeMap::new(),
            early: HashMap::new(),
            next_record: 0,
            next_probe: 0,
            timers: Timers::default(),
            actions: VecDeque::new(),
            waiting: VecDeque::new(),
            probing: 0,
            out: 0,
            now: Timestamp::ZERO,
            lag: Duration::ZERO,
        })
    }

    /// Something happens.
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        self.advance(now);
        match event {
            Event::Joined(id) => self.join(id),
            Event::Left(id) => self.leave(&id),
            Event::Probed { probe, result } => self.probed(probe, result),
            Event::Signalled { id, signal } => self.signalled(&id, signal),
            Event::Counted(counts) => self.counted(counts),
            Event::Ordered { id, order } => self.ordered(id, order),
        }
        self.start_waiting();
    }

    /// Time passes. To be called when [`poll_timeout`](Self::poll_timeout) has come; at other times it does no harm.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        while let Some(timer) = self.timers.due(self.now) {
            match timer {
                Timer::Check { record, check } => self.check_due(record, check),
                Timer::Deadline { record, check } => self.too_late(record, check),
                Timer::Release { record } => self.release(record),
                Timer::Drained { record } => self.drained(record),
                Timer::Window => self.window_over(),
            }
        }
        self.start_waiting();
    }

    /// When it wants [`handle_timeout`](Self::handle_timeout) to be called, on the clock that it is told.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next().map(|at| Timestamp::from_nanos(at.as_nanos().saturating_sub(nanos(self.lag))))
    }

    /// The next thing to be done. To be called until there is none, after each of the others.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What is thought of an endpoint, and by whom.
    pub fn standing(&self, id: &EndpointId) -> Option<Standing> {
        Some(self.records.get(self.ids.get(id)?)?.standing(&self.policy))
    }

    /// What is thought of all of them, in the order in which they joined.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        self.records.values().map(|record| record.standing(&self.policy))
    }

    /// How many timers are set; for tests.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// A clock that was set back must not keep everything waiting until it has caught up: its own time goes on.
    fn advance(&mut self, told: Timestamp) {
        let now = told + self.lag;
        if now < self.now {
            self.lag += self.now.since(now);
        } else {
            self.now = now;
        }
    }

    /// A number from 0 to 1.
    fn chance(&self) -> f64 {
        (self.entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    // Who is there.

    fn join(&mut self, id: EndpointId) {
        self.leave(&id);
        let record = self.next_record;
        self.next_record += 1;
        if self.records.is_empty()
            && let Some(rules) = self.policy.outliers
        {
            self.timers.set(self.now + rules.interval, Timer::Window);
        }
        self.ids.insert(id.clone(), record);
        self.records.insert(record, Record::new(id, &self.policy, self.now));
        // First looks are spread, so that a large pool does not begin with a burst: a hundred a second, more for many.
        let spread = FIRST_LOOKS.saturating_mul(u32::try_from(self.records.len()).unwrap_or(u32::MAX));
        for check in 0..self.policy.checks.len() {
            let within = spread.min(self.policy.checks[check].schedule.interval);
            self.schedule(record, check, self.now + within.mul_f64(self.chance()));
        }
        if let Some(order) = self.early.remove(&self.records[&record].id) {
            self.order(record, order);
        }
        self.publish(record);
    }

    fn leave(&mut self, id: &EndpointId) {
        let Some(number) = self.ids.remove(id) else { return };
        let Some(mut record) = self.records.remove(&number) else { return };
        for (check, state) in record.checks.iter_mut().enumerate() {
            self.timers.cancel(state.due, Timer::Check { record: number, check });
            if let Some(running) = state.running.take() {
                self.timers.cancel(Some(running.deadline), Timer::Deadline { record: number, check });
                self.actions.push_back(Action::Cancel(ProbeId { record: number, check, number: running.number }));
                self.probing -= 1;
            }
        }
        self.timers.cancel(record.requests.until, Timer::Release { record: number });
        self.timers.cancel(record.drained_at, Timer::Drained { record: number });
        self.out -= usize::from(record.requests.is_out());
        if record.checks.iter().any(|state| state.waits) {
            self.waiting.retain(|&(record, _)| record != number);
        }
        if self.records.is_empty() {
            self.timers = Timers::default();
        }
    }

    // Checks.

    fn schedule(&mut self, number: u64, check: usize, at: Timestamp) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.checks[check].due = Some(self.timers.set(at, Timer::Check { record: number, check }));
    }

    fn check_due(&mut self, number: u64, check: usize) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.checks[check].due = None;
        record.checks[check].waits = true;
        self.waiting.push_back((number, check));
    }

    /// Starts as many of the probes that are due as may be under way.
    fn start_waiting(&mut self) {
        while self.probing < self.policy.most_probes {
            let Some((number, check)) = self.waiting.pop_front() else { return };
            let Some(record) = self.records.get_mut(&number) else { continue };
            let schedule = &self.policy.checks[check].schedule;
            self.next_probe += 1;
            let running = Running { number: self.next_probe, since: self.now, deadline: self.now + schedule.timeout };
            record.checks[check].waits = false;
            record.checks[check].running = Some(running);
            self.probing += 1;
            self.timers.set(running.deadline, Timer::Deadline { record: number, check });
            let probe = ProbeId { record: number, check, number: running.number };
            self.actions.push_back(Action::Probe { probe, id: record.id.clone(), port: schedule.port });
        }
    }

    fn too_late(&mut self, number: u64, check: usize) {
        let Some(running) = self.records.get(&number).and_then(|record| record.checks[check].running) else { return };
        let probe = ProbeId { record: number, check, number: running.number };
        self.actions.push_back(Action::Cancel(probe));
        let silence = match self.policy.checks[check].silence {
            Silence::Fails => Err(ProbeError::Timeout),
            Silence::SaysNothing => Ok(Answer::Silent(ProbeError::Timeout)),
        };
        self.probed(probe, silence);
    }

    fn probed(&mut self, probe: ProbeId, result: Result<Answer, ProbeError>) {
        let ProbeId { record: number, check, number: of } = probe;
        let Some(record) = self.records.get_mut(&number) else { return };
        let Some(state) = record.checks.get_mut(check) else { return };
        let Some(running) = state.running.take_if(|running| running.number == of) else { return };
        let schedule = self.policy.checks[check].schedule;
        self.timers.cancel(Some(running.deadline), Timer::Deadline { record: number, check });
        self.probing -= 1;
        match result {
            // Whatever it says, it answers: what a check that failed before has been waiting for.
            Ok(Answer::Agent(reply)) => {
                state.record(Ok(()), &schedule, self.now);
                record.agent_said(&reply, self.now);
            }
            // Who was not looked at at all, because the system forbids it, has not failed.
            Ok(Answer::Silent(why)) | Err(why @ ProbeError::Forbidden(_)) => state.last = Some(why.to_string()),
            Ok(Answer::Passed) => state.record(Ok(()), &schedule, self.now),
            Err(why) => state.record(Err(why.to_string()), &schedule, self.now),
        }
        let interval = record.checks[check].interval(&schedule);
        let jitter = 1.0 + schedule.jitter * (2.0 * self.chance() - 1.0);
        let next = (running.since + interval.mul_f64(jitter)).max(self.now);
        self.schedule(number, check, next);
        self.publish(number);
    }

    // Requests.

    fn signalled(&mut self, id: &EndpointId, signal: Signal) {
        let Some(&number) = self.ids.get(id) else { return };
        let Some(record) = self.records.get_mut(&number) else { return };
        let Some(rules) = self.policy.outliers else { return };
        match (signal, record.requests.phase) {
            (Signal::Tripped(trip), Phase::Serving) => {
                let has_checks = self.policy.checks.iter().any(|check| check.silence == Silence::Fails);
                return match rules.on_trip {
                    OnTrip::Eject => self.eject(number, trip.to_string(), &rules),
                    _ if !has_checks => self.eject(number, trip.to_string(), &rules),
                    what => self.tripped(number, &trip.to_string(), what),
                };
            }
            (Signal::TrialFailed, Phase::OnTrial) => {
                return self.eject(number, "the request on trial failed".to_owned(), &rules);
            }
            (Signal::TrialPassed, Phase::OnTrial) => self.enter(number, Phase::Serving),
            (Signal::Pause(time), Phase::Serving | Phase::OnTrial) => {
                let Some(longest) = rules.longest_pause else { return };
                let time = time.min(longest);
                record.requests.reason = format!("it asked to be left alone for {time:?}");
                let until = self.timers.set(self.now + time, Timer::Release { record: number });
                record.requests.until = Some(until);
                self.enter(number, Phase::Paused);
            }
            _ => return,
        }
        self.publish(number);
    }

    /// Requests speak through the checks.
    fn tripped(&mut self, number: u64, reason: &str, what: OnTrip) {
        let Some(record) = self.records.get_mut(&number) else { return };
        let checks = record.checks.iter_mut().zip(&self.policy.checks).enumerate();
        for (check, (state, policy)) in checks.filter(|(_, (_, policy))| policy.silence == Silence::Fails) {
            state.tripped(what, reason, &policy.schedule, self.now);
            let soon = self.now + policy.schedule.fast_interval();
            // The next look, unless one is under way.
            if let Some(due) = state.due.filter(|due| *due > soon) {
                let timer = Timer::Check { record: number, check };
                self.timers.cancel(Some(due), timer);
                state.due = Some(self.timers.set(soon, timer));
            }
        }
        self.publish(number);
    }

    /// Ejects an endpoint, if so many may be out. One that is out already stays out: nothing else would end its trial.
    fn eject(&mut self, number: u64, reason: String, rules: &Outliers) {
        let most = (self.records.len() * rules.most_percent as usize / 100).max(1);
        let chance = self.chance();
        let Some(record) = self.records.get_mut(&number) else { return };
        if self.out >= most && !record.requests.is_out() {
            return;
        }
        let requests = &mut record.requests;
        requests.times = requests.times.saturating_add(1);
        let time = rules.duration(requests.times).mul_f64(1.0 + rules.jitter * chance);
        requests.reason = reason;
        requests.until = Some(self.timers.set(self.now + time, Timer::Release { record: number }));
        self.enter(number, Phase::Ejected);
        self.publish(number);
    }

    fn enter(&mut self, number: u64, phase: Phase) {
        let Some(record) = self.records.get_mut(&number) else { return };
        self.out -= usize::from(record.requests.is_out());
        record.enter(phase, self.now);
        self.out += usize::from(record.requests.is_out());
    }

    fn release(&mut self, number: u64) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.requests.until = None;
        let next = if record.requests.phase == Phase::Ejected { Phase::OnTrial } else { Phase::Serving };
        self.enter(number, next);
        self.publish(number);
    }

    fn window_over(&mut self) {
        let Some(rules) = self.policy.outliers else { return };
        self.timers.set(self.now + rules.interval, Timer::Window);
        for record in self.records.values_mut() {
            if record.requests.phase == Phase::Serving {
                record.requests.times = record.requests.times.saturating_sub(1);
            }
        }
        if rules.counts() {
            self.actions.push_back(Action::Count);
        }
    }

    fn counted(&mut self, counts: Vec<(EndpointId, Counts)>) {
        let Some(rules) = self.policy.outliers else { return };
        let known = counts.into_iter().filter_map(|(id, counts)| Some((*self.ids.get(&id)?, counts)));
        // Who is out already says nothing about the others.
        let serving = |(number, _): &(u64, Counts)| {
            self.records.get(number).is_some_and(|record| record.requests.phase == Phase::Serving)
        };
        let mut known: Vec<(u64, Counts)> = known.filter(serving).collect();
        // Counts come in any order. Who goes first of two that are equally bad must not depend on it, nor the last digit
        // of a mean.
        known.sort_unstable_by_key(|(number, _)| *number);
        for (number, reason) in requests::outliers(&known, &rules) {
            self.eject(number, reason, &rules);
        }
    }

    // Operators.

    fn ordered(&mut self, id: EndpointId, order: Order) {
        match self.ids.get(&id) {
            Some(&record) => {
                self.order(record, order);
                self.publish(record);
            }
            None if order == Order::Ready => drop(self.early.remove(&id)),
            None => drop(self.early.insert(id, order)),
        }
    }

    fn order(&mut self, number: u64, order: Order) {
        let Some(record) = self.records.get_mut(&number) else { return };
        self.timers.cancel(record.drained_at.take(), Timer::Drained { record: number });
        record.order(order, self.now);
        if let Order::Drain { deadline: Some(deadline) } = order {
            record.drained_at = Some(self.timers.set(self.now + deadline, Timer::Drained { record: number }));
        }
    }

    fn drained(&mut self, number: u64) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.drained_at = None;
        record.drain_is_over(self.now);
        self.publish(number);
    }

    /// Says what is new about an endpoint, if anything is.
    fn publish(&mut self, number: u64) {
        if let Some(record) = self.records.get_mut(&number) {
            record.publish(&self.policy, self.now, &mut self.actions);
        }
    }
}

/// How much longer the first looks are spread for each endpoint.
const FIRST_LOOKS: Duration = Duration::from_millis(10);

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

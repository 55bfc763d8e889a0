//! The machine: one writer for one pool, without any I/O.

mod check;
mod early;
mod ejecting;
mod event;
mod looking;
mod record;
mod requests;
mod timers;
mod waiting;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use equipoise_core::{EndpointId, Entropy, SeededEntropy, Timestamp};

pub use self::event::{Action, Change, Counts, Event, Order, ProbeId, Signal, Source, Trip};
pub use self::record::{Looks, Opinion, Standing};
use self::{
    early::Early,
    record::Record,
    requests::Phase,
    timers::{Timer, Timers},
    waiting::Waiting,
};
use crate::{
    saturating_nanos,
    settings::{InvalidHealth, Policy},
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
/// ([`PoolBuilder::panic_threshold`](equipoise_core::PoolBuilder::panic_threshold)); those that an operator or an agent took out
/// never are.
#[derive(Debug)]
pub struct Machine {
    policy: Policy,
    entropy: SeededEntropy,
    ids: HashMap<EndpointId, u64>,
    records: BTreeMap<u64, Record>,
    /// What operators want of those that are not there yet.
    early: Early,
    next_record: u64,
    next_probe: u64,
    timers: Timers,
    actions: VecDeque<Action>,
    /// Checks that are due and wait for a probe to end.
    waiting: Waiting,
    probing: usize,
    /// How many of these are of endpoints that hung the last time.
    hanging: usize,
    /// How many have not been looked at yet.
    unseen: usize,
    /// How many endpoints are out because of their requests.
    out: usize,
    /// Whether a window is over that has not been forgiven for yet.
    forgives: bool,
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
            early: Early::default(),
            next_record: 0,
            next_probe: 0,
            timers: Timers::default(),
            actions: VecDeque::new(),
            waiting: Waiting::default(),
            probing: 0,
            hanging: 0,
            unseen: 0,
            out: 0,
            forgives: false,
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
        self.timers.next().map(|at| Timestamp::from_nanos(at.as_nanos().saturating_sub(saturating_nanos(self.lag))))
    }

    /// The next thing to be done. To be called until there is none, after each of the others.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What is thought of an endpoint, and by whom.
    pub fn standing(&self, id: impl AsRef<str>) -> Option<Standing> {
        Some(self.records.get(self.ids.get(id.as_ref())?)?.standing(&self.policy))
    }

    /// What is thought of all of them, in the order in which they joined.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        self.records.values().map(|record| record.standing(&self.policy))
    }

    /// Says anew what is to be set: for a pool that knows nothing of what was said before.
    pub fn show_again(&mut self) {
        for record in self.records.values_mut() {
            record.forget_shown();
            record.publish(&self.policy, self.now, &mut self.actions);
        }
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
        // Whoever moves to another address is new to all but the operator, who speaks of what has this id.
        let order = self.ids.get(&id).and_then(|number| self.records[number].ordered(self.now));
        let order = order.or_else(|| self.early.remove(&id));
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
        self.unseen += 1;
        // First looks are spread, so that many who come together do not begin with a burst: a hundred a second, or more.
        let spread = FIRST_LOOKS.saturating_mul(u32::try_from(self.unseen).unwrap_or(u32::MAX));
        for check in 0..self.policy.checks.len() {
            let within = spread.min(self.policy.checks[check].schedule.interval);
            self.schedule(record, check, self.now + within.mul_f64(self.chance()));
        }
        if let Some(order) = order {
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
                self.hanging -= usize::from(state.hangs);
            }
        }
        self.timers.cancel(record.requests.until, Timer::Release { record: number });
        self.timers.cancel(record.drained_at, Timer::Drained { record: number });
        self.out -= usize::from(record.counted);
        self.unseen -= usize::from(record.unseen);
        if record.checks.iter().any(|state| state.waits) {
            self.waiting.forget(number);
        }
        if self.records.is_empty() {
            self.timers = Timers::default();
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
            None => self.early.insert(id, order),
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
        let most = self.most_out();
        if let Some(record) = self.records.get_mut(&number) {
            self.out -= usize::from(record.counted);
            let counts = record.is_out_for_its_requests();
            if counts && !record.counted && self.out >= most {
                // It was out for other reasons too, and others have taken its place since.
                self.timers.cancel(record.requests.until.take(), Timer::Release { record: number });
                record.enter(Phase::Serving, self.now);
            }
            record.counted = record.is_out_for_its_requests();
            self.out += usize::from(record.counted);
            record.publish(&self.policy, self.now, &mut self.actions);
        }
    }
}

/// How much longer the first looks are spread for each endpoint.
const FIRST_LOOKS: Duration = Duration::from_millis(10);

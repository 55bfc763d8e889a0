use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use equipoise_core::{EndpointId, Entropy, SeededEntropy, Timestamp};

use super::{
    Action, AdminState, Event, HealthStatus, ProbeId,
    due::DueChecks,
    outliers::Phase,
    pending::PendingAdminStates,
    record::Record,
    timers::{Timer, Timers},
};
use crate::settings::{HealthPolicy, InvalidHealth};

/// Decides on the health of one pool's endpoints, from all sources of information.
///
/// It does no I/O. Call [`handle`](Self::handle) when something happens, and [`handle_timeout`](Self::handle_timeout) at the
/// time that [`poll_timeout`](Self::poll_timeout) returns. After each call, carry out the actions that
/// [`poll_action`](Self::poll_action) returns. The same events at the same times give the same actions, whatever drives the
/// machine: tokio, a manual clock or the simulator.
///
/// # Sources
///
/// | source | availability | ends by |
/// | --- | --- | --- |
/// | operator | maintenance: `Maintenance`; drain: `Draining`, and `Maintenance` after its deadline | [`AdminState::Ready`] |
/// | agent | `maint` and `down`: `Maintenance`; `drain`: `Draining` | `ready` for `maint` and `drain`, `up` for `down` |
/// | checks | down: `Unhealthy`; before a first probe that [must pass](crate::InitialState::MustPass): `Maintenance` | [`rise`](crate::Schedule::rise) passed probes of every check |
/// | requests | ejected or paused: `Unhealthy`; then, after an ejection, `Probation` | its time; on probation, one successful request |
///
/// A source can only end its own conditions. (In HAProxy, an agent's `ready` also ends an operator's maintenance or drain. Here
/// it does not: a server that is being repaired must not come back because a program on it is fine.)
///
/// The strictest availability is used; `Draining` and `Unhealthy` together are `Maintenance`. The reason is that of the first
/// source in the table. If too many endpoints of a tier are unhealthy, the pool uses them anyway
/// ([`PoolBuilder::panic_threshold`](equipoise_core::PoolBuilder::panic_threshold)); it never uses endpoints that an operator
/// or an agent took out.
#[derive(Debug)]
pub struct Machine {
    pub(super) policy: HealthPolicy,
    entropy: SeededEntropy,
    pub(super) ids: HashMap<EndpointId, u64>,
    pub(super) records: BTreeMap<u64, Record>,
    pending: PendingAdminStates,
    next_record: u64,
    pub(super) next_probe: u64,
    pub(super) timers: Timers,
    pub(super) actions: VecDeque<Action>,
    pub(super) due: DueChecks,
    /// The number of probes that run.
    pub(super) running: usize,
    /// How many of them are of checks whose last probe exceeded its timeout.
    pub(super) running_hanging: usize,
    /// The number of endpoints of which no probe has ended.
    pub(super) unprobed: usize,
    /// The number of endpoints that are out because of their requests alone.
    pub(super) out: usize,
    /// Whether an interval has ended without `forgive`.
    pub(super) forgiveness_due: bool,
    /// The present time, which never goes back.
    pub(super) now: Timestamp,
    /// How much `now` is ahead of the driver's clock, because that was set back.
    lag: Duration,
}

/// The first probes of endpoints that join at the same time are spread over this time for each of them, so that they do not
/// all start at once. This gives about 100 first probes a second.
const FIRST_PROBE_SPREAD: Duration = Duration::from_millis(10);

impl Machine {
    /// A machine for an empty pool. `seed` determines all random numbers (jitter, and the spread of first probes).
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting of the policy.
    pub fn new(policy: HealthPolicy, seed: u64) -> Result<Self, InvalidHealth> {
        policy.validate()?;
        Ok(Self {
            policy,
            entropy: SeededEntropy::new(seed),
            ids: HashMap::new(),
            records: BTreeMap::new(),
            pending: PendingAdminStates::default(),
            next_record: 0,
            next_probe: 0,
            timers: Timers::default(),
            actions: VecDeque::new(),
            due: DueChecks::default(),
            running: 0,
            running_hanging: 0,
            unprobed: 0,
            out: 0,
            forgiveness_due: false,
            now: Timestamp::ZERO,
            lag: Duration::ZERO,
        })
    }

    /// Handles an event that happens at `now`. Then call [`poll_action`](Self::poll_action).
    pub fn handle(&mut self, now: Timestamp, event: Event) {
        self.advance(now);
        match event {
            Event::Joined(id) => self.join(id),
            Event::Left(id) => self.leave(&id),
            Event::Probed { probe, result } => self.probed(probe, result),
            Event::Signalled { id, signal } => self.signalled(&id, signal),
            Event::Counted(counts) => self.counted(counts),
            Event::AdminStateSet { id, state } => self.admin_state_set(id, state),
        }
        self.start_due();
    }

    /// Handles the timers that are due at `now`. Call it at the time that [`poll_timeout`](Self::poll_timeout) returns; an
    /// earlier call does nothing. Then call [`poll_action`](Self::poll_action).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        while let Some(timer) = self.timers.due(self.now) {
            match timer {
                Timer::Check { record, check } => self.check_due(record, check),
                Timer::Deadline { record, check } => self.probe_timed_out(record, check),
                Timer::Release { record } => self.release(record),
                Timer::Drained { record } => self.drained(record),
                Timer::Interval => self.interval_over(),
            }
        }
        self.start_due();
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) must be called, on the clock of the driver. `None` if
    /// nothing is scheduled.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let lag = (Timestamp::ZERO + self.lag).as_nanos();
        self.timers.next().map(|at| Timestamp::from_nanos(at.as_nanos().saturating_sub(lag)))
    }

    /// The next action to carry out, in order. Call it until it returns `None`, after each call of [`handle`](Self::handle),
    /// [`handle_timeout`](Self::handle_timeout) and [`republish`](Self::republish).
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The health of an endpoint. `None` if it has not joined.
    pub fn status(&self, id: impl AsRef<str>) -> Option<HealthStatus> {
        Some(self.records.get(self.ids.get(id.as_ref())?)?.status(&self.policy))
    }

    /// The health of all endpoints, in the order in which they joined.
    pub fn statuses(&self) -> impl Iterator<Item = HealthStatus> {
        self.records.values().map(|record| record.status(&self.policy))
    }

    /// Repeats the actions that set availabilities, weights and limits, for a pool that does not have them.
    pub fn republish(&mut self) {
        for record in self.records.values_mut() {
            record.forget_settings();
            record.publish(&self.policy, self.now, &mut self.actions);
        }
    }

    /// The number of timers that are set: at most one for each check, and two more, for each endpoint, and one for the pool.
    /// For tests.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Advances the machine's own time. If the driver's clock was set back, the machine's time continues from where it was;
    /// otherwise all timers would wait until the clock has caught up.
    fn advance(&mut self, told: Timestamp) {
        let now = told + self.lag;
        if now < self.now {
            self.lag += self.now.since(now);
        } else {
            self.now = now;
        }
    }

    /// A random number from 0 up to, but not including, 1.
    pub(super) fn random_fraction(&self) -> f64 {
        (self.entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn join(&mut self, id: EndpointId) {
        // An operator's state belongs to the id. It survives a change of the address; everything else starts anew.
        let state = self.ids.get(&id).and_then(|number| self.records[number].admin_state(self.now));
        let state = state.or_else(|| self.pending.remove(&id));
        self.leave(&id);
        let record = self.next_record;
        self.next_record += 1;
        if self.records.is_empty()
            && let Some(rules) = self.policy.outliers
        {
            self.timers.set(self.now + rules.interval, Timer::Interval);
        }
        self.ids.insert(id.clone(), record);
        self.records.insert(record, Record::new(id, &self.policy, self.now));
        self.unprobed += 1;
        let spread = FIRST_PROBE_SPREAD.saturating_mul(u32::try_from(self.unprobed).unwrap_or(u32::MAX));
        for check in 0..self.policy.checks.len() {
            let within = spread.min(self.policy.checks[check].schedule.interval);
            self.schedule(record, check, self.now + within.mul_f64(self.random_fraction()));
        }
        if let Some(state) = state {
            self.set_admin_state(record, state);
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
                let probe = ProbeId { record: number, check, number: running.number };
                self.actions.push_back(Action::CancelProbe(probe));
                self.running -= 1;
                self.running_hanging -= usize::from(state.hangs);
            }
        }
        self.timers.cancel(record.requests.until, Timer::Release { record: number });
        self.timers.cancel(record.drained_at, Timer::Drained { record: number });
        self.out -= usize::from(record.counted_out);
        self.unprobed -= usize::from(record.unprobed);
        if record.checks.iter().any(|state| state.waits) {
            self.due.forget(number);
        }
        if self.records.is_empty() {
            self.timers = Timers::default();
        }
    }

    fn admin_state_set(&mut self, id: EndpointId, state: AdminState) {
        match self.ids.get(&id) {
            Some(&record) => {
                self.set_admin_state(record, state);
                self.publish(record);
            }
            None if state == AdminState::Ready => drop(self.pending.remove(&id)),
            None => self.pending.insert(id, state),
        }
    }

    fn set_admin_state(&mut self, number: u64, state: AdminState) {
        let Some(record) = self.records.get_mut(&number) else { return };
        self.timers.cancel(record.drained_at.take(), Timer::Drained { record: number });
        record.set_admin_state(state, self.now);
        if let AdminState::Drain { deadline: Some(deadline) } = state {
            record.drained_at = Some(self.timers.set(self.now + deadline, Timer::Drained { record: number }));
        }
    }

    fn drained(&mut self, number: u64) {
        let Some(record) = self.records.get_mut(&number) else { return };
        record.drained_at = None;
        record.drain_deadline_passed(self.now);
        self.publish(number);
    }

    /// Adds the actions that follow from a changed record.
    pub(super) fn publish(&mut self, number: u64) {
        let max = self.max_out();
        if let Some(record) = self.records.get_mut(&number) {
            self.out -= usize::from(record.counted_out);
            let counts = record.is_out_for_its_requests();
            if counts && !record.counted_out && self.out >= max {
                // Until now it was out for another reason as well, and other endpoints have used up the maximum.
                self.timers.cancel(record.requests.until.take(), Timer::Release { record: number });
                record.enter(Phase::Up, self.now);
            }
            record.counted_out = record.is_out_for_its_requests();
            self.out += usize::from(record.counted_out);
            record.publish(&self.policy, self.now, &mut self.actions);
        }
    }
}

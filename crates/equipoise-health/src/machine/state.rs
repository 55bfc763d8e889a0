use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use equipoise_core::{EndpointId, Entropy, SeededEntropy, Timestamp};

use super::{
    Action, AdminState, Event, HealthStatus,
    due::DueChecks,
    outliers::Phase,
    pending::PendingAdminStates,
    record::Record,
    stats::HealthStats,
    timers::{Timer, Timers},
};
use crate::settings::{HealthPolicy, InvalidHealth};

/// The health state machine: it combines all information about the endpoints of one pool, and decides which
/// availability each endpoint has.
///
/// The machine does no I/O. The code that calls the machine is called the driver. The driver calls
/// [`handle`](Self::handle) when something happens, and [`handle_timeout`](Self::handle_timeout) at the time that
/// [`poll_timeout`](Self::poll_timeout) returns. After each of these calls, the driver carries out the actions that
/// [`poll_action`](Self::poll_action) returns. With the same seed, the same events at the same times always cause the
/// same actions, so tests and simulations can use a manual clock.
///
/// # Sources
///
/// The table shows, for each source of information, which [`Availability`](equipoise_core::Availability) it causes,
/// and what ends it.
///
/// | source | availability | ended by |
/// | --- | --- | --- |
/// | operator | maintenance: `Maintenance`; drain: `Draining`, and `Maintenance` after its deadline | [`AdminState::Ready`] |
/// | agent | `maint` and `down`: `Maintenance`; `drain`: `Draining` | `ready` ends `maint` and `drain`; `up` ends `down` |
/// | checks | down: `Unhealthy`; before the end of a first probe that [must pass](crate::InitialState::MustPass): `Maintenance` | down: [`rise`](crate::Schedule::rise) consecutive passed probes of each check that is down; first probe: its end |
/// | requests | ejected or paused: `Unhealthy`; after an ejection: `Probation` | the end of the ejection or pause; on probation, one successful request |
///
/// A source can only end what it has caused itself. In HAProxy, an agent's `ready` also ends a maintenance or drain
/// that an operator has set. Here it does not, because an endpoint under repair must not get requests as soon as its
/// agent reports `ready`.
///
/// If several sources cause an availability other than `Up`, the strictest availability applies. The order is:
/// `Maintenance` (the strictest), then `Unhealthy` and `Draining`, then `Probation`. There is one exception: if one
/// source causes `Draining` and another one causes `Unhealthy`, the endpoint gets `Maintenance`, and thus no requests.
///
/// An [`AvailabilityChange`](super::AvailabilityChange) names one source and the reason of this source. Of all sources
/// that cause an availability other than `Up` after the change, it names the one that comes first in the table.
///
/// If too many endpoints of a tier (a priority group of endpoints) are unhealthy, the pool sends requests to the
/// unhealthy endpoints, too ([`PoolBuilder::panic_threshold`](equipoise_core::PoolBuilder::panic_threshold)).
/// This does not change anything for endpoints in maintenance or draining.
#[derive(Debug)]
pub struct Machine {
    pub(crate) policy: HealthPolicy,
    entropy: SeededEntropy,
    pub(super) ids: HashMap<EndpointId, u64>,
    pub(super) records: BTreeMap<u64, Record>,
    pending: PendingAdminStates,
    next_record: u64,
    pub(super) next_probe: u64,
    pub(super) timers: Timers,
    pub(super) actions: VecDeque<Action>,
    pub(super) due: DueChecks,
    /// The number of running probes.
    pub(super) running: usize,
    /// The number of running probes that follow a timeout: the previous probe of the same check at the same endpoint
    /// exceeded its timeout.
    pub(super) running_hanging: usize,
    /// The number of endpoints for which no probe has ended yet.
    pub(super) unprobed: usize,
    /// The number of endpoints that are kept out by outlier detection alone.
    pub(super) out: usize,
    /// Whether an interval of outlier detection has ended and `decrement_ejections` was not called since.
    pub(super) decrement_due: bool,
    pub(super) stats: HealthStats,
    /// The current time of the machine, which never goes back.
    pub(super) now: Timestamp,
    /// The difference between `now` and the driver's clock. It grows when the driver's clock is set back.
    lag: Duration,
}

impl Machine {
    /// Creates a health state machine for a pool without endpoints. Report the endpoints as [`Event::Joined`].
    ///
    /// `seed` determines all random numbers: the jitter of intervals and ejections, and the start of first probes.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first invalid setting of the policy.
    pub fn new(policy: HealthPolicy, seed: u64) -> Result<Self, InvalidHealth> {
        policy.validate()?;
        let mut stats = HealthStats::default();
        stats.set_checks(&policy.checks);
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
            decrement_due: false,
            stats,
            now: Timestamp::ZERO,
            lag: Duration::ZERO,
        })
    }

    /// Handles an event that happens at `now`. Afterwards, call [`poll_action`](Self::poll_action) until it returns
    /// `None`.
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

    /// Handles the timers that are due at `now`, such as the start of a probe or the end of an ejection. Call this
    /// method at the time that [`poll_timeout`](Self::poll_timeout) returns. A call before that time does nothing.
    /// Afterwards, call [`poll_action`](Self::poll_action) until it returns `None`.
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

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) must be called. Like the argument `now` of
    /// [`handle`](Self::handle), it is a time on the driver's clock. Returns `None` if no timer is set. Each call of
    /// `handle` or `handle_timeout` may change the result.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let lag = (Timestamp::ZERO + self.lag).as_nanos();
        self.timers.next().map(|at| Timestamp::from_nanos(at.as_nanos().saturating_sub(lag)))
    }

    /// Removes and returns the next action that the caller must carry out. Returns `None` if there are no more actions.
    /// After each call of [`handle`](Self::handle), [`handle_timeout`](Self::handle_timeout) or
    /// [`republish`](Self::republish), call this method until it returns `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if let Some(Action::Notify(change)) = &action {
            self.stats.changed(change);
        }
        action
    }

    /// Returns the health of the endpoint with this id. Returns `None` if no endpoint with this id has
    /// [joined](Event::Joined), or if the endpoint has left.
    pub fn status(&self, id: impl AsRef<str>) -> Option<HealthStatus> {
        Some(self.records.get(self.ids.get(id.as_ref())?)?.status(&self.policy))
    }

    /// Returns the health of all endpoints, in the order in which they joined.
    pub fn statuses(&self) -> impl Iterator<Item = HealthStatus> {
        self.records.values().map(|record| record.status(&self.policy))
    }

    /// Returns what the machine has counted: changes of availability, ejections and probes. A change counts from the
    /// moment at which [`poll_action`](Self::poll_action) returns it.
    pub fn stats(&self) -> &HealthStats {
        &self.stats
    }

    /// Repeats the actions that set the present availability, weight and maximum number of requests in flight of each
    /// endpoint. Call this method when the driver changes to another pool, because the new pool has not received the
    /// earlier actions. Afterwards, call [`poll_action`](Self::poll_action) until it returns `None`.
    pub fn republish(&mut self) {
        for record in self.records.values_mut() {
            record.forget_settings();
            record.publish(&self.policy, self.now, &mut self.actions);
        }
    }

    /// Returns the number of timers that are set: at most 1 + n · (2 + c) with n endpoints and c checks in the policy.
    /// Tests use this number to detect timers that are never removed.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Advances the machine's time to `driver_now`, the time on the driver's clock. If the driver's clock was set back,
    /// the machine's time stays and then continues from there. Otherwise all timers would wait until the driver's clock
    /// has caught up.
    pub(super) fn advance(&mut self, driver_now: Timestamp) {
        let now = driver_now + self.lag;
        if now < self.now {
            self.lag += self.now.since(now);
        } else {
            self.now = now;
        }
    }

    /// Returns a random number from 0 (included) to 1 (excluded).
    pub(super) fn random_fraction(&self) -> f64 {
        (self.entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn join(&mut self, id: EndpointId) {
        // An administrative state belongs to the id of the endpoint. It is kept if the endpoint is replaced, for
        // instance because its address changed. Everything else starts anew.
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
        self.schedule_first(record, self.unprobed);
        if let Some(state) = state {
            self.set_admin_state(record, state);
        }
        self.publish(record);
    }

    fn leave(&mut self, id: &EndpointId) {
        let Some(number) = self.ids.remove(id) else { return };
        self.stop_checks(number);
        let Some(record) = self.records.remove(&number) else { return };
        self.timers.cancel(record.requests.until, Timer::Release { record: number });
        self.timers.cancel(record.drained_at, Timer::Drained { record: number });
        self.out -= usize::from(record.counts_towards_max);
        self.unprobed -= usize::from(record.unprobed);
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

    /// Adds the actions that follow from a changed record of an endpoint.
    pub(super) fn publish(&mut self, number: u64) {
        let max = self.max_out();
        if let Some(record) = self.records.get_mut(&number) {
            self.out -= usize::from(record.counts_towards_max);
            let counts = record.is_out_for_its_requests();
            if counts && !record.counts_towards_max && self.out >= max {
                // The endpoint was out for another reason as well, which has ended. Meanwhile other endpoints have
                // used up the maximum number of endpoints that outlier detection may keep out.
                self.timers.cancel(record.requests.until.take(), Timer::Release { record: number });
                record.enter(Phase::Up, self.now);
            }
            record.counts_towards_max = record.is_out_for_its_requests();
            self.out += usize::from(record.counts_towards_max);
            record.publish(&self.policy, self.now, &mut self.actions);
        }
    }
}

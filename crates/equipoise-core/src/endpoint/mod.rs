//! Endpoints: the members of a pool, their settings (specs), their availability, and the limits on their requests. An
//! endpoint also has a failing mark: if its last requests have failed, it gets at most its share of the requests.

mod address;
mod availability;
mod limits;
mod race;
#[cfg(feature = "serde")]
mod serde;
mod spec;

use std::{any::Any, fmt, sync::Arc, time::Duration};

pub use self::{
    address::{Address, InvalidAddress},
    availability::{Availability, Closing},
    race::race_addresses,
    spec::{EndpointSpec, InvalidSpec, MAX_WEIGHT},
};
use self::{
    availability::Departure,
    limits::{Pass, Permits, Probation},
};
pub(crate) use self::{
    availability::Stage,
    spec::{AddressChecks, validate},
};
pub(crate) use crate::ids::{EndpointId, Slot, Tier};
use crate::{
    entropy::{Entropy, thread_random},
    ids::Revision,
    sync::{AtomicU32, AtomicU64, Event, Mutex, Ordering, fence},
    time::{Clock, Timestamp},
    verdict::Verdict,
};

/// An endpoint in a pool: a server, or an instance of a service, to which requests can be sent. Strategies and leases
/// have access to it.
///
/// An `Endpoint` exists from the update that adds its id until its id is removed and its last lease has ended. If an id
/// is removed and added again, or if an update changes the address of an id, the pool creates a new `Endpoint` without
/// history.
pub struct Endpoint {
    id: EndpointId,
    address: Arc<str>,
    slot: Slot,
    /// The revision of the pool at which the endpoint was added.
    pub(crate) joined: Revision,
    pub(crate) permits: Permits,
    pub(crate) probation: Probation,
    /// Used if the strategy [limits](crate::Needs::caps_failing) the picks of failing endpoints.
    pub(crate) failing: Failing,
    /// Wakes tasks that wait for the end of the last lease.
    pub(crate) emptied: Event,
    pub(crate) departure: Arc<Departure>,
    /// The zone of the latest spec. Never read while a request is picked.
    zone: Mutex<Option<Arc<str>>>,
    /// The strategy's [`State`](crate::Strategy::State) for this endpoint.
    pub(crate) state: EndpointState,
    pub(crate) context: Arc<PoolContext>,
}

/// The strategy's state of one endpoint, with its type erased.
pub(crate) type EndpointState = Arc<dyn Any + Send + Sync>;

/// The parts of a pool that endpoints, views and leases use. It is defined here so that they do not depend on the pool.
pub(crate) struct PoolContext {
    pub(crate) clock: Arc<dyn Clock>,
    /// `None`: each thread uses its own generator.
    pub(crate) entropy: Option<Arc<dyn Entropy>>,
    /// The hooks of the pool's strategy.
    pub(crate) hooks: Arc<dyn LeaseHooks>,
    /// The number of endpoints that are marked as failing. Picks check the marks only if it is above 0.
    pub(crate) failing: AtomicU32,
    /// Whether endpoints have a histogram of their latencies.
    pub(crate) latency_histograms: bool,
    /// The number of requests that wait in the pool's queue.
    pub(crate) waiting: AtomicU64,
    pub(crate) queue: Box<dyn CapacityListener>,
}

/// The hooks of a [`Strategy`](crate::Strategy) that leases call. The type of the strategy's state is erased. If a hook
/// panics, the panic is ignored.
pub(crate) trait LeaseHooks: Send + Sync {
    fn on_release(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint);
    fn on_latency(&self, state: &(dyn Any + Send + Sync), latency: Duration, now: Timestamp);
    fn on_abandon(&self, state: &(dyn Any + Send + Sync), waited: Duration, now: Timestamp) -> bool;
    fn on_outcome(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp);
    fn on_probation(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp);
}

/// The pool's queue of waiting requests, as endpoints see it. It gives free capacity to requests that wait.
pub(crate) trait CapacityListener: Send + Sync {
    /// Called when a lease on the endpoint in `slot` has ended.
    fn on_freed(&self, slot: Slot);
    /// Called when a pick took capacity of the endpoint in `slot` and gave it back at once, because the strategy did
    /// not admit the request. Meanwhile, a concurrent pick may have found the endpoint full.
    fn on_given_back(&self, slot: Slot);
}

impl PoolContext {
    /// Tells the queue that a lease has freed capacity. Costs a fence and a load if no request waits.
    #[inline]
    pub(crate) fn freed(&self, slot: Slot) {
        fence(Ordering::SeqCst);
        if self.is_waiting(Ordering::Relaxed) {
            self.queue.on_freed(slot);
        }
    }

    /// Tells the queue that a pick has given back capacity at once.
    #[cold]
    pub(crate) fn given_back(&self, slot: Slot) {
        fence(Ordering::SeqCst);
        if self.is_waiting(Ordering::Relaxed) {
            self.queue.on_given_back(slot);
        }
    }

    /// Returns whether any request waits in the pool's queue.
    #[inline]
    pub(crate) fn is_waiting(&self, order: Ordering) -> bool {
        self.waiting.load(order) != 0
    }

    /// Returns 64 random bits from the pool's entropy, or from the generator of this thread.
    #[inline]
    pub(crate) fn random(&self) -> u64 {
        match &self.entropy {
            None => thread_random(),
            Some(entropy) => entropy.next_u64(),
        }
    }
}

impl Endpoint {
    pub(crate) fn new(
        spec: &EndpointSpec,
        slot: Slot,
        joined: Revision,
        context: Arc<PoolContext>,
        state: EndpointState,
    ) -> Self {
        Self {
            id: spec.id().clone(),
            address: Arc::clone(spec.shared_address()),
            slot,
            joined,
            permits: Permits::new(spec.max_in_flight_value()),
            probation: Probation::default(),
            failing: Failing::default(),
            emptied: Event::default(),
            departure: Arc::default(),
            zone: Mutex::new(spec.zone_name().cloned()),
            state,
            context,
        }
    }

    /// Returns the id of the endpoint, which is unique in its pool.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Returns the address of the endpoint, as it was given to [`EndpointSpec::new`].
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the slot of the endpoint: its position in the pool.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Returns the zone in the latest spec of the endpoint. `None` if that spec has no zone.
    pub fn zone(&self) -> Option<Arc<str>> {
        self.zone.lock().clone()
    }

    pub(crate) fn set_zone(&self, zone: Option<&Arc<str>>) {
        *self.zone.lock() = zone.cloned();
    }

    /// Returns the maximum number of requests in flight (concurrent leases) on the endpoint. `None` means that there is
    /// no maximum.
    pub fn max_in_flight(&self) -> Option<u32> {
        self.permits.limit()
    }

    /// Gives back the permit and the pass that a lease took.
    pub(crate) fn give_back(&self, admission: Admission) {
        if admission.permit {
            self.permits.release();
        }
        match admission.pass {
            Some(pass) if admission.offered => self.probation.give_back_offered(pass),
            Some(pass) => self.probation.give_back(pass),
            None => {}
        }
    }

    /// Updates the failing mark of the endpoint. Called only if the strategy limits the picks of failing endpoints.
    #[inline]
    pub(crate) fn judge(&self, verdict: Verdict) {
        match self.failing.judge(verdict) {
            None => {}
            Some(Mark::Set) => _ = self.context.failing.fetch_add(1, Ordering::Relaxed),
            Some(Mark::Removed) => _ = self.context.failing.fetch_sub(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.failing.is_marked() {
            self.context.failing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// What a lease took from its endpoint when it was admitted. It gives this back when it ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Admission {
    /// Whether the lease took a permit, because the endpoint has a limit.
    pub(crate) permit: bool,
    /// The pass, if the endpoint is on probation. In a panic a lease needs no pass. The first lease still takes the
    /// pass, so that its verdict decides the probation.
    pub(crate) pass: Option<Pass>,
    /// Whether the pool offered the pass to the request. Such a request had not asked for this endpoint.
    pub(crate) offered: bool,
}

impl Admission {
    /// Returns whether the lease took a permit or a pass.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.permit || self.pass.is_some()
    }
}

/// The failing mark of an endpoint: set by a failed request, removed by [`SUCCESSES`] successes after the last failure.
///
/// To a strategy that compares requests in flight or latencies, an endpoint that fails within a millisecond looks idle
/// or fast. While an endpoint is marked, it is [usable](crate::PickCx::usable) no more often than its weight says.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    /// How many more successes remove the mark. 0: the endpoint is not marked.
    left: AtomicU32,
    /// The number of the last pick of this endpoint. A tier counts picks while any endpoint is marked.
    picked_at: AtomicU64,
}

/// With 1, a single success would unmark an endpoint that mostly fails. With more than 3, endpoints that rarely fail
/// would stay marked for long: at 3, an endpoint that fails 1 % of its requests is marked for 3 % of them.
const SUCCESSES: u32 = 3;

/// How a verdict changes the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Set,
    Removed,
}

impl Failing {
    /// Updates the mark. Returns whether this verdict has set or removed it.
    #[inline]
    fn judge(&self, verdict: Verdict) -> Option<Mark> {
        if verdict.is_failure() {
            return (self.left.swap(SUCCESSES, Ordering::Relaxed) == 0).then_some(Mark::Set);
        }
        // Checked first, so that healthy endpoints are not written to.
        if verdict != Verdict::Success || !self.is_marked() {
            return None;
        }
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        (before == Ok(1)).then_some(Mark::Removed)
    }

    /// Whether the endpoint is marked as failing.
    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.left.load(Ordering::Relaxed) != 0
    }

    /// Returns whether it is marked and was last picked less than `turns` picks before pick number `turn`.
    pub(crate) fn has_had_its_share(&self, turn: u64, turns: u64) -> bool {
        self.is_marked() && turn.wrapping_sub(self.picked_at.load(Ordering::Relaxed)) < turns
    }

    /// Notes that pick number `turn` chose this endpoint.
    pub(crate) fn picked(&self, turn: u64) {
        if self.is_marked() {
            self.picked_at.store(turn, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::verdict::Failure;

    const FAILURE: Verdict = Verdict::Failure(Failure::Server);

    #[test]
    fn three_successes_after_the_last_failure_remove_the_mark() {
        let failing = Failing::default();
        assert_eq!(failing.judge(Verdict::Success), None);
        assert_eq!(failing.judge(FAILURE), Some(Mark::Set));
        for verdict in [Verdict::Success, Verdict::Success, Verdict::Overloaded { retry_after: None }, Verdict::Neutral]
        {
            assert_eq!(failing.judge(verdict), None);
        }
        assert_eq!([(); 3].map(|()| failing.judge(Verdict::Success)), [None, None, Some(Mark::Removed)]);
        assert!(!failing.is_marked());
    }

    #[test]
    fn a_marked_endpoint_has_had_its_share_until_so_many_turns_have_passed() {
        let failing = Failing::default();
        failing.picked(10);
        assert!(!failing.has_had_its_share(11, 4), "not marked");
        failing.judge(FAILURE);
        failing.picked(10);
        let had = [11, 12, 13, 14].map(|turn| failing.has_had_its_share(turn, 4));
        assert_eq!(had, [true, true, true, false]);
        assert!(!failing.has_had_its_share(9, 4), "the last pick is later: another tier has counted it");
    }
}

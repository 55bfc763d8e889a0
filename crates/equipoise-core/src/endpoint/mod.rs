//! Endpoints: the members of a pool, their specs, and what limits the requests that they get.

mod address;
mod availability;
mod failing;
mod limits;
#[cfg(feature = "serde")]
mod serde;
mod spec;

use std::{any::Any, fmt, sync::Arc, time::Duration};

pub use self::{
    address::{Address, InvalidAddress},
    availability::{Availability, Closing},
    spec::{EndpointSpec, InvalidSpec, MAX_WEIGHT},
};
use self::{
    availability::Departure,
    failing::{Failing, Mark},
};
pub(crate) use self::{
    availability::Stage,
    limits::{Admission, Permits, Probation},
    spec::validate,
};
pub(crate) use crate::ids::{EndpointId, Slot, Tier};
use crate::{
    entropy::{Entropy, thread_random},
    ids::Revision,
    sync::{AtomicU32, AtomicU64, Event, Mutex, Ordering, fence},
    time::{Clock, Timestamp},
    verdict::Verdict,
};

/// A member of a pool, which strategies and leases see.
///
/// It exists from the update that adds its id until it has been removed and its last lease has ended. An id that is
/// removed and added again, or whose address changes, is a new endpoint without history.
pub struct Endpoint {
    id: EndpointId,
    address: Arc<str>,
    slot: Slot,
    /// The revision at which it joined.
    pub(crate) joined: Revision,
    pub(crate) permits: Permits,
    pub(crate) probation: Probation,
    /// Used by strategies that [cap](crate::Needs::caps_failing) failing endpoints.
    pub(crate) failing: Failing,
    /// Wakes tasks that wait until no lease is out.
    pub(crate) emptied: Event,
    pub(crate) departure: Arc<Departure>,
    /// From the latest spec. Never read while a request is picked.
    zone: Mutex<Option<Arc<str>>>,
    /// The strategy's [`State`](crate::Strategy::State) for this endpoint.
    pub(crate) state: EndpointState,
    pub(crate) context: Arc<PoolContext>,
}

/// A strategy's state for one endpoint, with its type erased.
pub(crate) type EndpointState = Arc<dyn Any + Send + Sync>;

/// What endpoints, views and leases use of their pool. It is defined here so that they do not depend on the pool.
pub(crate) struct PoolContext {
    pub(crate) clock: Arc<dyn Clock>,
    /// `None`: the generator of the current thread.
    pub(crate) entropy: Option<Arc<dyn Entropy>>,
    /// The hooks of the pool's strategy.
    pub(crate) hooks: Arc<dyn LeaseHooks>,
    /// How many endpoints are marked as failing. Picks check the marks only if there are any.
    pub(crate) failing: AtomicU32,
    /// Whether endpoints have a histogram of latencies.
    pub(crate) latency_histograms: bool,
    /// How many requests wait in the pool's queue.
    pub(crate) waiting: AtomicU64,
    pub(crate) queue: Box<dyn CapacityListener>,
}

/// The hooks of a [`Strategy`](crate::Strategy) that leases call, with the type of its state erased. A hook that panics
/// is ignored.
pub(crate) trait LeaseHooks: Send + Sync {
    fn on_release(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint);
    fn on_latency(&self, state: &(dyn Any + Send + Sync), latency: Duration, now: Timestamp);
    fn on_abandon(&self, state: &(dyn Any + Send + Sync), waited: Duration, now: Timestamp) -> bool;
    fn on_outcome(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp);
    fn on_probation(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp);
}

/// The pool's queue, as endpoints see it: it hands freed capacity to requests that wait.
pub(crate) trait CapacityListener: Send + Sync {
    /// A lease at this endpoint has ended.
    fn on_freed(&self, slot: Slot);
    /// A pick took capacity of this endpoint and gave it back at once, because the strategy did not admit the request.
    /// A concurrent pick may have found the endpoint full meanwhile.
    fn on_given_back(&self, slot: Slot);
}

impl PoolContext {
    /// Passes freed capacity to the queue. Costs a fence and a load if no request waits.
    #[inline]
    pub(crate) fn freed(&self, slot: Slot) {
        fence(Ordering::SeqCst);
        if self.is_waiting(Ordering::Relaxed) {
            self.queue.on_freed(slot);
        }
    }

    /// Passes capacity to the queue that a failed pick held for a moment.
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

    /// Returns 64 random bits.
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

    /// Returns the id, which is unique in the pool.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Returns the address as it was given to [`EndpointSpec::new`].
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the position in the pool.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Returns the zone of the latest spec, or `None` if that has no zone.
    pub fn zone(&self) -> Option<Arc<str>> {
        self.zone.lock().clone()
    }

    pub(crate) fn set_zone(&self, zone: Option<&Arc<str>>) {
        *self.zone.lock() = zone.cloned();
    }

    /// Returns the maximum number of concurrent leases, or `None` if there is no limit.
    pub fn max_in_flight(&self) -> Option<u32> {
        self.permits.limit()
    }

    /// Gives back what a lease took.
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

    /// Updates the failing mark, for strategies that cap failing endpoints.
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

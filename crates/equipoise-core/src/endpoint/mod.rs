//! Endpoints: who can be picked.

mod address;
mod availability;
mod departure;
mod id;
#[cfg(feature = "serde")]
mod serde;
mod spec;
mod tier;

use std::{any::Any, fmt, sync::Arc};

use crate::{
    load::{Failing, Mark, Permits, Trial},
    pool::{Hooks, Revision},
    sync::{Event, Mutex, Ordering},
    verdict::Verdict,
};

pub use self::{
    address::{Address, InvalidAddress},
    availability::Availability,
    departure::Closing,
    id::EndpointId,
    spec::{EndpointSpec, InvalidSpec, MAX_WEIGHT},
    tier::Tier,
};
pub(crate) use self::{
    departure::{Departure, Stage},
    spec::validate,
};

/// The position of an endpoint in its pool: small, dense and stable for as long as the endpoint is a member.
///
/// Strategies index their tables by it. After an endpoint has left, a newcomer may be given its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) u32);

impl Slot {
    /// The slot as an index, below [`View::capacity`](crate::View::capacity).
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One member of a pool, with the identity that its state is tied to: it lives from the update that brought its id
/// until the last lease is gone after the update that removed it.
pub struct Endpoint {
    id: EndpointId,
    address: Arc<str>,
    slot: Slot,
    pub(crate) joined: Revision,
    pub(crate) permits: Permits,
    pub(crate) trial: Trial,
    /// Kept for strategies that [cap](crate::Needs::caps_failing) failing endpoints.
    pub(crate) failing: Failing,
    /// No lease is out any more, for whoever waits for it.
    pub(crate) emptied: Event,
    /// Whether it is on its way out.
    pub(crate) departure: Departure,
    /// Follows the spec; read off the request's path only.
    zone: Mutex<Option<Arc<str>>>,
    /// The strategy's memory of this endpoint (its `State`).
    pub(crate) state: Arc<dyn Any + Send + Sync>,
    pub(crate) hooks: Arc<Hooks>,
}

impl Endpoint {
    pub(crate) fn new(
        spec: &EndpointSpec,
        slot: Slot,
        joined: Revision,
        hooks: Arc<Hooks>,
        state: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            id: spec.id().clone(),
            address: Arc::clone(spec.shared_address()),
            slot,
            joined,
            permits: Permits::new(spec.max_in_flight_value()),
            trial: Trial::default(),
            failing: Failing::default(),
            emptied: Event::default(),
            departure: Departure::default(),
            zone: Mutex::new(spec.zone_name().cloned()),
            state,
            hooks,
        }
    }

    /// The id, unique in the pool.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// Where it is reached, as the spec said it: see [`EndpointSpec::new`].
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its position in the pool.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The zone that it stands in, as the last update said it.
    pub fn zone(&self) -> Option<Arc<str>> {
        self.zone.lock().clone()
    }

    pub(crate) fn set_zone(&self, zone: Option<&Arc<str>>) {
        *self.zone.lock() = zone.cloned();
    }

    /// Takes a verdict into account for strategies that cap failing endpoints.
    #[inline]
    pub(crate) fn judge(&self, verdict: Verdict) {
        match self.failing.judge(verdict) {
            None => {}
            Some(Mark::Set) => _ = self.hooks.failing.fetch_add(1, Ordering::Relaxed),
            Some(Mark::Removed) => _ = self.hooks.failing.fetch_sub(1, Ordering::Relaxed),
        }
    }

    /// The most leases it may have out at a time, if there is a limit.
    pub fn max_in_flight(&self) -> Option<u32> {
        self.permits.limit()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.failing.is_marked() {
            self.hooks.failing.fetch_sub(1, Ordering::Relaxed);
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

//! The settings of a pool, which are fixed when it is built, and the functions that check the addresses of endpoints.

use std::{any::TypeId, fmt, sync::Arc};

use super::spillover::Spillover;
use crate::{
    endpoint::{Availability, EndpointSpec, InvalidAddress, InvalidSpec, PoolContext},
    strategy::{AnyStrategy, Needs},
    sync::Mutex,
};

pub(super) struct PoolSettings {
    pub(super) strategy: AnyStrategy,
    /// What the strategy needs from the pool. The strategy is asked once, when the pool is built.
    pub(super) needs: Needs,
    pub(super) spillover: Spillover,
    /// If the share of healthy endpoints in a tier is below this threshold, the pool ignores health in the tier.
    pub(super) panic_threshold: f64,
    pub(super) initial_availability: Availability,
    pub(super) address_checks: AddressChecks,
    /// The clock, the random numbers and the counters. Endpoints and leases use them too.
    pub(super) context: Arc<PoolContext>,
}

type AddressCheck = Arc<dyn Fn(&str) -> Result<(), InvalidAddress> + Send + Sync>;

/// The functions with which users of the pool check the addresses of endpoints. There is at most one check of each Rust
/// type. A check that is added again, for example whenever a client is created, is therefore kept once.
pub(super) struct AddressChecks(Mutex<Vec<(TypeId, AddressCheck)>>);

impl AddressChecks {
    pub(super) fn add<C: Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static>(&self, check: C) {
        let mut checks = self.0.lock();
        if checks.iter().all(|(kind, _)| *kind != TypeId::of::<C>()) {
            checks.push((TypeId::of::<C>(), Arc::new(check)));
        }
    }

    pub(super) fn check<'a>(&self, mut specs: impl Iterator<Item = &'a EndpointSpec>) -> Result<(), InvalidSpec> {
        // Copied, because checks are user code and must not run under the lock.
        let checks = self.0.lock().clone();
        let of = |spec: &EndpointSpec| checks.iter().try_for_each(|(_, check)| check(spec.address()));
        specs.try_for_each(|spec| of(spec).map_err(|source| InvalidSpec::Address { id: spec.id().clone(), source }))
    }
}

impl Default for AddressChecks {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl fmt::Debug for AddressChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddressChecks").field(&self.0.lock().len()).finish()
    }
}

//! Forms of addresses that a pool demands: what clients of its endpoints need.

use std::{any::TypeId, fmt, sync::Arc};

use super::Pool;
use crate::{
    endpoint::{EndpointSpec, InvalidAddress, InvalidSpec},
    sync::Mutex,
};

type Demand = Arc<dyn Fn(&str) -> Result<(), InvalidAddress> + Send + Sync>;

/// Each of another type, so that one that is made again and again is kept once.
pub(crate) struct Demands(Mutex<Vec<(TypeId, Demand)>>);

impl Demands {
    pub(super) fn add<D: Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static>(&self, demand: D) {
        let mut demands = self.0.lock();
        if demands.iter().all(|(kind, _)| *kind != TypeId::of::<D>()) {
            demands.push((TypeId::of::<D>(), Arc::new(demand)));
        }
    }

    pub(super) fn check<'a>(&self, mut specs: impl Iterator<Item = &'a EndpointSpec>) -> Result<(), InvalidSpec> {
        // Not under the lock: demands are the user's code.
        let demands = self.0.lock().clone();
        let of = |spec: &EndpointSpec| demands.iter().try_for_each(|(_, demand)| demand(spec.address()));
        specs.try_for_each(|spec| of(spec).map_err(|source| InvalidSpec::Address { id: spec.id().clone(), source }))
    }
}

impl<T> Pool<T> {
    /// Demands a form of the addresses of endpoints that join from now on, as
    /// [`PoolBuilder::addresses`](crate::PoolBuilder::addresses) does, and checks those that are there: for whoever is given
    /// a pool and sends requests to the addresses of its endpoints. A demand of the same type counts once.
    ///
    /// # Errors
    ///
    /// When an endpoint that is there has another address than is demanded; it stays, and the demand holds all the same.
    pub fn demand_addresses(
        &self,
        demand: impl Fn(&str) -> Result<(), InvalidAddress> + Send + Sync + 'static,
    ) -> Result<(), InvalidSpec> {
        let _writer = self.shared.writer.lock();
        let demands = &self.shared.hooks.demands;
        demands.add(demand);
        let snapshot = self.shared.snapshot.load();
        demands.check(snapshot.members().slots.iter().flatten().map(|member| &member.spec))
    }
}

impl Default for Demands {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl fmt::Debug for Demands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Demands").field(&self.0.lock().len()).finish()
    }
}

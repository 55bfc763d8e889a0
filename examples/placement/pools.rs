//! The pool that is asked, and those that show what would be if an endpoint were gone.

use std::{collections::HashSet, sync::Arc};

use equipoise::{Availability, EndpointId, EndpointSpec, ManualClock, Pool, SeededEntropy, StrategySpec, UpdateError};

/// The pool, with those closed that are down. Its clock stands still: nothing that a strategy does by time happens.
pub(crate) fn pool(
    strategy: &StrategySpec,
    endpoints: &[EndpointSpec],
    down: &HashSet<EndpointId>,
    seed: Option<u64>,
) -> Result<Pool<()>, UpdateError> {
    let builder = match seed {
        Some(seed) => {
            Pool::<()>::builder(strategy.clone().repeatable(seed).build()).entropy(Arc::new(SeededEntropy::new(seed)))
        }
        None => Pool::<()>::builder(strategy.build()),
    };
    let pool = builder.clock(Arc::new(ManualClock::new())).stripes(1).build();
    pool.update(endpoints.iter().cloned(), |_| ())?;
    for id in down {
        pool.set_availability(id.clone(), Availability::Closed)?;
    }
    Ok(pool)
}

/// An endpoint, and the pool without it.
pub(crate) struct Absence {
    /// It has left: the endpoint is no member any more.
    pub(crate) left: Pool<()>,
    /// It is down: a member that takes nothing.
    pub(crate) down: Pool<()>,
}

impl Absence {
    pub(crate) fn of(id: &EndpointId, pool: impl Fn() -> Result<Pool<()>, UpdateError>) -> Result<Self, UpdateError> {
        let (left, down) = (pool()?, pool()?);
        left.remove(id.clone())?;
        down.set_availability(id.clone(), Availability::Closed)?;
        Ok(Self { left, down })
    }
}

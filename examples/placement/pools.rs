//! What is asked: the pool, and how.

use std::{collections::HashSet, sync::Arc};

use equipoise::{
    Availability, EndpointId, EndpointSpec, ManualClock, PickRequest, Pool, SeededEntropy, StrategySpec, UpdateError,
};

/// The pool, with those closed that are down. Its clock stands still: nothing that a strategy does by time happens.
pub(crate) fn pool(
    strategy: &StrategySpec,
    endpoints: &[EndpointSpec],
    down: &HashSet<EndpointId>,
    seed: Option<u64>,
) -> Result<Pool<()>, UpdateError> {
    let builder = match seed {
        Some(seed) => Pool::<()>::builder(strategy.build()).entropy(Arc::new(SeededEntropy::new(seed))),
        None => Pool::<()>::builder(strategy.build()),
    };
    let pool = builder.clock(Arc::new(ManualClock::new())).stripes(1).build();
    pool.update(endpoints.iter().cloned(), |_| ())?;
    for id in down {
        pool.set_availability(id.clone(), Availability::Maintenance)?;
    }
    Ok(pool)
}

/// An empty key is none.
pub(crate) fn request(key: &[u8]) -> PickRequest<'_> {
    if key.is_empty() { PickRequest::new() } else { PickRequest::new().key(key) }
}

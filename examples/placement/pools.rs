//! The pool and the requests.

use std::{collections::HashSet, sync::Arc};

use equipoise::{
    Availability, EndpointId, EndpointSpec, ManualClock, PickRequest, Pool, SeededEntropy, StrategySpec, UpdateError,
};

/// Builds the pool; endpoints that are down are in maintenance. The clock stands still, so time has no effect on
/// strategies.
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

/// Creates the request; an empty key means no key.
pub(crate) fn request(key: &[u8]) -> PickRequest<'_> {
    if key.is_empty() { PickRequest::new() } else { PickRequest::new().key(key) }
}

//! Helpers that several test binaries use: pools that give the same picks on every run.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;

use equipoise_core::{EndpointId, EndpointSpec, Lease, ManualClock, PickRequest, Pool, SeededEntropy, Strategy};

/// A pool under a manual clock, with an endpoint `e0`, `e1` … for each weight; slots are positions in `weights`.
pub(crate) fn clocked(strategy: impl Strategy, weights: &[u32], seed: u64) -> (Pool<()>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let builder = Pool::<()>::builder(strategy).entropy(Arc::new(SeededEntropy::new(seed))).clock(clock.clone());
    let pool = builder.stripes(1).build();
    pool.update(specs(weights), |_| ()).expect("valid specs");
    (pool, clock)
}

/// The pool of [`clocked`], for tests that do not advance the clock.
pub(crate) fn pool_of(strategy: impl Strategy, weights: &[u32], seed: u64) -> Pool<()> {
    clocked(strategy, weights, seed).0
}

pub(crate) fn specs(weights: &[u32]) -> Vec<EndpointSpec> {
    weights.iter().enumerate().map(|(at, &weight)| spec(at).weight(weight)).collect()
}

pub(crate) fn spec(at: usize) -> EndpointSpec {
    EndpointSpec::new(format!("e{at}"))
}

pub(crate) fn id(at: usize) -> EndpointId {
    EndpointId::from(format!("e{at}"))
}

pub(crate) fn pick<T: Send + Sync + 'static>(pool: &Pool<T>) -> Lease<T> {
    pool.pick(&PickRequest::new()).expect("an endpoint")
}

/// The position of the endpoint that the lease is on.
pub(crate) fn at<T>(lease: &Lease<T>) -> usize {
    lease.endpoint().slot().index()
}

/// The number of leases in flight of each endpoint.
pub(crate) fn in_flight<T>(pool: &Pool<T>) -> Vec<u32> {
    pool.endpoints().iter().map(|endpoint| endpoint.in_flight).collect()
}

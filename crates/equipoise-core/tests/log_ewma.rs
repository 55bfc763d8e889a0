//! The rules of log-EWMA, one by one. Every run draws from a named seed.
#![cfg(not(loom))]

#[path = "log_ewma/bounds.rs"]
mod bounds;
#[path = "common/mod.rs"]
mod common;
#[path = "log_ewma/failures.rs"]
mod failures;
#[path = "log_ewma/latency.rs"]
mod latency;
#[path = "log_ewma/trials.rs"]
mod trials;
#[path = "log_ewma/waiting.rs"]
mod waiting;

use std::time::Duration;

use equipoise_core::{EndpointSpec, Lease, ManualClock, PickRequest, Pool, Verdict};

const SEED: u64 = 0x10e;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A lease on this endpoint.
fn lease_on(pool: &Pool<()>, at: usize) -> Lease<()> {
    let bound = common::id(at);
    pool.pick(&PickRequest::new().prefer(&bound)).expect("an endpoint that is up")
}

/// A request to this endpoint that succeeds after this time.
fn answer(pool: &Pool<()>, clock: &ManualClock, at: usize, latency: Duration) {
    let lease = lease_on(pool, at);
    clock.advance(latency);
    lease.finish(Verdict::Success);
}

/// The score of each endpoint in milliseconds, as an explanation shows it.
fn scores(pool: &Pool<()>) -> Vec<f64> {
    let candidates = pool.explain(&PickRequest::new()).candidates;
    candidates.iter().map(|candidate| candidate.score.expect("it was compared")).collect()
}

/// How many of these requests, one after the other and each ended at once, went to this endpoint.
fn share_of(pool: &Pool<()>, at: usize, requests: u32) -> f64 {
    let picked = (0..requests).filter(|_| common::at(&common::pick(pool)) == at).count();
    picked as f64 / f64::from(requests)
}

fn add(pool: &Pool<()>, at: usize) {
    pool.add(EndpointSpec::new(format!("e{at}")), ()).expect("a new id");
}

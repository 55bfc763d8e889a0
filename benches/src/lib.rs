//! What the benches share: pools to pick from, the floors to compare with, and a way to time threads against each other.

pub mod alloc;
pub mod floor;
pub mod timing;

use std::hint::black_box;

use equipoise_core::{
    AnyStrategy, Availability, EndpointSpec, P2c, PeakEwma, PickRequest, Pool, Random, RoundRobin, Verdict,
};

/// The sizes of pools that are measured.
pub const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];

/// The strategies that are measured, by name.
pub fn strategies() -> [(&'static str, AnyStrategy); 4] {
    [
        ("round-robin", AnyStrategy::new(RoundRobin::new())),
        ("random", AnyStrategy::new(Random::new())),
        ("p2c", AnyStrategy::new(P2c::new())),
        ("peak-ewma", AnyStrategy::new(PeakEwma::new())),
    ]
}

/// A pool of `n` endpoints; `weight` says who weighs what.
pub fn pool(strategy: &AnyStrategy, n: usize, weight: impl Fn(usize) -> u32) -> Pool<()> {
    let pool = Pool::new(strategy.clone());
    let specs = (0..n).map(|at| EndpointSpec::new(format!("10.0.{}.{}:80", at / 256, at % 256)).weight(weight(at)));
    pool.update(specs, |_| ()).expect("valid endpoints");
    pool
}

/// A pool of `n` endpoints of weight 1, of which nine in ten are closed.
pub fn mostly_closed(strategy: &AnyStrategy, n: usize) -> Pool<()> {
    let pool = pool(strategy, n, |_| 1);
    for (at, endpoint) in pool.endpoints().into_iter().enumerate() {
        if at % 10 != 0 {
            pool.set_availability(endpoint.id, Availability::Closed).expect("a member");
        }
    }
    pool
}

/// One pick, lease and completion.
#[inline]
pub fn pick(pool: &Pool<()>) {
    let lease = pool.pick(black_box(&PickRequest::new())).expect("endpoints are open");
    black_box(&lease);
    lease.finish(Verdict::Success);
}

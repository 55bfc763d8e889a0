//! Tests of mistakes that other load balancers made. Each test states one fact.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod bound;
mod cancellation;
mod clock;
mod closing;
mod counts;
mod departed;
mod explain;
mod forced;
mod identity;
mod idle;
mod limits;
mod misbehaviour;
mod overlays;
mod panics;
mod prefer;
mod probation;
mod reentry;
mod refresh;
mod replacing;
mod sizes;
mod state;
mod threads;
mod tiers;
mod traits;
mod unhealthy;
mod waiting;
mod wakes;
mod weights;

use equipoise_core::{AnyStrategy, LogEwma, P2c, PeakEwma, Random, RoundRobin};

fn strategies() -> [AnyStrategy; 5] {
    [
        AnyStrategy::new(RoundRobin::new()),
        AnyStrategy::new(Random::new()),
        AnyStrategy::new(P2c::new()),
        AnyStrategy::new(PeakEwma::new()),
        AnyStrategy::new(LogEwma::new()),
    ]
}

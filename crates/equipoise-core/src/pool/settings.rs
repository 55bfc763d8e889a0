//! The settings of a pool, which are fixed when it is built.

use std::sync::Arc;

use super::spillover::Spillover;
use crate::{
    endpoint::{AddressChecks, Availability, PoolContext},
    strategy::{AnyStrategy, Needs},
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

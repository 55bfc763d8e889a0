//! Pools for the conformance suite. The suite controls their clock and their random numbers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    endpoint::{EndpointId, EndpointSpec},
    entropy::{Entropy, GAMMA, mix},
    pool::{Pool, UpdateError},
    strategy::AnyStrategy,
    time::ManualClock,
};

/// A sequence of random numbers that can be restarted with another seed.
pub(super) struct Chance(AtomicU64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(mix(seed)))
    }

    pub(super) fn restart(&self, at: u64) {
        self.0.store(mix(at), Ordering::Relaxed);
    }

    /// Returns a random number below `n`.
    pub(super) fn below(&self, n: usize) -> usize {
        (self.next_u64() % n.max(1) as u64) as usize
    }

    pub(super) fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }
}

impl Entropy for Chance {
    fn next_u64(&self) -> u64 {
        mix(self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA))
    }
}

pub(super) struct World {
    pub(super) pool: Pool<()>,
    pub(super) clock: Arc<ManualClock>,
    /// The random numbers of the pool.
    pub(super) chance: Arc<Chance>,
}

impl World {
    pub(super) fn new(strategy: AnyStrategy, seed: u64) -> Self {
        let (clock, chance) = (Arc::new(ManualClock::new()), Arc::new(Chance::new(seed)));
        // Strategies take a time of zero for "never".
        clock.advance(std::time::Duration::from_secs(1));
        let pool = Pool::<()>::builder(strategy).clock(clock.clone()).entropy(chance.clone()).build();
        Self { pool, clock, chance }
    }

    /// Creates a pool with the endpoints `e0`, `e1` and so on, which have these weights.
    pub(super) fn of(strategy: AnyStrategy, weights: &[u32], seed: u64) -> Result<Self, UpdateError> {
        let world = Self::new(strategy, seed);
        world.pool.update(specs(weights), |_| ())?;
        Ok(world)
    }
}

pub(super) fn spec(at: usize) -> EndpointSpec {
    EndpointSpec::new(format!("e{at}"))
}

pub(super) fn specs(weights: &[u32]) -> impl Iterator<Item = EndpointSpec> {
    weights.iter().enumerate().map(|(at, &weight)| spec(at).weight(weight))
}

/// Returns [`specs`] with e1 replaced by the stranger. The stranger gets the weight and the slot of e1.
pub(super) fn specs_with(stranger: &EndpointSpec, weights: &[u32]) -> impl Iterator<Item = EndpointSpec> {
    specs(weights).enumerate().map(|(at, spec)| if at == 1 { stranger.clone().weight(weights[1]) } else { spec })
}

/// Returns endpoints that can get the slot of e1 in a pool of `n`: one with another id, and e1 at another address. A
/// changed address also makes it a new endpoint.
pub(super) fn strangers(n: usize) -> [EndpointSpec; 2] {
    [spec(n), spec(n).with_id(id(1))]
}

pub(super) fn id(at: usize) -> EndpointId {
    EndpointId::from(format!("e{at}"))
}

//! Keys, and functions that find the endpoint of a key.

use equipoise_core::{
    AnyStrategy, Entropy, Jump, Lease, Maglev, PickRequest, Pool, Rendezvous, Ring, SeededEntropy, Strategy,
};

use crate::common::{at, pool_of};

/// The seed of pools in tests that need no particular seed.
pub(crate) const SEED: u64 = 0x6b65_7973;

/// All four hashing strategies, by name.
pub(crate) fn placements() -> [(&'static str, AnyStrategy); 4] {
    [
        ("maglev", AnyStrategy::new(Maglev::new())),
        ("ring", AnyStrategy::new(Ring::new())),
        ("rendezvous", AnyStrategy::new(Rendezvous::new())),
        ("jump", AnyStrategy::new(Jump::new())),
    ]
}

/// Returns `count` keys that are derived from `seed`.
pub(crate) fn keys(count: usize, seed: u64) -> Vec<[u8; 8]> {
    let stream = SeededEntropy::new(seed);
    (0..count).map(|_| stream.next_u64().to_le_bytes()).collect()
}

/// Creates a pool of `n` endpoints of weight 1.
pub(crate) fn even(strategy: impl Strategy, n: usize) -> Pool<()> {
    pool_of(strategy, &vec![1; n], SEED)
}

pub(crate) fn lease(pool: &Pool<()>, key: &[u8]) -> Lease<()> {
    pool.pick(&PickRequest::new().key(key)).expect("an endpoint")
}

/// Returns the position of the endpoint of a key.
pub(crate) fn owner(pool: &Pool<()>, key: &[u8]) -> usize {
    at(&lease(pool, key))
}

/// Returns the positions of the endpoints of the keys.
pub(crate) fn owners(pool: &Pool<()>, keys: &[[u8; 8]]) -> Vec<usize> {
    keys.iter().map(|key| owner(pool, key)).collect()
}

/// Returns the number of keys of each endpoint.
pub(crate) fn counts(owners: &[usize], n: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n];
    owners.iter().for_each(|&owner| counts[owner] += 1.0);
    counts
}

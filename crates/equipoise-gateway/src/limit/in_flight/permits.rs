use std::{collections::HashMap, hash::RandomState, sync::Arc};

use parking_lot::Mutex;

use super::super::{key::KeyId, stats::Counter};

/// Number of maps into which the keys are divided, each with its own lock.
const SHARDS: usize = 64;

/// Counters and the current state of an [`InFlightLayer`](super::InFlightLayer). Returned by
/// [`InFlightLayer::stats`](super::InFlightLayer::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlightStats {
    /// Number of requests that have passed since the layer was built.
    pub admitted: u64,
    /// Number of requests that were denied since the layer was built.
    pub denied: u64,
    /// Number of requests without the key since the layer was built.
    pub missing_key: u64,
    /// Number of requests in flight now.
    pub in_flight: u64,
    /// Number of keys that have requests in flight now.
    pub keys: u64,
}

/// The numbers of requests in flight by key. A key without requests in flight takes no memory, so the number of keys is
/// at most the number of requests in flight.
#[derive(Debug)]
pub(super) struct Permits {
    shards: [Mutex<HashMap<KeyId, u32, RandomState>>; SHARDS],
    max: u32,
    admitted: Counter,
    denied: Counter,
    pub(super) missing_key: Counter,
}

impl Permits {
    pub(super) fn new(max: u32) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            max,
            admitted: Counter::default(),
            denied: Counter::default(),
            missing_key: Counter::default(),
        }
    }

    /// Takes a permit. `None` if the key has none left.
    pub(super) fn take(self: &Arc<Self>, key: KeyId) -> Option<Permit> {
        let mut shard = self.shard(key).lock();
        let count = shard.get(&key).copied().unwrap_or_default();
        if count >= self.max {
            drop(shard);
            self.denied.count();
            return None;
        }
        shard.insert(key, count.saturating_add(1));
        drop(shard);
        self.admitted.count();
        Some(Permit { permits: Arc::clone(self), key })
    }

    fn shard(&self, key: KeyId) -> &Mutex<HashMap<KeyId, u32, RandomState>> {
        let [hash, _] = key.0;
        &self.shards[hash as usize % SHARDS]
    }

    pub(super) fn stats(&self) -> InFlightStats {
        let (mut in_flight, mut keys) = (0_u64, 0_u64);
        for shard in &self.shards {
            let shard = shard.lock();
            keys = keys.saturating_add(shard.len() as u64);
            in_flight = shard.values().fold(in_flight, |sum, count| sum.saturating_add(u64::from(*count)));
        }
        let (admitted, denied) = (self.admitted.get(), self.denied.get());
        InFlightStats { admitted, denied, missing_key: self.missing_key.get(), in_flight, keys }
    }
}

/// The permit of one request. It is given back when the value is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Arc<Permits>,
    key: KeyId,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut shard = self.permits.shard(self.key).lock();
        match shard.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                shard.remove(&self.key);
                // The memory of a past flood is not kept.
                if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                    shard.shrink_to_fit();
                }
            }
        }
    }
}

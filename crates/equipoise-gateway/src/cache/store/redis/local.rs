use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};
use tokio::time::Instant;

use super::super::{Entry, Key, Lookup};

/// Lookups that this gateway remembers for a short time, bounded by bytes.
pub(super) struct Local {
    cache: Cache<Key, Remembered, BySize>,
    ttl: Duration,
    /// Number of changes that this gateway has made. A lookup that was sent before one is not remembered after it.
    changes: AtomicU64,
}

#[derive(Clone)]
struct Remembered {
    lookup: Lookup,
    until: Instant,
    weight: u64,
}

#[derive(Clone, Copy)]
struct BySize;

impl Weighter<Key, Remembered> for BySize {
    fn weight(&self, _: &Key, remembered: &Remembered) -> u64 {
        remembered.weight
    }
}

impl Local {
    pub(super) fn new(max_bytes: u64, ttl: Duration) -> Self {
        let keys = usize::try_from(max_bytes / 4096).unwrap_or(usize::MAX).max(32);
        Self { cache: Cache::with_weighter(keys, max_bytes, BySize), ttl, changes: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Lookup> {
        let found = self.cache.get(key)?;
        if found.until <= Instant::now() {
            self.cache.remove(key);
            return None;
        }
        Some(found.lookup)
    }

    /// Returns the number of changes, for [`remember`](Self::remember).
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    /// Remembers a lookup, unless there was a change since `changes`.
    pub(super) fn remember(&self, key: &Key, lookup: &Lookup, changes: u64) {
        let Some(until) = Instant::now().checked_add(self.ttl) else { return };
        let entries = lookup.entries.iter().map(|entry| Entry::clone(entry).compact());
        let lookup = Lookup::new(entries.collect(), lookup.generation);
        let size: usize = lookup.entries.iter().map(Entry::size).sum();
        let weight = (size + key.size() + 128) as u64;
        self.cache.insert(key.clone(), Remembered { lookup, until, weight });
        if self.changes() != changes {
            self.cache.remove(key);
        }
    }

    /// Forgets one key, before and after it is changed.
    pub(super) fn forget(&self, key: &Key) {
        self.changes.fetch_add(1, SeqCst);
        self.cache.remove(key);
    }

    /// Forgets all keys. They are remembered for a short time only, so there is no index of what a purge concerns.
    pub(super) fn clear(&self) {
        self.changes.fetch_add(1, SeqCst);
        self.cache.clear();
    }
}

//! The local cache of a session store in Redis: the sessions that this balancer remembers itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use equipoise_core::{EndpointId, Timestamp};
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::{key::StoreKey, value::Binding};

/// Maximum difference between the clocks of balancers, in seconds. It is the same for [tokens](crate::token).
pub(super) const SKEW: u64 = 300;

/// What this balancer knows about one session.
#[derive(Debug)]
pub(super) struct CacheEntry {
    /// The endpoint that the session is bound to. `None` if the session has ended here, and the server has not
    /// confirmed this yet.
    pub(super) bound: Option<EndpointId>,
    /// Before the binding is written to the server: the endpoint that it replaces there.
    pub(super) instead_of: Option<EndpointId>,
    /// The time of the session's first binding, in seconds since 1970.
    born: AtomicU64,
    /// The time at which this entry was created.
    pub(super) learned: Timestamp,
    /// The number of the connection on which the server has confirmed this entry; 0 if it has not.
    pub(super) epoch: u64,
    used: AtomicU64,
    refreshed: AtomicU64,
    writing: AtomicBool,
}

impl CacheEntry {
    pub(super) fn new(bound: Option<EndpointId>, born: u64, now: Timestamp) -> Self {
        Self {
            bound,
            instead_of: None,
            born: AtomicU64::new(born),
            learned: now,
            epoch: 0,
            used: AtomicU64::new(now.as_nanos()),
            refreshed: AtomicU64::new(now.as_nanos()),
            writing: AtomicBool::new(false),
        }
    }

    pub(super) fn instead_of(mut self, endpoint: Option<&EndpointId>) -> Self {
        self.instead_of = endpoint.cloned();
        self
    }

    fn agreed(binding: Binding, now: Timestamp, epoch: u64) -> Self {
        Self { epoch, ..Self::new(Some(binding.endpoint), binding.born, now) }
    }

    /// Returns the time of the session's first binding. This time and `now` are in seconds since 1970. If it is more
    /// than [`SKEW`] later than `now`, it is replaced by `now`, because the session would outlive its lifetime
    /// otherwise.
    pub(super) fn born(&self, now: u64) -> u64 {
        let born = self.born.load(Ordering::Relaxed);
        if born <= now.saturating_add(SKEW) {
            return born;
        }
        self.born.store(now, Ordering::Relaxed);
        now
    }

    pub(super) fn touch(&self, now: Timestamp) {
        self.used.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn unused_for(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_nanos(self.used.load(Ordering::Relaxed)))
    }

    /// Whether the server must be told now that the session is in use. Returns `true` to one caller only.
    pub(super) fn wants_refresh(&self, now: Timestamp, every: Duration) -> bool {
        let last = self.refreshed.load(Ordering::Relaxed);
        now.since(Timestamp::from_nanos(last)) > every
            && self.refreshed.compare_exchange(last, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether this entry is being written to the server.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// Marks that a write of this entry begins. Returns `false` if a write is already running.
    pub(super) fn begin_write(&self) -> bool {
        !self.writing.swap(true, Ordering::Relaxed)
    }

    /// Marks that the write of this entry has ended, with or without success.
    pub(super) fn end_write(&self) {
        self.writing.store(false, Ordering::Relaxed);
    }
}

/// The entries of the sessions, by key, with a maximum number. Entries that are rarely used are evicted first
/// (CLOCK-Pro of `quick_cache`).
pub(super) struct LocalCache {
    entries: Cache<StoreKey, Arc<CacheEntry>>,
    /// Locked while an entry is read, changed and stored. Lookups do not lock it.
    changing: Mutex<()>,
}

impl LocalCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity), changing: Mutex::new(()) }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, key: &StoreKey) -> Option<Arc<CacheEntry>> {
        self.entries.get(key)
    }

    /// Replaces the entry of `key` by the result of `next`, and returns the new entry.
    pub(super) fn change(
        &self,
        key: &StoreKey,
        next: impl FnOnce(Option<&CacheEntry>) -> CacheEntry,
    ) -> Arc<CacheEntry> {
        let _changing = self.changing.lock();
        let next = Arc::new(next(self.entries.peek(key).as_deref()));
        self.entries.insert(*key, Arc::clone(&next));
        next
    }

    /// Stores the server's answer to a lookup that was sent at `asked`. A change that this balancer has made since then
    /// stays. Returns the endpoint that the session is now bound to.
    pub(super) fn learn(
        &self,
        key: &StoreKey,
        found: Option<Binding>,
        asked: Timestamp,
        now: Timestamp,
        epoch: u64,
    ) -> Option<EndpointId> {
        let _changing = self.changing.lock();
        let known = self.entries.peek(key);
        if let Some(known) = known.filter(|known| known.learned > asked || known.is_writing()) {
            return known.bound.clone();
        }
        self.put(key, found, now, epoch)
    }

    /// Stores the server's answer to a write of `entry`: the binding that the server has now.
    pub(super) fn written(
        &self,
        key: &StoreKey,
        entry: &Arc<CacheEntry>,
        holds: Option<Binding>,
        now: Timestamp,
        epoch: u64,
    ) {
        let _changing = self.changing.lock();
        entry.end_write();
        if self.entries.peek(key).is_some_and(|known| Arc::ptr_eq(&known, entry)) {
            self.put(key, holds, now, epoch);
        }
    }

    fn put(&self, key: &StoreKey, holds: Option<Binding>, now: Timestamp, epoch: u64) -> Option<EndpointId> {
        let Some(binding) = holds else {
            self.entries.remove(key);
            return None;
        };
        let endpoint = binding.endpoint.clone();
        self.entries.insert(*key, Arc::new(CacheEntry::agreed(binding, now, epoch)));
        Some(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn binding(endpoint: &str) -> Binding {
        Binding { endpoint: EndpointId::from(endpoint), born: 7 }
    }

    fn bound(cache: &LocalCache, key: &StoreKey) -> Option<String> {
        cache.get(key).and_then(|entry| entry.bound.as_ref().map(ToString::to_string))
    }

    #[test]
    fn what_was_decided_here_stands_against_an_older_answer() {
        let (cache, key) = (LocalCache::new(8), StoreKey::new(b"k"));
        cache.change(&key, |_| CacheEntry::new(Some(EndpointId::from("a")), 7, at(5)));
        assert_eq!(cache.learn(&key, Some(binding("b")), at(4), at(6), 1), Some(EndpointId::from("a")));
        assert_eq!(cache.learn(&key, None, at(4), at(6), 1), Some(EndpointId::from("a")));

        assert_eq!(cache.learn(&key, Some(binding("b")), at(6), at(7), 1), Some(EndpointId::from("b")));
        assert_eq!(cache.learn(&key, None, at(8), at(9), 1), None);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn the_winner_of_a_race_takes_the_losers_place_unless_that_is_out_of_date() {
        let (cache, key) = (LocalCache::new(8), StoreKey::new(b"k"));
        let lost = cache.change(&key, |_| CacheEntry::new(Some(EndpointId::from("loser")), 7, at(1)));
        cache.written(&key, &lost, Some(binding("winner")), at(2), 3);
        assert_eq!(bound(&cache, &key).as_deref(), Some("winner"));

        let newer = cache.change(&key, |_| CacheEntry::new(Some(EndpointId::from("newer")), 7, at(3)));
        cache.written(&key, &lost, Some(binding("winner")), at(4), 3);
        assert_eq!(bound(&cache, &key).as_deref(), Some("newer"));
        cache.written(&key, &newer, None, at(5), 3);
        assert_eq!(bound(&cache, &key), None);
    }

    #[test]
    fn it_holds_no_more_than_its_capacity() {
        let cache = LocalCache::new(100);
        for key in 0..10_000_u32 {
            cache.change(&StoreKey::new(&key.to_be_bytes()), |_| CacheEntry::new(None, 0, at(0)));
        }
        assert!((1..=100).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn a_birth_in_the_future_counts_as_now_and_ages_from_then_on() {
        let entry = CacheEntry::new(None, 1_000 + SKEW, at(0));
        assert_eq!(entry.born(1_000), 1_000 + SKEW);
        assert_eq!(entry.born(999), 999);
        assert_eq!(entry.born(5_000), 999);
    }

    #[test]
    fn one_caller_per_interval_wants_a_refresh() {
        let entry = CacheEntry::new(None, 0, at(0));
        let every = Duration::from_secs(10);
        assert!(!entry.wants_refresh(at(10), every));
        assert!(entry.wants_refresh(at(11), every));
        assert!(!entry.wants_refresh(at(12), every));
        assert!(entry.wants_refresh(at(22), every));
    }
}

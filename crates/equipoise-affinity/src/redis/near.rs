//! The near-cache: what this balancer knows by itself.

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

/// How far the clocks of balancers may be apart, in seconds: the same as for [tokens](crate::token).
pub(super) const SKEW: u64 = 300;

/// What is known of one session.
#[derive(Debug)]
pub(super) struct Entry {
    /// Whom it is bound to; `None` once it has been ended here and the server does not know yet.
    pub(super) bound: Option<EndpointId>,
    /// While the server does not know yet: what it is to be bound in place of.
    pub(super) instead_of: Option<EndpointId>,
    /// When it was first bound, in seconds since 1970.
    born: AtomicU64,
    /// When this was learned.
    pub(super) learned: Timestamp,
    /// The connection on which the server agreed to this; 0 while it has not.
    pub(super) epoch: u64,
    used: AtomicU64,
    refreshed: AtomicU64,
    writing: AtomicBool,
}

impl Entry {
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

    /// When the session was first bound, at the latest `now`: both in seconds since 1970. Clocks may be [`SKEW`] apart; a
    /// birth that lies further ahead counts as now from here on, or the session would outlive its lifetime.
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

    /// Whether the server should hear that this is in use; one caller is told so.
    pub(super) fn wants_refresh(&self, now: Timestamp, every: Duration) -> bool {
        let last = self.refreshed.load(Ordering::Relaxed);
        now.since(Timestamp::from_nanos(last)) > every
            && self.refreshed.compare_exchange(last, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a write of this is on its way.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// A write sets out; false if one is on its way already.
    pub(super) fn set_out(&self) -> bool {
        !self.writing.swap(true, Ordering::Relaxed)
    }

    /// It is over, or has come to nothing.
    pub(super) fn write_ended(&self) {
        self.writing.store(false, Ordering::Relaxed);
    }
}

/// Entries by key, as many as fit; which stay is up to how often they are used (CLOCK-Pro, as `quick_cache` has it).
pub(super) struct Near {
    entries: Cache<StoreKey, Arc<Entry>>,
    /// Held between looking and changing. Reads do without.
    changing: Mutex<()>,
}

impl Near {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity), changing: Mutex::new(()) }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, key: &StoreKey) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    /// Puts in its place what `next` makes of what is there.
    pub(super) fn change(&self, key: &StoreKey, next: impl FnOnce(Option<&Entry>) -> Entry) -> Arc<Entry> {
        let _changing = self.changing.lock();
        let next = Arc::new(next(self.entries.peek(key).as_deref()));
        self.entries.insert(*key, Arc::clone(&next));
        next
    }

    /// The server has answered a question asked at `asked`: with a binding, or that there is none. What has been decided
    /// here since stands. Returns what holds now.
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

    /// The server has answered a write of `entry`: this holds there now, whoever wrote it.
    pub(super) fn written(
        &self,
        key: &StoreKey,
        entry: &Arc<Entry>,
        holds: Option<Binding>,
        now: Timestamp,
        epoch: u64,
    ) {
        let _changing = self.changing.lock();
        entry.write_ended();
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
        self.entries.insert(*key, Arc::new(Entry::agreed(binding, now, epoch)));
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

    fn bound(near: &Near, key: &StoreKey) -> Option<String> {
        near.get(key).and_then(|entry| entry.bound.as_ref().map(ToString::to_string))
    }

    #[test]
    fn what_was_decided_here_stands_against_an_older_answer() {
        let (near, key) = (Near::new(8), StoreKey::new(b"k"));
        near.change(&key, |_| Entry::new(Some(EndpointId::from("a")), 7, at(5)));
        assert_eq!(near.learn(&key, Some(binding("b")), at(4), at(6), 1), Some(EndpointId::from("a")));
        assert_eq!(near.learn(&key, None, at(4), at(6), 1), Some(EndpointId::from("a")));

        assert_eq!(near.learn(&key, Some(binding("b")), at(6), at(7), 1), Some(EndpointId::from("b")));
        assert_eq!(near.learn(&key, None, at(8), at(9), 1), None);
        assert_eq!(near.len(), 0);
    }

    #[test]
    fn the_winner_of_a_race_takes_the_losers_place_unless_that_is_out_of_date() {
        let (near, key) = (Near::new(8), StoreKey::new(b"k"));
        let lost = near.change(&key, |_| Entry::new(Some(EndpointId::from("loser")), 7, at(1)));
        near.written(&key, &lost, Some(binding("winner")), at(2), 3);
        assert_eq!(bound(&near, &key).as_deref(), Some("winner"));

        let newer = near.change(&key, |_| Entry::new(Some(EndpointId::from("newer")), 7, at(3)));
        near.written(&key, &lost, Some(binding("winner")), at(4), 3);
        assert_eq!(bound(&near, &key).as_deref(), Some("newer"));
        near.written(&key, &newer, None, at(5), 3);
        assert_eq!(bound(&near, &key), None);
    }

    #[test]
    fn it_holds_no_more_than_its_capacity() {
        let near = Near::new(100);
        for key in 0..10_000_u32 {
            near.change(&StoreKey::new(&key.to_be_bytes()), |_| Entry::new(None, 0, at(0)));
        }
        assert!((1..=100).contains(&near.len()), "{}", near.len());
    }

    #[test]
    fn a_birth_in_the_future_counts_as_now_and_ages_from_then_on() {
        let entry = Entry::new(None, 1_000 + SKEW, at(0));
        assert_eq!(entry.born(1_000), 1_000 + SKEW);
        assert_eq!(entry.born(999), 999);
        assert_eq!(entry.born(5_000), 999);
    }

    #[test]
    fn one_caller_at_a_time_is_told_to_refresh() {
        let entry = Entry::new(None, 0, at(0));
        let every = Duration::from_secs(10);
        assert!(!entry.wants_refresh(at(10), every));
        assert!(entry.wants_refresh(at(11), every));
        assert!(!entry.wants_refresh(at(12), every));
        assert!(entry.wants_refresh(at(22), every));
    }
}

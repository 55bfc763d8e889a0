//! A shard: a part of a session table with its own lock.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use equipoise_core::EndpointId;
use quick_cache::{
    Lifecycle, OptionsBuilder, UnitWeighter,
    sync::{Cache, EntryAction, EntryResult, Iter},
};

use super::{
    entry::{Ended, Entry, Moment, NEVER},
    key::{Hashed, StoredKey},
    members::Members,
};

/// The part of a shard's capacity for hot sessions: sessions that were used again, or were added while the shard was
/// not full.
const HOT: f64 = 0.9;

/// The number of remembered keys of sessions that were evicted unused, as a fraction of the capacity.
const GHOSTS: f64 = 0.5;

/// The maximum number of sessions that a sweep checks for each new key or failed lookup.
const CHECKS_PER_MISS: usize = 4;

/// Minimum number of new keys and failed lookups before a shard is swept.
const MIN_MISSES: u32 = 16;

/// A part of a table. It is aligned so that two shards never share a cache line, and never share two lines that are
/// fetched together.
#[repr(align(128))]
pub(super) struct Shard {
    sessions: Cache<StoredKey, Entry, UnitWeighter, Hashed, EvictionCheck>,
    counters: Counters,
    /// The number of new keys and failed lookups since the last sweep.
    misses: AtomicU32,
    /// No session of the shard expires until this tick is over.
    next_end: AtomicU32,
    /// The number of endpoints that had left before the last sweep.
    departures: AtomicU64,
}

/// Numbers of sessions that a [`SessionTable`](super::SessionTable) has removed since it was created, by reason.
/// Sessions that [`SessionStore::unbind`](crate::SessionStore::unbind) removed are not counted, unless they had already
/// ended. Returned by [`SessionTable::stats`](super::SessionTable::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStats {
    /// Number of sessions that were evicted before they had ended, because their shard (a part of the table) was full.
    pub evictions: u64,
    /// Number of sessions that were removed because they had expired: their idle timeout or their lifetime was over.
    pub expirations: u64,
    /// Number of sessions that were removed because their endpoint had left the pool.
    pub voided: u64,
}

/// An iterator over all sessions of a shard, including those that have ended.
pub(super) type Listing<'a> = Iter<'a, StoredKey, Entry, UnitWeighter, Hashed, EvictionCheck>;

#[derive(Default)]
struct Counters {
    evictions: AtomicU64,
    expirations: AtomicU64,
    voided: AtomicU64,
}

impl Counters {
    fn ended(&self, why: Ended) {
        let counter = match why {
            Ended::Expired => &self.expirations,
            Ended::Void => &self.voided,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Finds out whether an evicted session had already ended.
#[derive(Clone)]
pub(super) struct EvictionCheck;

/// The time of an eviction, and whether the evicted session had ended.
#[derive(Default)]
pub(super) struct Evicted {
    at: Moment,
    live: u64,
    ended: Option<Ended>,
}

impl Lifecycle<StoredKey, Entry> for EvictionCheck {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, _: StoredKey, bound: Entry) {
        evicted.ended = bound.ended(&evicted.at);
        evicted.live += u64::from(evicted.ended.is_none());
    }
}

impl Shard {
    /// Creates a shard for at most `capacity` sessions. Memory is allocated when sessions are added.
    pub(super) fn new(capacity: usize) -> Self {
        let all = capacity as u64;
        let mut options = OptionsBuilder::new();
        options.shards(1).estimated_items_capacity(capacity).weight_capacity(all);
        options.hot_allocation(HOT).ghost_allocation(GHOSTS);
        let sessions = match options.build() {
            Ok(options) => Cache::with_options(options, UnitWeighter, Hashed::default(), EvictionCheck),
            Err(_) => Cache::with(capacity, all, UnitWeighter, Hashed::default(), EvictionCheck),
        };
        let (misses, departures) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { sessions, counters: Counters::default(), misses, next_end: NEVER.into(), departures }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn stats(&self) -> TableStats {
        let Counters { evictions, expirations, voided } = &self.counters;
        TableStats {
            evictions: evictions.load(Relaxed),
            expirations: expirations.load(Relaxed),
            voided: voided.load(Relaxed),
        }
    }

    /// Returns the endpoint that the key is bound to. Counts as a use of the session.
    #[inline]
    pub(super) fn lookup(&self, key: &StoredKey, at: &Moment, members: &Members) -> Option<EndpointId> {
        // Calling `entry` with an absent key would add the key, and forget that the key was evicted.
        if !self.sessions.contains_key(key) {
            self.sweep_if_due(at, members);
            return None;
        }
        let found = self.sessions.entry(key, Some(Duration::ZERO), |_, bound| match bound.ended(at) {
            None => {
                bound.touch(at);
                EntryAction::Retain(bound.endpoint().clone())
            }
            Some(why) => {
                self.counters.ended(why);
                EntryAction::Remove
            }
        });
        match found {
            EntryResult::Retained(endpoint) => Some(endpoint),
            _ => None,
        }
    }

    pub(super) fn bind(
        &self,
        key: &StoredKey,
        (endpoint, instead_of): (&EndpointId, Option<&EndpointId>),
        members: &Members,
        at: &Moment,
    ) {
        let new = || Entry::new(members.member(endpoint), at);
        // Other threads that bind the same key wait until it is bound.
        let place = self.sessions.entry(key, None, |_, bound| {
            let ended = bound.ended(at);
            if let Some(why) = ended {
                self.counters.ended(why);
            }
            if ended.is_some() {
                *bound = new();
            } else if bound.endpoint() == endpoint {
                bound.touch(at);
            } else if Some(bound.endpoint()) == instead_of {
                *bound = bound.moved(members.member(endpoint), at);
            }
            EntryAction::Retain(())
        });
        if let EntryResult::Vacant(place) = place {
            self.sweep_if_due(at, members);
            let mut evicted = Evicted { at: *at, ..Evicted::default() };
            // Inserting fails only if another thread removes the new key, which does not happen.
            let _ = place.insert_with_lifecycle(new(), &mut evicted);
            self.next_end.fetch_min(at.end(at.now, at.now), Relaxed);
            if let Some(why) = evicted.ended {
                self.counters.ended(why);
            }
            if evicted.live > 0 {
                self.counters.evictions.fetch_add(evicted.live, Relaxed);
            }
        }
    }

    pub(super) fn unbind(&self, key: &StoredKey, at: &Moment) {
        self.sessions.remove_if(key, |bound| {
            if let Some(why) = bound.ended(at) {
                self.counters.ended(why);
            }
            true
        });
    }

    /// Removes all sessions that have ended, and returns their number.
    pub(super) fn sweep(&self, at: &Moment, members: &Members) -> usize {
        self.misses.store(0, Relaxed);
        self.departures.store(members.departures(), Relaxed);
        // Set before the sweep, so that a session that is bound meanwhile can lower it again.
        self.next_end.store(NEVER, Relaxed);
        let (swept, next_end) = (Cell::new(0), Cell::new(NEVER));
        self.sessions.retain(|_, bound| {
            bound.catch_up(at);
            let ended = bound.ended(at);
            match ended {
                Some(why) => {
                    self.counters.ended(why);
                    swept.set(swept.get() + 1);
                }
                None => next_end.set(next_end.get().min(at.end(bound.used(), bound.born()))),
            }
            ended.is_none()
        });
        self.next_end.fetch_min(next_end.get(), Relaxed);
        swept.get()
    }

    /// Counts a new key or failed lookup. Sweeps if a session may have ended and enough of these were counted.
    fn sweep_if_due(&self, at: &Moment, members: &Members) {
        let misses = self.misses.fetch_add(1, Relaxed).saturating_add(1);
        let any = at.now > self.next_end.load(Relaxed) || members.departures() != self.departures.load(Relaxed);
        if any && misses >= MIN_MISSES && misses as usize * CHECKS_PER_MISS >= self.len() {
            self.sweep(at, members);
        }
    }

    pub(super) fn list(&self) -> Listing<'_> {
        self.sessions.iter()
    }
}

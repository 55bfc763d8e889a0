//! A part of the table: a cache behind its own lock.

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
    Counts,
    bound::{Bound, Ended},
    key::{Hashed, StoredKey},
    members::Members,
    time::{Moment, NEVER},
};

/// How much of a shard belongs to sessions that have proved themselves, or came while there was room.
const HOT: f64 = 0.9;

/// How many of those evicted unused are remembered, in shares of the capacity.
const GHOSTS: f64 = 0.5;

/// How many sessions a newcomer or a miss pays for to be looked at, for what has ended.
const ALONG_THE_WAY: usize = 4;

/// How many of those come at least before a shard is looked through.
const STRANGERS: u32 = 16;

/// Two shards' counters never share a cache line, nor two lines that are fetched together.
#[repr(align(128))]
pub(super) struct Shard {
    sessions: Cache<StoredKey, Bound, UnitWeighter, Hashed, Judge>,
    tally: Tally,
    /// How many misses and new keys there were since it was last looked through.
    strangers: AtomicU32,
    /// No session expires before this tick.
    next_end: AtomicU32,
    /// How many endpoints had left when it was last looked through.
    departures: AtomicU64,
}

/// The live and ended sessions of a shard.
pub(super) type Listing<'a> = Iter<'a, StoredKey, Bound, UnitWeighter, Hashed, Judge>;

#[derive(Default)]
struct Tally {
    evictions: AtomicU64,
    expirations: AtomicU64,
    voided: AtomicU64,
}

impl Tally {
    fn ended(&self, why: Ended) {
        let counter = match why {
            Ended::Expired => &self.expirations,
            Ended::Void => &self.voided,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Tells whether what had to make room was still alive.
#[derive(Clone)]
pub(super) struct Judge;

/// As of when it is to be judged, and what became of it.
#[derive(Default)]
pub(super) struct Evicted {
    at: Moment,
    live: u64,
    ended: Option<Ended>,
}

impl Lifecycle<StoredKey, Bound> for Judge {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, _: StoredKey, bound: Bound) {
        evicted.ended = bound.ended(&evicted.at);
        evicted.live += u64::from(evicted.ended.is_none());
    }
}

impl Shard {
    /// A shard that holds up to `capacity` sessions. Takes memory as they come.
    pub(super) fn new(capacity: usize) -> Self {
        let all = capacity as u64;
        let mut options = OptionsBuilder::new();
        options.shards(1).estimated_items_capacity(capacity).weight_capacity(all);
        options.hot_allocation(HOT).ghost_allocation(GHOSTS);
        let sessions = match options.build() {
            Ok(options) => Cache::with_options(options, UnitWeighter, Hashed::default(), Judge),
            Err(_) => Cache::with(capacity, all, UnitWeighter, Hashed::default(), Judge),
        };
        let (strangers, departures) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { sessions, tally: Tally::default(), strangers, next_end: NEVER.into(), departures }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn counts(&self) -> Counts {
        let Tally { evictions, expirations, voided } = &self.tally;
        Counts {
            evictions: evictions.load(Relaxed),
            expirations: expirations.load(Relaxed),
            voided: voided.load(Relaxed),
        }
    }

    /// Whom the key is bound to; that counts as use.
    #[inline]
    pub(super) fn lookup(&self, key: &StoredKey, at: &Moment, members: &Members) -> Option<EndpointId> {
        // Asked first, because where there is nothing an entry is a place to insert something, and forgets a ghost.
        if !self.sessions.contains_key(key) {
            self.sweep_along(at, members);
            return None;
        }
        let found = self.sessions.entry(key, Some(Duration::ZERO), |_, bound| match bound.ended(at) {
            None => {
                bound.touch(at);
                EntryAction::Retain(bound.endpoint().clone())
            }
            Some(why) => {
                self.tally.ended(why);
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
        let new = || Bound::new(members.member(endpoint), at);
        // Whoever binds the same key at the same time waits until it is bound.
        let place = self.sessions.entry(key, None, |_, bound| {
            let ended = bound.ended(at);
            if let Some(why) = ended {
                self.tally.ended(why);
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
            self.sweep_along(at, members);
            let mut evicted = Evicted { at: *at, ..Evicted::default() };
            // It fails if somebody else removes the place, which nobody does.
            let _ = place.insert_with_lifecycle(new(), &mut evicted);
            self.next_end.fetch_min(at.end(at.now, at.now), Relaxed);
            if let Some(why) = evicted.ended {
                self.tally.ended(why);
            }
            if evicted.live > 0 {
                self.tally.evictions.fetch_add(evicted.live, Relaxed);
            }
        }
    }

    pub(super) fn unbind(&self, key: &StoredKey, at: &Moment) {
        self.sessions.remove_if(key, |bound| {
            if let Some(why) = bound.ended(at) {
                self.tally.ended(why);
            }
            true
        });
    }

    /// Removes what has ended. Answers how many that were.
    pub(super) fn sweep(&self, at: &Moment, members: &Members) -> usize {
        self.strangers.store(0, Relaxed);
        self.departures.store(members.departures(), Relaxed);
        // Before the sessions are looked at: one that is bound meanwhile may lower it again.
        self.next_end.store(NEVER, Relaxed);
        let (swept, next_end) = (Cell::new(0), Cell::new(NEVER));
        self.sessions.retain(|_, bound| {
            bound.catch_up(at);
            let ended = bound.ended(at);
            match ended {
                Some(why) => {
                    self.tally.ended(why);
                    swept.set(swept.get() + 1);
                }
                None => next_end.set(next_end.get().min(at.end(bound.used(), bound.born()))),
            }
            ended.is_none()
        });
        self.next_end.fetch_min(next_end.get(), Relaxed);
        swept.get()
    }

    /// Sweeps if anything may have ended, and as many misses and new keys have come as are to pay for it.
    fn sweep_along(&self, at: &Moment, members: &Members) {
        let strangers = self.strangers.fetch_add(1, Relaxed).saturating_add(1);
        let any = at.now > self.next_end.load(Relaxed) || members.departures() != self.departures.load(Relaxed);
        if any && strangers >= STRANGERS && strangers as usize * ALONG_THE_WAY >= self.len() {
            self.sweep(at, members);
        }
    }

    pub(super) fn list(&self) -> Listing<'_> {
        self.sessions.iter()
    }
}

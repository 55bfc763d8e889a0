//! A part of the table, behind its own lock.

mod entry;
mod evict;
mod ghosts;
mod index;
mod key;
mod queue;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use equipoise_core::EndpointId;

pub(super) use self::key::StoredKey;
use self::{
    entry::{Ended, Entry},
    ghosts::Ghosts,
    index::Index,
    queue::{NONE, Queue},
};
use super::{
    Counts, Session,
    members::{Member, Members},
    time::Moment,
};

/// How many places a bind or a miss looks at on the way, for what has ended.
const ALONG_THE_WAY: usize = 4;

/// How many sessions the whole table may still take.
pub(super) struct Room {
    taken: AtomicUsize,
    capacity: usize,
}

impl Room {
    pub(super) fn new(capacity: usize) -> Self {
        Self { taken: AtomicUsize::new(0), capacity }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    fn take(&self) -> bool {
        // Full is the usual case under attack: no writing then, which threads would stand in line for.
        self.taken() < self.capacity
            && self
                .taken
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < self.capacity).then(|| taken + 1))
                .is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct Shard {
    entries: Vec<Entry>,
    /// The first of the free places.
    free: u32,
    index: Index,
    /// Sessions that were not yet used since they came.
    fresh: Queue,
    /// Sessions that were.
    main: Queue,
    ghosts: Ghosts,
    /// Where sweeping along the way goes on.
    hand: usize,
    counts: Counts,
}

impl Shard {
    /// A shard that is to hold about `expected` sessions (a power of two). Takes memory as they come.
    pub(super) fn new(expected: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            index: Index::new(),
            fresh: Queue::new(),
            main: Queue::new(),
            ghosts: Ghosts::new(expected),
            hand: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whom the key is bound to; that counts as use.
    #[inline]
    pub(super) fn lookup(&mut self, hash: u32, key: &StoredKey, at: &Moment, room: &Room) -> Option<EndpointId> {
        if let Some(slot) = self.live(hash, key, at, room) {
            let entry = &mut self.entries[slot];
            entry.touch(at);
            return entry.member.as_ref().map(|member| member.id().clone());
        }
        self.sweep_along(at, room);
        None
    }

    pub(super) fn bind(
        &mut self,
        (hash, key): (u32, &StoredKey),
        (endpoint, instead_of): (&EndpointId, Option<&EndpointId>),
        members: &Members,
        at: &Moment,
        room: &Room,
    ) {
        if let Some(slot) = self.live(hash, key, at, room) {
            let entry = &mut self.entries[slot];
            let current = entry.member.as_ref().map(|member| member.id());
            if current == Some(endpoint) {
                entry.touch(at);
            } else if current == instead_of {
                entry.touch(at);
                entry.born = at.now;
                entry.member = Some(members.member(endpoint));
            }
            return;
        }
        self.sweep_along(at, room);
        // Whoever is evicted leaves its room to the newcomer. Nobody to evict, while other shards hold all there is:
        // with shards this large it takes more luck than anybody has, and then the newcomer has none.
        if room.take() || self.evict(at) {
            self.insert(hash, key, members.member(endpoint), at);
        } else {
            self.counts.evictions += 1;
        }
    }

    pub(super) fn unbind(&mut self, hash: u32, key: &StoredKey, at: &Moment, room: &Room) {
        if let Some(slot) = self.live(hash, key, at, room) {
            self.remove(slot);
            room.give_back();
        }
    }

    /// Removes what has ended among the `most` places from `from` on. Answers how many that were, and where to go on.
    pub(super) fn sweep(
        &mut self,
        from: usize,
        most: usize,
        at: &Moment,
        room: &Room,
    ) -> (usize, ControlFlow<(), usize>) {
        let end = from.saturating_add(most).min(self.entries.len());
        let mut swept = 0;
        for slot in from..end {
            let entry = &mut self.entries[slot];
            if entry.member.is_none() {
                continue;
            }
            entry.catch_up(at);
            if let Some(why) = entry.ended(at) {
                self.end(slot, why);
                room.give_back();
                swept += 1;
            }
        }
        (swept, if end < self.entries.len() { ControlFlow::Continue(end) } else { ControlFlow::Break(()) })
    }

    fn sweep_along(&mut self, at: &Moment, room: &Room) {
        let (_, next) = self.sweep(self.hand, ALONG_THE_WAY, at, room);
        self.hand = next.continue_value().unwrap_or(0);
    }

    /// Hands out the live sessions among the `most` places from `from` on. Answers where to go on.
    pub(super) fn list(
        &self,
        from: usize,
        most: usize,
        at: &Moment,
        into: &mut Vec<Session>,
    ) -> ControlFlow<(), usize> {
        let end = from.saturating_add(most).min(self.entries.len());
        let live = self.entries.get(from..end).unwrap_or_default().iter().filter(|entry| entry.ended(at).is_none());
        into.extend(live.filter_map(|entry| {
            let endpoint = entry.member.as_ref()?.id().clone();
            let (age, idle, left) = (at.since(entry.born), at.since(entry.used), at.left(entry.used, entry.born));
            Some(Session { key: entry.key, endpoint, age, idle, left })
        }));
        if end < self.entries.len() { ControlFlow::Continue(end) } else { ControlFlow::Break(()) }
    }

    /// The place of the key's entry. If it has ended, it is removed.
    #[inline]
    fn live(&mut self, hash: u32, key: &StoredKey, at: &Moment, room: &Room) -> Option<usize> {
        let slot = self.index.find(hash, |slot| self.entries[slot].key == *key)?;
        let Some(why) = self.entries[slot].ended(at) else { return Some(slot) };
        self.end(slot, why);
        room.give_back();
        None
    }

    fn insert(&mut self, hash: u32, key: &StoredKey, member: Arc<Member>, at: &Moment) {
        let mut entry = Entry::new(*key, hash, member, at.now);
        entry.proven = self.ghosts.recall(hash);
        let slot = match self.entries.get_mut(self.free as usize) {
            Some(free) => {
                let slot = std::mem::replace(&mut self.free, free.older) as usize;
                *free = entry;
                slot
            }
            None => {
                if self.entries.len() == self.entries.capacity() {
                    // By a quarter: doubling would leave a third of all memory unused.
                    self.entries.reserve_exact((self.entries.len() / 4).max(16));
                }
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.index.insert(hash, slot);
        self.queue_in(slot);
    }

    fn end(&mut self, slot: usize, why: Ended) {
        match why {
            Ended::Expired => self.counts.expirations += 1,
            Ended::Void => {
                self.counts.voided += 1;
                let entry = &self.entries[slot];
                if entry.proven || entry.uses > 0 {
                    // It will be bound elsewhere, and has shown that it is no flood.
                    self.ghosts.remember(entry.hash);
                }
            }
        }
        self.remove(slot);
    }

    fn remove(&mut self, slot: usize) {
        self.index.remove(self.entries[slot].hash, slot);
        self.queue_out(slot);
        let entry = &mut self.entries[slot];
        entry.member = None;
        entry.key = StoredKey::EMPTY;
        entry.older = std::mem::replace(&mut self.free, slot as u32);
    }
}

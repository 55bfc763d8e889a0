//! The sessions of one worker.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use slab::Slab;
use tokio::time::Instant;

use super::{key::Identity, list::List, session::Session};

/// The sessions, found by what identifies them. Lists have them in the order of time, so that the next one to end is
/// always the first one of a list.
#[derive(Default)]
pub(super) struct Table {
    sessions: Slab<Session>,
    by_identity: HashTable<usize>,
    hasher: RandomState,
    /// By the time of their last datagram: sessions whose client has not shown that it gets replies.
    unproven: List,
    /// By the time of their last datagram: all other sessions.
    proven: List,
    /// The sessions that wait for a reply, by the time since which they do so.
    waiting: List,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn find(&self, identity: Identity<'_>) -> Option<usize> {
        let is_same = |id: &usize| self.get(*id).is_some_and(|session| session.identity.as_ref() == identity);
        self.by_identity.find(self.hasher.hash_one(identity), is_same).copied()
    }

    pub(super) fn get(&self, id: usize) -> Option<&Session> {
        self.sessions.get(id)
    }

    pub(super) fn get_mut(&mut self, id: usize) -> Option<&mut Session> {
        self.sessions.get_mut(id)
    }

    /// Returns the ids of all sessions.
    pub(super) fn ids(&self) -> Vec<usize> {
        self.sessions.iter().map(|(id, _)| id).collect()
    }

    /// Returns the id that the next session will get.
    pub(super) fn next_id(&self) -> usize {
        self.sessions.vacant_key()
    }

    /// Adds a session whose identity no other session has. Returns its id.
    pub(super) fn insert(&mut self, session: Session) -> usize {
        let hash = self.hasher.hash_one(session.identity.as_ref());
        let id = self.sessions.insert(session);
        let (sessions, hasher) = (&self.sessions, &self.hasher);
        let hash_of = |id: &usize| sessions.get(*id).map_or(0, |session| hasher.hash_one(session.identity.as_ref()));
        self.by_identity.insert_unique(hash, id, hash_of);
        self.unproven.push(id);
        id
    }

    pub(super) fn remove(&mut self, id: usize) -> Option<Session> {
        let removed = self.sessions.try_remove(id)?;
        for list in [&mut self.unproven, &mut self.proven, &mut self.waiting] {
            list.remove(id);
        }
        let hash = self.hasher.hash_one(removed.identity.as_ref());
        if let Ok(entry) = self.by_identity.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        Some(removed)
    }

    /// Notes a datagram of a session, in either direction.
    pub(super) fn touch(&mut self, id: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.active_at != now {
            session.active_at = now;
            if session.is_proven { &mut self.proven } else { &mut self.unproven }.push(id);
        }
    }

    /// Notes that the client of a session gets replies: it has sent another datagram after one.
    pub(super) fn prove(&mut self, id: usize) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !std::mem::replace(&mut session.is_proven, true) {
            self.unproven.remove(id);
            self.proven.push(id);
        }
    }

    /// Returns the session that had no datagram for the longest time, and when its last one was.
    pub(super) fn least_active(&self) -> Option<(usize, Instant)> {
        let of = |list: &List| self.active_at(list.first()?);
        [of(&self.unproven), of(&self.proven)].into_iter().flatten().min_by_key(|(_, at)| *at)
    }

    /// Returns the session that ends next at the limit: the least active one among those whose client has not shown that
    /// it gets replies, or, if that was active since `unproven`, the least active one of the others. `None` if that was
    /// active since `proven`.
    pub(super) fn least_wanted(&self, unproven: Option<Instant>, proven: Option<Instant>) -> Option<usize> {
        let before = |list: &List, then: Option<Instant>| {
            self.active_at(list.first()?).filter(|(_, at)| then.is_some_and(|then| *at <= then)).map(|(id, _)| id)
        };
        before(&self.unproven, unproven).or_else(|| before(&self.proven, proven))
    }

    fn active_at(&self, id: usize) -> Option<(usize, Instant)> {
        Some((id, self.get(id)?.active_at))
    }

    /// Returns the session that waits for a reply for the longest time, and since when.
    pub(super) fn longest_waiting(&self) -> Option<(usize, Instant)> {
        let id = self.waiting.first()?;
        Some((id, self.get(id)?.waiting_since?))
    }

    /// Notes that a session waits for a reply since `now`.
    pub(super) fn wait(&mut self, id: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.waiting_since = Some(now);
        // At the end, also if it is the last one: another one cannot have begun to wait later.
        self.waiting.push(id);
    }

    /// Notes that a session waits no longer.
    pub(super) fn stop_waiting(&mut self, id: usize) {
        self.waiting.remove(id);
        if let Some(session) = self.sessions.get_mut(id) {
            session.waiting_since = None;
        }
    }

    /// Removes a session from those that end when they have waited for long. It waits nevertheless.
    pub(super) fn wait_without_end(&mut self, id: usize) {
        self.waiting.remove(id);
    }
}

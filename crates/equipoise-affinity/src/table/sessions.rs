use std::{fmt, slice, time::Duration};

use equipoise_core::EndpointId;

use super::{
    entry::Moment,
    key::StoredKey,
    shard::{Listing, Shard},
};

/// A session in a [`SessionTable`](super::SessionTable), with its endpoint and times.
/// [`SessionTable::sessions`](super::SessionTable::sessions) returns it. The times refer to the moment when `sessions`
/// was called.
#[derive(Clone)]
pub struct TableSession {
    key: StoredKey,
    endpoint: EndpointId,
    age: Duration,
    idle: Duration,
    left: Option<Duration>,
}

impl TableSession {
    /// Returns the session's key as the table stores it. A key of up to 32 bytes is stored unchanged. A longer key is
    /// stored as its SHA-256, and [`is_digest`](Self::is_digest) returns `true`. A key may be a secret, such as a
    /// cookie's value, so [`Debug`] does not show it.
    pub fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }

    /// Returns whether [`key`](Self::key) returns the SHA-256 of the session's key instead of the key, because the key
    /// has more than 32 bytes.
    pub fn is_digest(&self) -> bool {
        self.key.is_digest()
    }

    /// Returns the id of the endpoint that the session is bound to.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// Returns the age of the session: the time from when the session was first bound to an endpoint, to the call of
    /// [`SessionTable::sessions`](super::SessionTable::sessions). The age does not start again when the session moves
    /// to another endpoint.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns how long the session was not used: the time from its last use to the call of
    /// [`SessionTable::sessions`](super::SessionTable::sessions).
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Returns when the session ends by its idle timeout or its lifetime, as the time from the call of
    /// [`SessionTable::sessions`](super::SessionTable::sessions). If the session is used again, its idle timeout starts
    /// again, so it may end later. [`None`] if the table has neither an idle timeout nor a lifetime.
    pub fn expires_in(&self) -> Option<Duration> {
        self.left
    }
}

impl fmt::Debug for TableSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSession")
            .field("endpoint", &self.endpoint)
            .field("age", &self.age)
            .field("idle", &self.idle)
            .field("expires_in", &self.left)
            .finish_non_exhaustive()
    }
}

/// An iterator over the sessions of a [`SessionTable`](super::SessionTable) that have not ended.
/// [`SessionTable::sessions`](super::SessionTable::sessions) returns it.
#[must_use = "iterators are lazy"]
pub struct TableSessions<'a> {
    at: Moment,
    /// The shards whose listing has not started.
    shards: slice::Iter<'a, Shard>,
    listing: Option<Listing<'a>>,
}

impl<'a> TableSessions<'a> {
    pub(super) fn new(shards: &'a [Shard], at: Moment) -> Self {
        Self { at, shards: shards.iter(), listing: None }
    }
}

impl Iterator for TableSessions<'_> {
    type Item = TableSession;

    fn next(&mut self) -> Option<TableSession> {
        let at = &self.at;
        loop {
            let live = self.listing.as_mut().and_then(|listing| listing.find(|(_, bound)| bound.ended(at).is_none()));
            if let Some((key, bound)) = live {
                let (born, used, endpoint) = (bound.born(), bound.used(), bound.endpoint().clone());
                let (age, idle, left) = (at.since(born), at.since(used), at.left(used, born));
                return Some(TableSession { key, endpoint, age, idle, left });
            }
            self.listing = Some(self.shards.next()?.list());
        }
    }
}

impl fmt::Debug for TableSessions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSessions").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

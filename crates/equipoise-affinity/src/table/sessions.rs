use std::{fmt, slice, time::Duration};

use equipoise_core::EndpointId;

use super::{
    entry::Moment,
    key::StoredKey,
    shard::{Listing, Shard},
};

/// A session of a table, as [`SessionTable::sessions`](super::SessionTable::sessions) lists it.
#[derive(Clone)]
pub struct TableSession {
    key: StoredKey,
    endpoint: EndpointId,
    age: Duration,
    idle: Duration,
    left: Option<Duration>,
}

impl TableSession {
    /// Returns the key as the table stores it: keys of up to 32 bytes unchanged, longer ones as their SHA-256 (see
    /// [`is_digest`](Self::is_digest)). It may be a secret, such as a cookie's value, so [`Debug`] does not show it.
    pub fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }

    /// Returns whether the key has more than 32 bytes, so that [`key`](Self::key) is its SHA-256.
    pub fn is_digest(&self) -> bool {
        self.key.is_digest()
    }

    /// Returns the endpoint that the session is bound to.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// Returns how long ago the session was first bound. Moves do not reset it.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns how long ago the session was last used.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Returns when the session ends unless it is used; [`None`] if it does not expire.
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

/// An iterator over the live sessions of a table: see [`SessionTable::sessions`](super::SessionTable::sessions).
#[must_use = "iterators are lazy"]
pub struct TableSessions<'a> {
    at: Moment,
    /// The shards that have not been begun.
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

use std::{fmt, time::Duration};

use equipoise_core::EndpointId;

use super::{SessionTable, entry::Moment, key::StoredKey, shard::Listing};

/// A session of a [`SessionTable`], as [`SessionTable::sessions`] lists it.
#[derive(Clone)]
pub struct TableSession {
    pub(super) key: StoredKey,
    pub(super) endpoint: EndpointId,
    pub(super) age: Duration,
    pub(super) idle: Duration,
    pub(super) left: Option<Duration>,
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

/// An iterator over the live sessions of a table: see [`SessionTable::sessions`].
#[must_use = "iterators are lazy"]
pub struct TableSessions<'a> {
    table: &'a SessionTable,
    at: Moment,
    /// How many shards were begun.
    shards: usize,
    listing: Option<Listing<'a>>,
}

impl<'a> TableSessions<'a> {
    pub(super) fn new(table: &'a SessionTable) -> Self {
        Self { table, at: table.moment(), shards: 0, listing: None }
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
            self.listing = Some(self.table.shard(self.shards)?.list());
            self.shards += 1;
        }
    }
}

impl fmt::Debug for TableSessions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSessions").field("table", self.table).finish_non_exhaustive()
    }
}

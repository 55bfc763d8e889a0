use std::{fmt, time::Duration};

use equipoise_core::EndpointId;

use super::{SessionTable, key::StoredKey, shard::Listing, time::Moment};

/// One session, as [`SessionTable::sessions`] lists it.
#[derive(Clone)]
pub struct Session {
    pub(super) key: StoredKey,
    pub(super) endpoint: EndpointId,
    pub(super) age: Duration,
    pub(super) idle: Duration,
    pub(super) left: Option<Duration>,
}

impl Session {
    /// The key, as the table keeps it: up to 32 bytes as they are, longer ones as their SHA-256
    /// (see [`is_digest`](Self::is_digest)). A secret if it comes from a cookie; [`Debug`] does not print it.
    pub fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }

    /// Whether the key was longer than 32 bytes, and [`key`](Self::key) is its SHA-256.
    pub fn is_digest(&self) -> bool {
        self.key.is_digest()
    }

    /// Whom it is bound to.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// How old it is, moves included.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// How long it has not been used.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// When it ends unless it is used; [`None`] if it does not expire.
    pub fn expires_in(&self) -> Option<Duration> {
        self.left
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.endpoint)
            .field("age", &self.age)
            .field("idle", &self.idle)
            .field("expires_in", &self.left)
            .finish_non_exhaustive()
    }
}

/// The live sessions of a table, in no order: see [`SessionTable::sessions`].
#[must_use = "iterators are lazy"]
pub struct Sessions<'a> {
    table: &'a SessionTable,
    at: Moment,
    /// How many shards were begun.
    shards: usize,
    listing: Option<Listing<'a>>,
}

impl<'a> Sessions<'a> {
    pub(super) fn new(table: &'a SessionTable) -> Self {
        Self { table, at: table.moment(), shards: 0, listing: None }
    }
}

impl Iterator for Sessions<'_> {
    type Item = Session;

    fn next(&mut self) -> Option<Session> {
        let at = &self.at;
        loop {
            let live = self.listing.as_mut().and_then(|listing| listing.find(|(_, bound)| bound.ended(at).is_none()));
            if let Some((key, bound)) = live {
                let (born, used, endpoint) = (bound.born(), bound.used(), bound.endpoint().clone());
                let (age, idle, left) = (at.since(born), at.since(used), at.left(used, born));
                return Some(Session { key, endpoint, age, idle, left });
            }
            self.listing = Some(self.table.shard(self.shards)?.list());
            self.shards += 1;
        }
    }
}

impl fmt::Debug for Sessions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("table", self.table).finish_non_exhaustive()
    }
}

use std::{fmt, ops::ControlFlow, time::Duration, vec};

use equipoise_core::EndpointId;

use super::{SLICE, SessionTable, shard::StoredKey, time::Moment};

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

    /// How long it has been bound to that endpoint.
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
    shard: usize,
    slot: usize,
    found: vec::IntoIter<Session>,
}

impl<'a> Sessions<'a> {
    pub(super) fn new(table: &'a SessionTable) -> Self {
        Self { table, at: table.moment(), shard: 0, slot: 0, found: vec::IntoIter::default() }
    }
}

impl Iterator for Sessions<'_> {
    type Item = Session;

    fn next(&mut self) -> Option<Session> {
        loop {
            if let Some(session) = self.found.next() {
                return Some(session);
            }
            let shard = self.table.shard(self.shard)?;
            let mut found = Vec::with_capacity(SLICE);
            match shard.lock().list(self.slot, SLICE, &self.at, &mut found) {
                ControlFlow::Continue(next) => self.slot = next,
                ControlFlow::Break(()) => (self.shard, self.slot) = (self.shard + 1, 0),
            }
            self.found = found.into_iter();
        }
    }
}

impl fmt::Debug for Sessions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("table", self.table).finish_non_exhaustive()
    }
}

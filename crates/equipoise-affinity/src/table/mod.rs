//! Sessions in memory: a stick table in HAProxy's terms.
//!
//! A [`SessionTable`] stores which endpoint each session key (a cookie's value, a source address, a header) is bound
//! to. Keys come from clients, so its size is bounded.
//!
//! # When a session ends
//!
//! - It has not been used for [`idle_timeout`](SessionTableBuilder::idle_timeout), or is older than
//!   [`lifetime`](SessionTableBuilder::lifetime), counted over all endpoints it was bound to. Time is counted in tenths
//!   of a second: a session ends up to two tenths late, and never early. If the clock goes back, no session ends
//!   because of that.
//! - Its endpoint has [left](SessionStore::left): all sessions of an endpoint become void at once, in O(1). They stay
//!   void if the same id joins again.
//! - The table is full and the session is evicted, see below.
//!
//! A session that has ended is never returned, and a lookup removes it. Other ended sessions are removed by sweeps of
//! single shards. A shard is swept when the new keys and missed lookups since the last sweep reach a quarter of its
//! sessions, and if a session in it may have ended. [`sweep`](SessionTable::sweep) sweeps all shards; it is needed only
//! to keep [`len`](SessionTable::len) exact while the table is not used.
//!
//! # A full table
//!
//! [`quick_cache`](https://docs.rs/quick_cache) selects the sessions to evict, with a modified CLOCK-Pro similar to
//! S3-FIFO. Nine tenths of each shard are hot. While there is room, new sessions are hot. Later ones are cold, and the
//! oldest cold session is evicted first. If it was used meanwhile, it becomes hot instead, in place of a hot session
//! that was not used recently. So a flood of keys that are used once passes through the cold tenth and evicts no hot
//! session. The keys that were last evicted unused, up to half the capacity, are remembered; such a key is hot when it
//! returns.
//!
//! This protects against keys that are used only once. A table cannot distinguish keys that a client invents and uses
//! twice from those of honest sessions. Such a flood evicts idle sessions, and finally all of them.
//! [`Affinity::session_limit`](crate::Affinity::session_limit) protects against it: it limits how many sessions one
//! source may start.
//!
//! Keys are distributed over shards at random, and each shard has its share of the capacity. So some shards are full
//! before others. When as many keys have been added as the capacity, about 1.2 % of them were evicted: about 2 % at a
//! capacity of some thousands, and none below 1,024, which is one shard. After more keys, the table holds its full
//! capacity.
//!
//! # Cost
//!
//! A session in a full table takes about 105 bytes, including its key (32 bytes), and 8 more after the first evictions.
//! [The benches](https://github.com/equipoise-rs/equipoise/tree/main/benches#sessions) have figures. A key of more than
//! 32 bytes is stored as its SHA-256, which takes the same memory and time in proportion to its length. Memory is
//! allocated as sessions are added, and kept.
//!
//! There is no global lock. Each shard has its own, and up to 1,344 sessions. A lookup takes O(1), and so does a bind.
//! Three things take O(shard), 20 to 100 µs: growing, sweeping, and eviction among hot sessions that are all in use.
//! Nothing depends on the size of the table. Threads that bind the same new key at once wait for each other.
//!
//! Keys are distributed by SipHash with a random secret, so that clients cannot choose keys that collide.
//!
//! ```
//! use equipoise_affinity::{Lookup, SessionStore, table::SessionTable};
//! use equipoise_core::EndpointId;
//!
//! let table = SessionTable::builder().capacity(10_000).build()?;
//! let (a, b) = (EndpointId::from("10.0.0.1:80"), EndpointId::from("10.0.0.2:80"));
//!
//! table.bind(b"session-1", &a, None);
//! assert!(matches!(table.lookup(b"session-1"), Lookup::Now(Ok(Some(found))) if found == a));
//!
//! // The key is bound already: that binding stays.
//! table.bind(b"session-1", &b, None);
//! // The session moves, from the endpoint that it is bound to.
//! table.bind(b"session-2", &a, None);
//! table.bind(b"session-2", &b, Some(&a));
//!
//! table.left(&a);
//! assert!(matches!(table.lookup(b"session-1"), Lookup::Now(Ok(None))));
//! let listed: Vec<_> = table.sessions().take(100).map(|session| session.endpoint().clone()).collect();
//! assert_eq!(listed, [b]);
//! # Ok::<(), equipoise_affinity::table::InvalidSessionTable>(())
//! ```

mod builder;
mod entry;
mod key;
mod members;
mod sessions;
mod shard;
#[cfg(test)]
mod tests;

use std::{fmt, hash::RandomState, sync::Arc};

use equipoise_core::{EndpointId, SystemClock};

pub use self::{
    builder::{InvalidSessionTable, SessionTableBuilder},
    sessions::{TableSession, TableSessions},
    shard::TableStats,
};
use self::{
    entry::{Moment, Time},
    key::StoredKey,
    members::Members,
    shard::Shard,
};
use crate::{Lookup, SessionStore};

/// Maximum number of sessions in a shard. With the remembered keys that is just below 2,048, to which it grows by doubling.
const SHARD: usize = 1_344;

/// Smallest capacity of a shard when a table is split into more shards, up to [`PARALLEL`].
const SMALL_SHARD: usize = 512;

/// Number of shards that is enough for threads to rarely wait for each other.
const PARALLEL: usize = 16;

/// A bounded table of sessions in memory. Clones share the table.
///
/// A table is for one pool: an endpoint that [left](SessionStore::left) one pool would be void for another pool with
/// the same id, and a key used in both pools would be bound in one of them only. Use a table for each pool.
///
/// See [the module](self) for its behaviour and cost.
#[derive(Clone)]
pub struct SessionTable(Arc<Shared>);

struct Shared {
    hasher: RandomState,
    shards: Box<[Shard]>,
    members: Members,
    capacity: usize,
    time: Time,
}

impl SessionTable {
    /// Returns settings with their defaults: 100,000 sessions, an idle timeout of 30 minutes, no maximum lifetime.
    pub fn builder() -> SessionTableBuilder {
        SessionTableBuilder::new()
    }

    /// Returns how many sessions the table holds, including ended ones that have not been removed yet. At most
    /// [`capacity`](Self::capacity). O(shards).
    pub fn len(&self) -> usize {
        self.0.shards.iter().map(Shard::len).sum()
    }

    /// Returns whether the table holds no sessions. O(shards).
    pub fn is_empty(&self) -> bool {
        self.0.shards.iter().all(|shard| shard.len() == 0)
    }

    /// Returns the maximum number of sessions.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// Returns what has happened to sessions so far. O(shards).
    pub fn stats(&self) -> TableStats {
        self.0.shards.iter().fold(TableStats::default(), |sum, shard| {
            let counts = shard.stats();
            TableStats {
                evictions: sum.evictions + counts.evictions,
                expirations: sum.expirations + counts.expirations,
                voided: sum.voided + counts.voided,
            }
        })
    }

    /// Returns an iterator over the live sessions, in no order, for operators; `take` limits it. Listing is not a use
    /// of a session.
    ///
    /// It locks a shard for one session at a time, and nothing between calls of `next`. A session that exists
    /// throughout is listed once. One that is added or removed meanwhile may be listed or not.
    pub fn sessions(&self) -> TableSessions<'_> {
        TableSessions::new(&self.0.shards, self.moment())
    }

    /// Removes all sessions that have ended, and returns their number.
    ///
    /// It is never needed for correctness, see [the module](self). O([capacity](Self::capacity)) for the caller, about
    /// 60 ms for a million ended sessions. Other threads wait for one shard at most.
    pub fn sweep(&self) -> usize {
        let sweep = |shard: &Shard| shard.sweep(&self.moment(), &self.0.members);
        self.0.shards.iter().map(sweep).sum()
    }

    #[inline]
    fn moment(&self) -> Moment {
        self.0.time.moment()
    }

    /// A key as it is kept, and the shard where it belongs.
    #[inline]
    fn place(&self, key: &[u8]) -> (StoredKey, &Shard) {
        let (key, hash) = StoredKey::new(key, &self.0.hasher);
        let at = (u64::from(hash) * self.0.shards.len() as u64) >> 32;
        (key, &self.0.shards[at as usize])
    }
}

impl SessionTableBuilder {
    /// Creates the table.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionTable`] if the capacity or a time is out of range.
    pub fn build(self) -> Result<SessionTable, InvalidSessionTable> {
        self.validate()?;
        let Self { capacity, idle, lifetime, clock } = self;
        let shards = capacity.div_ceil(SHARD).max((capacity / SMALL_SHARD).clamp(1, PARALLEL));
        let (each, more) = (capacity / shards, capacity % shards);
        Ok(SessionTable(Arc::new(Shared {
            hasher: RandomState::new(),
            shards: (0..shards).map(|at| Shard::new(each + usize::from(at < more))).collect(),
            members: Members::new(),
            capacity,
            time: Time::new(clock.unwrap_or_else(|| Arc::new(SystemClock::new())), idle, lifetime),
        })))
    }
}

impl SessionStore for SessionTable {
    /// Always [`Lookup::Now`], and never an error.
    fn lookup(&self, key: &[u8]) -> Lookup {
        let (key, shard) = self.place(key);
        Lookup::Now(Ok(shard.lookup(&key, &self.moment(), &self.0.members)))
    }

    /// Atomic for each key. Binding a key to the endpoint that it is bound to counts as use. Neither that nor a move
    /// extends the session's lifetime.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let (key, shard) = self.place(key);
        shard.bind(&key, (endpoint, instead_of), &self.0.members, &self.moment());
    }

    fn unbind(&self, key: &[u8]) {
        let (key, shard) = self.place(key);
        shard.unbind(&key, &self.moment());
    }

    /// O(1). Bindings to this id from now on are valid; earlier ones stay void.
    fn left(&self, endpoint: &EndpointId) {
        self.0.members.left(endpoint);
    }
}

impl fmt::Debug for SessionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTable")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

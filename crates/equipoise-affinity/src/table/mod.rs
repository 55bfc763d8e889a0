//! Session tables: the endpoint of each session, stored in the memory of one balancer. HAProxy calls this a stick
//! table.
//!
//! A [`SessionTable`] stores to which endpoint each session key is bound. A key is, for example, a cookie's value, a
//! source address or a header. Clients can invent keys, so a table has a maximum number of sessions.
//!
//! # When a session ends
//!
//! A session ends for one of these reasons:
//!
//! - It was not used for [`idle_timeout`](SessionTableBuilder::idle_timeout).
//! - It is older than [`lifetime`](SessionTableBuilder::lifetime). Its age is the time since it was first bound, even
//!   if it has moved to other endpoints since.
//! - Its endpoint has left the pool (see [`SessionStore::left`]). All sessions of the endpoint end at once, in O(1)
//!   time. They do not continue if an endpoint with the same id joins later.
//! - The table was full, and the session was evicted (see below).
//!
//! Time is counted in units of 100 ms. A session ends up to 200 ms late, and never early. A clock that goes back does
//! not end sessions.
//!
//! If a lookup finds a session that has ended, it removes the session and returns no endpoint. Other sessions that have
//! ended are removed by sweeps. A sweep removes all ended sessions of one shard (a part of the table). When a key is
//! added to a shard, or a lookup in the shard finds nothing, the shard is swept if both of these conditions hold:
//!
//! - One of the shard's sessions may have ended.
//! - The number of added keys and failed lookups since the previous sweep of the shard is at least 16, and at least a
//!   quarter of the number of sessions in the shard.
//!
//! [`SessionTable::sweep`] sweeps all shards. Call it only if [`SessionTable::len`] must be exact while the table is
//! not used.
//!
//! # A full table
//!
//! The cache [`quick_cache`](https://docs.rs/quick_cache) selects the sessions to evict, with a variant of CLOCK-Pro
//! that is similar to S3-FIFO:
//!
//! - Nine tenths of each shard are for hot sessions, and one tenth is for cold sessions.
//! - While the shard is not full, new sessions are hot. After that, new sessions are cold.
//! - The oldest cold session is evicted first. If it was used since it was added, it becomes hot instead, and a hot
//!   session that was not used recently is evicted.
//! - The shard remembers the keys of sessions that were evicted unused, up to half its capacity. If such a key returns,
//!   its session is hot at once.
//!
//! Many keys that are used only once are therefore evicted from the cold tenth, and no hot session is evicted for them.
//!
//! The table cannot protect sessions from keys that a client invents and uses twice, because such keys look like the
//! keys of other clients. Many such keys displace the idle sessions, and finally all sessions. To protect against this,
//! limit how many sessions one source may start with [`Affinity::session_limit`](crate::Affinity::session_limit).
//!
//! Keys are distributed over the shards at random, and each shard has its part of the capacity. So some shards are
//! full, and evict sessions, before the table is full. When the number of added keys reaches the capacity, about 1.2 %
//! of the sessions have been evicted. At a capacity of some thousands, it is about 2 %. Below a capacity of 1,024,
//! there is only one shard, and no session is evicted before the table is full. When still more keys are added, all
//! shards become full, and the table contains as many sessions as its capacity.
//!
//! # Cost
//!
//! A session in a full table takes about 105 bytes, including 32 bytes for its key, and 8 bytes more after the first
//! evictions. [The benches](https://github.com/equipoise-rs/equipoise/tree/main/benches#sessions) have figures. A key
//! of more than 32 bytes is stored as its SHA-256. This takes the same memory, and time in proportion to the key's
//! length. Memory is allocated when sessions are added, and is not freed when they end.
//!
//! Each shard has its own lock and at most 1,344 sessions. There is no lock for the whole table. Looking up and binding
//! a key take O(1) time. Three operations take O(n) time for the n sessions of one shard, which is 20 to 100 µs:
//! growing the shard, sweeping it, and evicting a session if all hot sessions are in use. The time of a request does
//! not depend on the size of the table. Threads that bind the same new key at the same time wait for each other.
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
//! // The key is already bound to another endpoint, and `instead_of` is not that endpoint: the binding stays.
//! table.bind(b"session-1", &b, None);
//! // `instead_of` is the endpoint that the key is bound to: the session moves.
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
use crate::{Lookup, SessionStore, StoreStats};

/// Maximum number of sessions in a shard. With the remembered keys, a shard has just below 2,048 entries, a size that
/// its map reaches by doubling.
const SHARD: usize = 1_344;

/// Minimum capacity of a shard when a table is split into up to [`PARALLEL`] shards.
const SMALL_SHARD: usize = 512;

/// Number of shards with which threads rarely wait for each other.
const PARALLEL: usize = 16;

/// A session store in memory with a maximum number of sessions. Clones share the table. The [module](self) describes
/// when sessions end, what happens if the table is full, and the cost.
///
/// Use a separate table for each pool. If two pools shared a table, there would be two problems:
///
/// - A key could be bound to an endpoint of one of the pools only.
/// - If an endpoint [left](SessionStore::left) one pool, the sessions of this endpoint would end for the other
///   pool too.
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
    /// Returns a builder with default settings: at most 100,000 sessions, an idle timeout of 30 minutes, and no limit
    /// on the lifetime.
    pub fn builder() -> SessionTableBuilder {
        SessionTableBuilder::new()
    }

    /// Returns the number of sessions in the table, including sessions that have ended but have not been removed yet.
    /// The number is at most [`capacity`](Self::capacity). Takes O(n) time for the n shards (parts) of the table.
    pub fn len(&self) -> usize {
        self.0.shards.iter().map(Shard::len).sum()
    }

    /// Returns whether the table contains no sessions. A session that has ended counts until it is removed. Takes O(n)
    /// time for the n shards (parts) of the table.
    pub fn is_empty(&self) -> bool {
        self.0.shards.iter().all(|shard| shard.len() == 0)
    }

    /// Returns the maximum number of sessions in the table.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// Returns how many sessions were removed since the table was created, for each of three reasons: the table was
    /// full, the session had expired, or its endpoint had left the pool. Takes O(n) time for the n shards (parts) of
    /// the table.
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

    /// Returns an iterator over the sessions that have not ended, in no particular order. It is meant for listings that
    /// people read: use [`take`](Iterator::take) to limit the number of sessions. Listing a session does not count as a
    /// use of it.
    ///
    /// The iterator locks one shard (a part of the table) while it reads the next session. It holds no lock between two
    /// calls of `next`. A session that exists during the whole iteration is listed once. A session that is added or
    /// removed meanwhile may be listed or not.
    pub fn sessions(&self) -> TableSessions<'_> {
        TableSessions::new(&self.0.shards, self.moment())
    }

    /// Removes all sessions that have ended, and returns their number. This is needed only to make [`len`](Self::len)
    /// exact, because lookups never return a session that has ended.
    ///
    /// Takes O(n) time for a capacity of n sessions, about 60 ms for a million sessions that have ended. The shards
    /// (parts of the table) are swept one after the other, so another thread waits for the sweep of one shard at most.
    pub fn sweep(&self) -> usize {
        let sweep = |shard: &Shard| shard.sweep(&self.moment(), &self.0.members);
        self.0.shards.iter().map(sweep).sum()
    }

    #[inline]
    fn moment(&self) -> Moment {
        self.0.time.moment()
    }

    /// Returns the key as it is stored, and the shard of this key.
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
    /// [`InvalidSessionTable`] if the capacity is out of range, or if the idle timeout or the lifetime is zero.
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
    /// Always returns [`Lookup::Now`] with `Ok`.
    fn lookup(&self, key: &[u8]) -> Lookup {
        let (key, shard) = self.place(key);
        Lookup::Now(Ok(shard.lookup(&key, &self.moment(), &self.0.members)))
    }

    /// Binds a key atomically. If the key is already bound to `endpoint`, the call counts as a use of the session. The
    /// session's lifetime starts with its first binding. It does not start again when the session is bound again or
    /// moves to another endpoint.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let (key, shard) = self.place(key);
        shard.bind(&key, (endpoint, instead_of), &self.0.members, &self.moment());
    }

    fn unbind(&self, key: &[u8]) {
        let (key, shard) = self.place(key);
        shard.unbind(&key, &self.moment());
    }

    /// Ends all sessions that are bound to this endpoint, in O(1) time. Sessions that are bound later to an endpoint
    /// with the same id are valid.
    fn left(&self, endpoint: &EndpointId) {
        self.0.members.left(endpoint);
    }

    fn store_stats(&self) -> Option<StoreStats> {
        let TableStats { evictions, expirations, voided } = self.stats();
        let stats = StoreStats::new("table").sessions(self.len() as u64).capacity(self.capacity() as u64);
        Some(stats.event("evictions", evictions).event("expirations", expirations).event("voided", voided))
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

//! Sessions in memory: what HAProxy calls a stick table.
//!
//! A [`SessionTable`] remembers for each key (a cookie's value, a source address, a header) which endpoint it is bound
//! to. It is made for keys that come from outside, so it stays as large as it was asked to be, whatever comes.
//!
//! # When a session ends
//!
//! - It was not used for longer than [`idle`](SessionTableBuilder::idle), or is older than
//!   [`lifetime`](SessionTableBuilder::lifetime), whichever endpoints it has been bound to. Time is counted in tenths of a second: a session never ends before its
//!   time, and up to two tenths after. If the clock goes back, nothing ends for that.
//! - Its endpoint has [left](SessionStore::left): all sessions of an endpoint are void at once, in O(1). If the same id
//!   joins again, they stay void.
//! - The table is full and the session is the one to be evicted, see below.
//!
//! Sessions that have ended are never answered, and removed where they are asked for. Nobody need do anything about the
//! others: new keys and lookups that find nothing look through their shard, at four sessions for each of them, but all
//! at once when enough of them have come, and only if one may have expired there or an endpoint has left. So what has
//! ended makes room at the latest when a shard has seen a quarter as many strangers as it holds sessions.
//! [`sweep`](SessionTable::sweep) looks at all, for owners who would rather have [`len`](SessionTable::len) exact while
//! nothing happens.
//!
//! # A full table
//!
//! Who has to go is up to [`quick_cache`](https://docs.rs/quick_cache)'s policy, a modified CLOCK-Pro much like
//! S3-FIFO. Nine tenths of each shard are hot. Sessions that come while there is room there are hot at once; later ones
//! are cold, and the oldest cold one goes first, unless it was used: then it becomes hot, in place of one there that
//! was not used since the clock's hand came by last. So a flood of keys that are used once passes through the cold
//! tenth, and takes nothing from the hot ones, used or not. Only what is used more than once competes with these. Of
//! keys that were evicted unused, the last few, half as many as the capacity, are remembered: who of them comes back is
//! hot at once.
//!
//! That protects against keys that are used once, and against nothing else: no table can tell keys that a client makes up
//! and uses twice from those of honest sessions. Such a flood takes the place of sessions that are idle meanwhile, in the
//! end of all of them. [`Affinity::session_limit`](crate::Affinity::session_limit) bounds how many sessions one source may
//! begin, and is the setting that protects against it.
//!
//! Keys are spread over shards by chance, and each has its share of the capacity. So the table is never fuller than
//! asked, but some shards are full before others: when as many keys have come as it is to hold, 1.2 % of them had to
//! make room (about 2 % with a capacity of some thousands, none below 1 024, which is one shard). After more keys it
//! holds all its capacity.
//!
//! # What it costs
//!
//! A session of a full table takes some 105 bytes, its key (32) included, and 8 more once sessions were evicted: [the
//! benches](https://github.com/equipoise-rs/equipoise/tree/main/benches#sessions) have figures. Longer keys are kept as
//! their SHA-256, so it is the same whatever the keys; their digest takes time as they are long. Memory is taken as
//! sessions come, and kept.
//!
//! There is no global lock: each shard has its own, and up to 1 344 sessions. Under it a lookup takes O(1), and so does
//! a bind, except for three things that may take as long as the shard is large (some 20 to 100 µs): growing, sweeping,
//! and finding one to evict among hot sessions that are all in use, of which each is passed over twice at most. None of
//! it depends on the size of the table, nor on how many sessions end at once. Two who bind the same new key at once
//! wait for each other.
//!
//! Keys are placed by SipHash under a random secret, so nobody can choose keys that meet in one place.
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
//! // Somebody else was first: that stands.
//! table.bind(b"session-1", &b, None);
//! // Moved, knowing whom it was bound to.
//! table.bind(b"session-2", &a, None);
//! table.bind(b"session-2", &b, Some(&a));
//!
//! table.left(&a);
//! assert!(matches!(table.lookup(b"session-1"), Lookup::Now(Ok(None))));
//! let listed: Vec<_> = table.sessions().take(100).map(|session| session.endpoint().clone()).collect();
//! assert_eq!(listed, [b]);
//! # Ok::<(), equipoise_affinity::table::TableError>(())
//! ```

mod bound;
mod builder;
mod key;
mod members;
mod sessions;
mod shard;
#[cfg(test)]
mod tests;
mod time;

use std::{fmt, hash::RandomState, sync::Arc, time::Duration};

use equipoise_core::{Clock, EndpointId};

pub use self::{
    builder::{SessionTableBuilder, TableError},
    sessions::{Session, Sessions},
};
use self::{
    key::StoredKey,
    members::Members,
    shard::Shard,
    time::{Moment, Time},
};
use crate::{Lookup, SessionStore};

/// How many sessions a shard holds at most: with its ghosts a little less than 2 048, to which it grows by doubling.
const SHARD: usize = 1_344;

/// How few a shard may hold where that makes for more shards, up to [`PARALLEL`].
const SMALL_SHARD: usize = 512;

/// How many shards keep threads out of each other's way.
const PARALLEL: usize = 16;

/// Sessions in memory, as many as they may be and no more. A clone is the same table.
///
/// A table is for one pool: what [leaves](SessionStore::left) one of two pools would be void in the other, if that has an
/// endpoint of the same id, and a key that both are asked for would be bound in one of them only. Give each its own.
///
/// See [the module](self) for what it does and costs.
#[derive(Clone)]
pub struct SessionTable(Arc<Shared>);

struct Shared {
    hasher: RandomState,
    shards: Box<[Shard]>,
    members: Members,
    capacity: usize,
    time: Time,
}

/// What has happened to the sessions of a table, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Live sessions that had to make room.
    pub evictions: u64,
    /// Sessions that were found expired: when they were asked for, by sweeping, or where room was needed.
    pub expirations: u64,
    /// Sessions that were found bound to an endpoint that has left.
    pub voided: u64,
}

impl SessionTable {
    /// Settings, to begin with: 100 000 sessions, 30 minutes idle, no end to their lifetime.
    pub fn builder() -> SessionTableBuilder {
        SessionTableBuilder::new()
    }

    fn with(capacity: usize, clock: Arc<dyn Clock>, idle: Option<Duration>, lifetime: Option<Duration>) -> Self {
        let shards = capacity.div_ceil(SHARD).max((capacity / SMALL_SHARD).clamp(1, PARALLEL));
        let (each, more) = (capacity / shards, capacity % shards);
        Self(Arc::new(Shared {
            hasher: RandomState::new(),
            shards: (0..shards).map(|at| Shard::new(each + usize::from(at < more))).collect(),
            members: Members::new(),
            capacity,
            time: Time::new(clock, idle, lifetime),
        }))
    }

    /// How many sessions it holds, those included that have ended and were not yet found to. Never more than
    /// [`capacity`](Self::capacity). Asks every shard.
    pub fn len(&self) -> usize {
        self.0.shards.iter().map(Shard::len).sum()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.shards.iter().all(|shard| shard.len() == 0)
    }

    /// How many sessions it holds at most.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// What has happened so far. Asks every shard.
    pub fn counts(&self) -> Counts {
        self.0.shards.iter().fold(Counts::default(), |sum, shard| {
            let counts = shard.counts();
            Counts {
                evictions: sum.evictions + counts.evictions,
                expirations: sum.expirations + counts.expirations,
                voided: sum.voided + counts.voided,
            }
        })
    }

    /// The live sessions, in no order, for an operator to look at; `take` bounds it. Listing is no use of them.
    ///
    /// Locks a shard for one session at a time, and nothing between calls of `next`. A session that stays throughout is
    /// listed once; one that comes or goes meanwhile may be listed or not.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(self)
    }

    /// Removes all sessions that have ended, and answers how many those were.
    ///
    /// Never needed for correctness, see [the module](self). O([capacity](Self::capacity)) for the caller (some 60 ms
    /// for a million that have all ended), while others wait for one shard at most.
    pub fn sweep(&self) -> usize {
        let sweep = |shard: &Shard| shard.sweep(&self.moment(), &self.0.members);
        self.0.shards.iter().map(sweep).sum()
    }

    #[inline]
    fn moment(&self) -> Moment {
        self.0.time.moment()
    }

    fn shard(&self, at: usize) -> Option<&Shard> {
        self.0.shards.get(at)
    }

    /// A key as it is kept, and the shard where it belongs.
    #[inline]
    fn place(&self, key: &[u8]) -> (StoredKey, &Shard) {
        let (key, hash) = StoredKey::new(key, &self.0.hasher);
        let at = (u64::from(hash) * self.0.shards.len() as u64) >> 32;
        (key, &self.0.shards[at as usize])
    }
}

impl SessionStore for SessionTable {
    /// Always at once, and never an error.
    fn lookup(&self, key: &[u8]) -> Lookup {
        let (key, shard) = self.place(key);
        Lookup::Now(Ok(shard.lookup(&key, &self.moment(), &self.0.members)))
    }

    /// Atomic for each key. Binding to the endpoint that the key is bound to anyway is use; neither that nor a move to
    /// another one prolongs the session's lifetime.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let (key, shard) = self.place(key);
        shard.bind(&key, (endpoint, instead_of), &self.0.members, &self.moment());
    }

    fn unbind(&self, key: &[u8]) {
        let (key, shard) = self.place(key);
        shard.unbind(&key, &self.moment());
    }

    /// In O(1). What is bound to this id from now on is valid again; what was, stays void.
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

//! Sessions in memory: what HAProxy calls a stick table.
//!
//! A [`SessionTable`] remembers for each key (a cookie's value, a source address, a header) which endpoint it is bound
//! to. It is made for keys that come from outside, so it stays as large as it was asked to be, whatever comes.
//!
//! # When a session ends
//!
//! - It was not used for longer than [`idle`](SessionTableBuilder::idle), or is older than
//!   [`lifetime`](SessionTableBuilder::lifetime). Time is counted in tenths of a second: a session never ends before its
//!   time, and up to two tenths after. If the clock goes back, nothing ends for that.
//! - Its endpoint has [left](SessionStore::left): all sessions of an endpoint are void at once, in O(1). If the same id
//!   joins again, they stay void.
//! - The table is full and the session is the one to be evicted, see below.
//!
//! Sessions that have ended are never answered. Their places are found by looking at four with every bind of a new key
//! and every lookup that finds nothing; [`sweep`](SessionTable::sweep) looks at all, for owners who would rather have
//! [`len`](SessionTable::len) exact while nothing happens.
//!
//! # A full table
//!
//! S3-FIFO (Yang et al., SOSP 2023). Sessions that were not used since they were bound wait in one queue, those that
//! were in another. The first queue gives up its oldest as long as it holds more than a tenth, so a flood of keys that
//! are used once takes that tenth, and no more from sessions that were used a second time. Only what is used more than
//! once competes with such sessions: there the oldest goes unless it was used since it was looked at last. A
//! key that comes back soon after it was evicted is at once in the second queue, and so is one that was used and has
//! lost its endpoint. If 64 sessions in a row are in use, the newest goes, so that no request waits for a longer
//! search.
//!
//! # What it costs
//!
//! A session of a full table takes some 92 bytes, its key (32) included, and 4 more once sessions were evicted:
//! [the benches](https://github.com/equipoise-rs/equipoise/tree/main/benches#sessions) have figures. Longer keys are kept
//! as their SHA-256, so it is the same whatever the keys; their digest takes time as they are long. Memory is taken as
//! sessions come, and kept.
//!
//! There is no global lock: keys are spread over shards of about 1 000 entries each. Under its shard's lock a lookup
//! takes O(1), a bind looks at up to 64 entries for one to evict, and sweeping and listing see 64 at a time (some 2
//! µs). The longest that a bind takes, and keeps others of its shard waiting, is when its shard grows, which moves
//! those 1 000 entries (some 40 µs, up to 110 on a busy machine). None of it depends on the size of the table, nor on
//! how many sessions end at once.
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

mod builder;
mod members;
mod sessions;
mod shard;
#[cfg(test)]
mod tests;
mod time;

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use equipoise_core::{Clock, EndpointId};
use parking_lot::Mutex;

pub use self::{
    builder::{SessionTableBuilder, TableError},
    sessions::{Session, Sessions},
};
use self::{
    members::Members,
    shard::{Room, Shard, StoredKey},
    time::{Moment, Time},
};
use crate::{Lookup, SessionStore};

/// How many sessions a shard is to hold: little enough that it grows without anybody noticing.
const SHARD: usize = 1_024;

/// How few a shard may be to hold where that makes for more shards, up to [`PARALLEL`]: enough that one is never empty
/// while the table is full.
const SMALL_SHARD: usize = 256;

/// How many shards keep threads out of each other's way.
const PARALLEL: usize = 16;

/// How many places are looked at under a lock.
const SLICE: usize = 64;

/// Sessions in memory, as many as they may be and no more. A clone is the same table.
///
/// See [the module](self) for what it does and costs.
#[derive(Clone)]
pub struct SessionTable(Arc<Shared>);

struct Shared {
    hasher: RandomState,
    /// A power of two.
    shards: Box<[Padded]>,
    members: Members,
    room: Room,
    time: Time,
}

/// Two shards' locks never share a cache line, nor two lines that are fetched together.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

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
        let shards = (capacity / SHARD).max((capacity / SMALL_SHARD).clamp(1, PARALLEL)).next_power_of_two();
        let expected = capacity.div_ceil(shards).next_power_of_two();
        Self(Arc::new(Shared {
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| Padded(Mutex::new(Shard::new(expected)))).collect(),
            members: Members::new(),
            room: Room::new(capacity),
            time: Time::new(clock, idle, lifetime),
        }))
    }

    /// How many sessions it holds, those included that have ended and were not yet found to. Never more than
    /// [`capacity`](Self::capacity).
    pub fn len(&self) -> usize {
        self.0.room.taken()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sessions it holds at most.
    pub fn capacity(&self) -> usize {
        self.0.room.capacity()
    }

    /// What has happened so far. Takes every shard's lock for a moment.
    pub fn counts(&self) -> Counts {
        self.0.shards.iter().fold(Counts::default(), |sum, shard| {
            let counts = shard.0.lock().counts();
            Counts {
                evictions: sum.evictions + counts.evictions,
                expirations: sum.expirations + counts.expirations,
                voided: sum.voided + counts.voided,
            }
        })
    }

    /// The live sessions, in no order, for an operator to look at; `take` bounds it. Listing is no use of them.
    ///
    /// Locks 64 places at a time, and nothing between calls of `next`. A session that stays throughout is listed once;
    /// one that comes or goes meanwhile may be listed or not.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(self)
    }

    /// Removes all sessions that have ended, and answers how many those were.
    ///
    /// Never needed for correctness, see [the module](self). O([capacity](Self::capacity)) for the caller (some
    /// 30 ms for a million), while others wait for 64 places at most.
    pub fn sweep(&self) -> usize {
        let mut swept = 0;
        for shard in &self.0.shards {
            let (at, mut next) = (self.moment(), ControlFlow::Continue(0));
            while let ControlFlow::Continue(from) = next {
                let (removed, then) = shard.0.lock().sweep(from, SLICE, &at, &self.0.room);
                swept += removed;
                next = then;
            }
        }
        swept
    }

    #[inline]
    fn moment(&self) -> Moment {
        self.0.time.moment()
    }

    fn shard(&self, at: usize) -> Option<&Mutex<Shard>> {
        self.0.shards.get(at).map(|shard| &shard.0)
    }

    /// Where a key belongs: its shard, and its hash within. Different halves of one hash, so that they do not correlate.
    #[inline]
    fn place(&self, key: &StoredKey) -> (&Mutex<Shard>, u32) {
        let (bytes, tag) = key.whole();
        let mut hasher = self.0.hasher.build_hasher();
        hasher.write(bytes);
        hasher.write_u8(tag);
        let hash = hasher.finish();
        let shard = (hash >> 32) as usize & (self.0.shards.len() - 1);
        (&self.0.shards[shard].0, hash as u32)
    }
}

impl SessionStore for SessionTable {
    /// Always at once, and never an error.
    fn lookup(&self, key: &[u8]) -> Lookup {
        let key = StoredKey::new(key);
        let (shard, hash) = self.place(&key);
        let at = self.moment();
        Lookup::Now(Ok(shard.lock().lookup(hash, &key, &at, &self.0.room)))
    }

    /// Atomic for each key. Binding to the endpoint that the key is bound to anyway is use; it does not prolong the
    /// session's lifetime.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let key = StoredKey::new(key);
        let (shard, hash) = self.place(&key);
        let at = self.moment();
        let (members, room) = (&self.0.members, &self.0.room);
        shard.lock().bind((hash, &key), (endpoint, instead_of), members, &at, room);
    }

    fn unbind(&self, key: &[u8]) {
        let key = StoredKey::new(key);
        let (shard, hash) = self.place(&key);
        let at = self.moment();
        shard.lock().unbind(hash, &key, &at, &self.0.room);
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

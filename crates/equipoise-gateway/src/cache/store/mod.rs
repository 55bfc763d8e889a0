//! Where the cache keeps responses: the trait [`Store`] and its implementations.
//!
//! [`MemoryStore`] keeps responses in the memory of the process, within a bound of bytes. `RedisStore` (feature
//! `cache-redis`) shares them among several gateways. Another store implements [`Store`]; [`Entry::to_bytes`] and
//! [`Entry::from_bytes`] help one that is outside of the process.
//!
//! A store keeps up to a few *variants* of a response below one [`Key`]: responses with the same `Vary` field that were
//! selected by different request fields. The cache decides which variant answers a request and whether it is fresh. The
//! store decides what is kept.
//!
//! # Purges and fetches in progress
//!
//! A response that was requested before a purge must not be stored after it. So [`Store::get`] returns a
//! [`Generation`] together with the entries, and [`Store::put`] gets it back with the response: if the key, its URL or
//! a tag of the response was purged in between, `put` refuses the response with [`Stored::Purged`].

mod codec;
mod entry;
mod error;
mod filling;
mod future;
mod key;
mod memory;
#[cfg(feature = "cache-redis")]
mod redis;

use std::time::SystemTime;

pub(crate) use self::filling::FillingBytes;
#[cfg(feature = "cache-redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache-redis")))]
pub use self::redis::{RedisConnectionStats, RedisStore, RedisStoreBuilder, RedisStoreError};
pub use self::{
    codec::DecodeError,
    entry::{Body, BodyBuilder, Entries, Entry, Head, Tag},
    error::StoreError,
    future::StoreFuture,
    key::Key,
    memory::{MemoryStore, MemoryStoreBuilder, MemoryStoreError},
};

/// Keeps responses for the cache.
///
/// A store never fails a request: when it cannot be reached, [`get`](Self::get) returns no entries,
/// [`put`](Self::put) stores nothing, and [`StoreStats::errors`] counts it. A removal that fails is counted too, and is an
/// error, because the store may return later what should be gone. An implementation keeps four rules: its memory is
/// bounded, `get` returns only entries that were stored under a key that is equal in full (not only in its hash), `put`
/// refuses what was purged since the given generation, and it does not replace a newer response.
pub trait Store: Send + Sync + 'static {
    /// Returns all variants that are stored under a key, the newest first, and the generation for a later
    /// [`put`](Self::put). Entries that [have expired](Entry::is_expired) at `now` are not returned.
    fn get(&self, key: &Key, now: SystemTime) -> StoreFuture<'_, Lookup>;

    /// Stores a response. It replaces the variant with the same values in [`Head::vary`], unless that one has a later
    /// [`Head::response_time`]. `generation` is the one that [`get`](Self::get) returned before the response was
    /// requested.
    fn put(&self, key: &Key, entry: Entry, generation: Generation) -> StoreFuture<'_, Stored>;

    /// Removes all variants that are stored under a key. Returns how many there were, or 0 if the store does not know.
    /// Responses to requests that are in progress are refused afterwards, as [`purge`](Self::purge) does.
    ///
    /// The future returns a [`StoreError`] if the store may still have one of the variants.
    fn remove(&self, key: &Key) -> StoreFuture<'_, Result<usize, StoreError>>;

    /// Removes all entries that `what` describes. Returns the number of removed keys, or 0 if the store does not know.
    /// Responses to requests that are in progress are refused afterwards if `what` describes them.
    ///
    /// The future returns a [`StoreError`] if the store may still have one of the entries, also if others are removed.
    fn purge(&self, what: &Purge) -> StoreFuture<'_, Result<usize, StoreError>>;

    /// Returns the counters and the size of the store.
    fn stats(&self) -> StoreStats;
}

/// What [`Store::get`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Lookup {
    /// The variants that are stored under the key, the newest first. Empty if there are none.
    pub entries: Entries,
    /// The generation of the store before the lookup, for [`Store::put`].
    pub generation: Generation,
}

impl Lookup {
    /// Creates the result of a lookup.
    #[must_use]
    pub fn new(entries: Entries, generation: Generation) -> Self {
        Self { entries, generation }
    }
}

/// A point in the order of a store's purges. A later purge has a larger number. The default is before all purges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// What [`Store::put`] did with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// The response is stored. A bounded store may evict it at any time.
    Yes,
    /// The response is larger than the store accepts, or has more than [`Tag::MAX_PER_ENTRY`] tags.
    TooLarge,
    /// The key, its URL or a tag of the response was purged after the given generation.
    Purged,
    /// The store has a response for the same variant that was received later. Its body has arrived sooner.
    Superseded,
    /// The store could not be reached.
    Failed,
}

/// Which entries [`Store::purge`] removes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purge {
    /// The entries of one URL, in the form of [`Key::url`], with all values of [`Key::extra`].
    Url(String),
    /// The entries with URLs that begin with this text, in the form of [`Key::url`]. O(number of entries).
    Prefix(String),
    /// The entries that have this tag.
    Tag(Tag),
    /// All entries.
    All,
}

/// The counters and the size of a store. Counters never decrease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Number of keys that are stored now. 0 if the store does not know.
    pub keys: u64,
    /// Size of all that is stored now, in bytes: bodies, fields, keys and their administration. 0 if the store does not
    /// know.
    pub bytes: u64,
    /// Maximum of `bytes`. 0 if the store does not know.
    pub max_bytes: u64,
    /// Total lookups that found at least one entry.
    pub found: u64,
    /// Total lookups that found no entry.
    pub not_found: u64,
    /// Total responses that were stored.
    pub stored: u64,
    /// Total responses that were refused because of their size.
    pub too_large: u64,
    /// Total responses that were refused because they were purged while they were fetched.
    pub refused_purged: u64,
    /// Total keys whose entries were evicted because the store was full.
    pub evicted: u64,
    /// Total entries that were dropped because they had expired.
    pub expired: u64,
    /// Total variants that were dropped because a key had too many.
    pub variants_dropped: u64,
    /// Total keys that were removed by [`Store::remove`] and [`Store::purge`]. 0 if the store does not know.
    pub purged: u64,
    /// Total operations that failed: the store could not be reached, did not answer in time, or had an entry that could
    /// not be read.
    pub errors: u64,
}

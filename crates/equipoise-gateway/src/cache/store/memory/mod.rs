mod builder;
mod index;
mod purged;

use std::{
    fmt,
    hash::BuildHasherDefault,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::SystemTime,
};

use parking_lot::{Mutex, RwLock};
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use self::{index::Index, purged::Purged};
use super::{
    Entries, Entry, Generation, Key, Lookup, Purge, Store, StoreError, StoreFuture, StoreStats, Stored, Tag,
    key::KeyHasher,
};

pub use self::builder::{MemoryStoreBuilder, MemoryStoreError};

/// A [`Store`] in the memory of the process, bounded by bytes.
///
/// The size of an entry counts its body, fields and tags, its key, and an estimate of the memory that allocations and
/// indexes need. When the store is full, it evicts the keys that were used least, by an algorithm like Clock-PRO (crate
/// `quick_cache`): at skewed popularity its hit ratio is that of an LRU or better, and a scan over many keys does not
/// flush the popular ones. All variants of a key are evicted together.
///
/// A lookup takes a read lock on a part of the store and copies nothing; it is O(1). Storing is O(variants of the key +
/// tags). Purging a URL or a tag is O(number of its keys); purging a prefix is O(number of keys). Purges delay lookups
/// by no more than the removal of one key, and delay storing until they end.
///
/// ```
/// use std::time::SystemTime;
///
/// use equipoise_gateway::cache::store::{Body, Entry, Head, Key, MemoryStore, Store, Stored};
/// use http::{HeaderMap, StatusCode};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryStore::new(64 * 1024 * 1024);
/// let key = Key::new("https://example.com/", b"").expect("a short key");
/// let now = SystemTime::now();
/// let before = store.get(&key, now).await;
/// let entry = Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), now, now), Body::new(["hello".into()]));
/// assert_eq!(store.put(&key, entry, before.generation).await, Stored::Yes);
/// assert_eq!(store.get(&key, now).await.entries[0].body().len(), 5);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct MemoryStore {
    cache: Cache<Key, Slot, BySize, BuildHasherDefault<KeyHasher>, Evictions>,
    index: Index,
    purged: Purged,
    /// Read while a key is changed, written while many are purged: a purge sees all that was stored before it, and
    /// nothing that was requested before it is stored after it.
    purging: RwLock<()>,
    /// Changes of the variants of a key are made one after another. A key has one of these locks, by its hash.
    changing: Box<[Mutex<()>]>,
    max_entry: usize,
    max_key: usize,
    max_variants: usize,
    counters: Counters,
}

/// The variants of a key.
#[derive(Clone)]
struct Slot {
    entries: Entries,
    /// Differs for all slots of a store, so that the removal of an old slot from the index leaves a new one alone.
    id: u64,
    weight: u64,
}

#[derive(Default)]
struct Counters {
    slots: AtomicU64,
    found: AtomicU64,
    not_found: AtomicU64,
    stored: AtomicU64,
    too_large: AtomicU64,
    refused_purged: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
    variants_dropped: AtomicU64,
    purged: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct BySize;

impl Weighter<Key, Slot> for BySize {
    fn weight(&self, _: &Key, slot: &Slot) -> u64 {
        slot.weight
    }
}

/// Collects what an insertion replaced or evicted, to take it out of the index and free it without a lock.
#[derive(Clone, Copy, Debug)]
struct Evictions;

impl Lifecycle<Key, Slot> for Evictions {
    type RequestState = Vec<(Key, Slot)>;

    fn on_evict(&self, evicted: &mut Vec<(Key, Slot)>, key: Key, slot: Slot) {
        evicted.push((key, slot));
    }
}

impl MemoryStore {
    fn build(max_bytes: u64, max_entry: u64, max_variants: usize, shards: usize, expected_keys: usize) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes)
            .estimated_items_capacity(expected_keys)
            .shards(shards)
            .build();
        let cache = match options {
            Ok(options) => Cache::with_options(options, BySize, BuildHasherDefault::default(), Evictions),
            // Not reached: it fails only without one of the first two options.
            Err(_) => Cache::with(expected_keys, max_bytes, BySize, BuildHasherDefault::default(), Evictions),
        };
        // A key with more bytes than this would leave no room for others in its part of the store.
        let max_key = cache.shard_capacity() / 2;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            cache,
            index: Index::default(),
            purged: Purged::default(),
            purging: RwLock::default(),
            changing: (0..64).map(|_| Mutex::default()).collect(),
            max_entry: size(max_entry.min(max_key)),
            max_key: size(max_key),
            max_variants,
            counters: Counters::default(),
        }
    }

    /// Returns the maximum size of one entry in bytes, with its key and administration. A larger response is not
    /// stored.
    pub fn max_entry_bytes(&self) -> u64 {
        self.max_entry as u64
    }

    fn lock(&self, key: &Key) -> &Mutex<()> {
        // The upper bits: quick_cache uses the lower ones.
        &self.changing[(key.hash() >> 32) as usize % self.changing.len()]
    }

    fn lookup(&self, key: &Key, now: SystemTime) -> Lookup {
        // Read first: what is purged after this is refused by `put`.
        let generation = self.purged.generation();
        let entries = match self.cache.get(key) {
            Some(slot) if slot.entries.iter().any(|entry| entry.is_expired(now)) => self.drop_expired(key, now),
            Some(slot) => slot.entries,
            None => Entries::default(),
        };
        let counter = if entries.is_empty() { &self.counters.not_found } else { &self.counters.found };
        counter.fetch_add(1, Relaxed);
        Lookup::new(entries, generation)
    }

    #[cold]
    fn drop_expired(&self, key: &Key, now: SystemTime) -> Entries {
        let _purging = self.purging.read();
        let _changing = self.lock(key).lock();
        let Some(slot) = self.cache.peek(key) else { return Entries::default() };
        let entries: Entries = slot.entries.iter().filter(|entry| !entry.is_expired(now)).cloned().collect();
        self.counters.expired.fetch_add((slot.entries.len() - entries.len()) as u64, Relaxed);
        if entries.is_empty() {
            self.take(key);
        } else if entries.len() < slot.entries.len() {
            self.insert(key, entries.clone());
        }
        entries
    }

    fn store(&self, key: &Key, entry: Entry, since: Generation) -> Stored {
        let tags = &entry.head().tags;
        if tags.len() > Tag::MAX_PER_ENTRY || weight(key, std::slice::from_ref(&entry)) > self.max_entry {
            self.counters.too_large.fetch_add(1, Relaxed);
            return Stored::TooLarge;
        }
        let entry = entry.compact();
        let _purging = self.purging.read();
        let _changing = self.lock(key).lock();
        if self.purged.is_purged(key, &entry.head().tags, since) {
            self.counters.refused_purged.fetch_add(1, Relaxed);
            return Stored::Purged;
        }
        let old = self.cache.peek(key).map(|slot| slot.entries).unwrap_or_default();
        if old.iter().any(|old| old.head().supersedes(entry.head())) {
            return Stored::Superseded;
        }
        let mut entries: Vec<Entry> =
            old.iter().filter(|old| !old.head().is_same_variant(entry.head())).cloned().collect();
        let newer = entries.partition_point(|old| old.head().response_time > entry.head().response_time);
        entries.insert(newer, entry);
        // The oldest go first, but never the one that is stored now.
        while entries.len() > self.max_variants || (entries.len() > 1 && weight(key, &entries) > self.max_key) {
            let last = entries.len() - 1;
            entries.remove(if newer == last { last.saturating_sub(1) } else { last });
            self.counters.variants_dropped.fetch_add(1, Relaxed);
        }
        self.insert(key, entries.into_iter().collect());
        self.counters.stored.fetch_add(1, Relaxed);
        Stored::Yes
    }

    /// Puts a slot in the place of the one that a key has. The lock of the key is held.
    fn insert(&self, key: &Key, entries: Entries) {
        let weight = weight(key, &entries) as u64;
        let slot = Slot { entries, id: self.counters.slots.fetch_add(1, Relaxed), weight };
        // In this order, a purge finds the slot in the index as soon as it is stored. What replaced slots had in common
        // with it belongs to its number from now on.
        self.index.add(key, &slot.entries, slot.id);
        let mut evicted = Vec::new();
        self.cache.insert_with_lifecycle(key.clone(), slot, &mut evicted);
        for (gone, slot) in evicted {
            self.index.remove(&gone, &slot.entries, slot.id);
            if gone != *key {
                self.counters.evicted.fetch_add(1, Relaxed);
            }
        }
    }

    /// Removes the slot of a key. Returns the number of its variants.
    fn take(&self, key: &Key) -> usize {
        let Some((key, slot)) = self.cache.remove(key) else { return 0 };
        self.index.remove(&key, &slot.entries, slot.id);
        slot.entries.len()
    }

    fn remove_key(&self, key: &Key) -> usize {
        let _purging = self.purging.read();
        let _changing = self.lock(key).lock();
        let variants = self.take(key);
        self.purged.key(key);
        self.counters.purged.fetch_add(u64::from(variants > 0), Relaxed);
        variants
    }

    fn remove_all(&self, what: &Purge) -> usize {
        let _purging = self.purging.write();
        let keys = match what {
            Purge::Url(url) => {
                let mut keys = self.index.keys_of_url(url);
                keys.extend(Key::new(url, b""));
                keys
            }
            Purge::Tag(tag) => self.index.keys_of_tag(tag),
            Purge::Prefix(prefix) => {
                self.cache.iter().map(|(key, _)| key).filter(|key| key.url().starts_with(prefix)).collect()
            }
            Purge::All => self.cache.iter().map(|(key, _)| key).collect(),
        };
        let removed = keys.iter().filter(|key| self.take(key) > 0).count();
        // After the removal: a lookup that still found an old entry has an older generation than this.
        match what {
            Purge::Url(url) => self.purged.url(url),
            Purge::Tag(tag) => self.purged.tag(tag),
            Purge::Prefix(_) | Purge::All => self.purged.all(),
        }
        self.counters.purged.fetch_add(removed as u64, Relaxed);
        removed
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &Key, now: SystemTime) -> StoreFuture<'_, Lookup> {
        StoreFuture::ready(self.lookup(key, now))
    }

    fn put(&self, key: &Key, entry: Entry, generation: Generation) -> StoreFuture<'_, Stored> {
        StoreFuture::ready(self.store(key, entry, generation))
    }

    /// Never fails.
    fn remove(&self, key: &Key) -> StoreFuture<'_, Result<usize, StoreError>> {
        StoreFuture::ready(Ok(self.remove_key(key)))
    }

    /// Never fails.
    fn purge(&self, what: &Purge) -> StoreFuture<'_, Result<usize, StoreError>> {
        StoreFuture::ready(Ok(self.remove_all(what)))
    }

    /// Returns the counters and the size of the store. O(parts of the store), each locked for a moment.
    fn stats(&self) -> StoreStats {
        let counters = &self.counters;
        StoreStats {
            keys: self.cache.len() as u64,
            bytes: self.cache.weight(),
            max_bytes: self.cache.capacity(),
            found: counters.found.load(Relaxed),
            not_found: counters.not_found.load(Relaxed),
            stored: counters.stored.load(Relaxed),
            too_large: counters.too_large.load(Relaxed),
            refused_purged: counters.refused_purged.load(Relaxed),
            evicted: counters.evicted.load(Relaxed),
            expired: counters.expired.load(Relaxed),
            variants_dropped: counters.variants_dropped.load(Relaxed),
            purged: counters.purged.load(Relaxed),
            errors: 0,
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("keys", &self.cache.len())
            .field("bytes", &self.cache.weight())
            .field("max_bytes", &self.cache.capacity())
            .finish_non_exhaustive()
    }
}

/// The size of a key and its variants in bytes, with an estimate of what the store needs to administer them.
fn weight(key: &Key, entries: &[Entry]) -> usize {
    // The slot and the place in the table of quick_cache, with spare capacity of both.
    const SLOT: usize = 160;
    // A tag in the index: the tag, its table of keys and the place of the key in it.
    const TAG: usize = 256;
    let tags: usize = entries.iter().map(|entry| entry.head().tags.len()).sum();
    // A key with an extra part is in the index of URLs, which is like a tag.
    let url = if key.extra().is_empty() { 0 } else { TAG + key.url().len() };
    let entries: usize = entries.iter().map(|entry| entry.size() + size_of::<Entry>()).sum();
    key.size() + entries + SLOT + url + tags * TAG
}

#[cfg(test)]
mod tests;

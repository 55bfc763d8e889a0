use std::{fmt, sync::Arc};

use super::{
    sharing::flight::Flights,
    store::{FillingBytes, Store, StoreStats},
};

/// A store for several caches, with one limit for the responses that all of them are receiving.
///
/// A response needs memory while it is received, before the store has it. The caches of one gateway usually have one
/// store, so the limit belongs to the store: with it, their memory does not grow with the number of caches.
///
/// What one cache purges, directly or because of a request with an unsafe method, no other one stores or shares any
/// more: a response that is on its way is not stored, and new requests do not wait for it.
///
/// Clones are the same store with the same limit.
///
/// ```
/// use std::sync::Arc;
///
/// use equipoise_gateway::cache::{CacheLayer, SharedStore, store::MemoryStore};
///
/// let store = SharedStore::new(Arc::new(MemoryStore::new(1 << 30))).max_filling_bytes(100 << 20);
/// let images = CacheLayer::with_shared_store(&store).build()?;
/// let pages = CacheLayer::with_shared_store(&store).max_filling_bytes(10 << 20).build()?;
/// # drop((images, pages));
/// # Ok::<(), equipoise_gateway::cache::CacheConfigError>(())
/// ```
#[derive(Clone)]
pub struct SharedStore {
    store: Arc<dyn Store>,
    filling: Arc<FillingBytes>,
    /// A purge by one cache closes the fetches of all of them.
    flights: Arc<Flights>,
}

impl SharedStore {
    pub(super) const DEFAULT_MAX_FILLING_BYTES: u64 = 256 * 1024 * 1024;

    /// Creates a store for several caches.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let max_stored = Some(store.stats().max_bytes).filter(|max| *max > 0);
        let filling = Arc::new(FillingBytes::new(Self::DEFAULT_MAX_FILLING_BYTES, max_stored));
        Self { store, filling, flights: Arc::default() }
    }

    /// Sets the maximum number of bytes that all responses which are being received by the caches of this store may
    /// hold together, in addition to what is stored. Above it, responses pass uncached. Bodies that a store in memory
    /// has evicted and clients still read count too. Clones that were made before keep their limit. Default: 256 MiB.
    #[must_use]
    pub fn max_filling_bytes(mut self, bytes: u64) -> Self {
        self.filling = Arc::new(self.filling.with_max(bytes));
        self
    }

    /// Returns the number of bytes that the responses which are being received hold now.
    pub fn filling_bytes(&self) -> u64 {
        self.filling.get()
    }

    /// Returns the counters and the size of the store.
    pub fn stats(&self) -> StoreStats {
        self.store.stats()
    }

    pub(super) fn into_parts(self) -> (Arc<dyn Store>, Arc<FillingBytes>, Arc<Flights>) {
        (self.store, self.filling, self.flights)
    }
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore").field("filling", &self.filling).finish_non_exhaustive()
    }
}

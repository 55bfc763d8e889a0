use super::MemoryStore;

/// Configures a [`MemoryStore`].
///
/// ```
/// use equipoise_gateway::cache::store::MemoryStore;
///
/// let store = MemoryStore::builder(256 * 1024 * 1024).max_entry_bytes(16 * 1024 * 1024).build()?;
/// assert_eq!(store.max_entry_bytes(), 16 * 1024 * 1024);
/// # Ok::<(), equipoise_gateway::cache::store::MemoryStoreError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStoreBuilder {
    max_bytes: u64,
    max_entry_bytes: Option<u64>,
    max_variants: usize,
}

/// Why a [`MemoryStore`] cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryStoreError {
    /// The size of the store is 0 bytes.
    #[error("a store needs a size of at least 1 byte, usually several megabytes")]
    NoBytes,
    /// The maximum size of an entry is 0, or more than half of the store.
    #[error("max_entry_bytes is {max_entry_bytes}, but should be at least 1 and at most half of the store: {}", .max_bytes / 2)]
    EntryTooLarge {
        /// The maximum size of an entry in bytes.
        max_entry_bytes: u64,
        /// The size of the store in bytes.
        max_bytes: u64,
    },
    /// The maximum number of variants of a key is out of its range.
    #[error("max_variants is {0}, but should be from 1 to 1024")]
    Variants(usize),
}

/// The average size of a key that is assumed. It decides how many evicted keys are remembered, to recognize those that
/// come back, and it may be wrong by a factor of 100.
const AVERAGE: u64 = 4 * 1024;

/// A part of the store with fewer keys than this would be filled too unevenly.
const MIN_KEYS_PER_SHARD: u64 = 256;

impl MemoryStore {
    /// Creates a store that holds at most `max_bytes`, with the defaults of [`builder`](Self::builder). A store of 0
    /// bytes keeps nothing.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        MemoryStoreBuilder::new(max_bytes).build_unchecked()
    }

    /// Returns a builder for a store that holds at most `max_bytes`.
    pub fn builder(max_bytes: u64) -> MemoryStoreBuilder {
        MemoryStoreBuilder::new(max_bytes)
    }
}

impl MemoryStoreBuilder {
    fn new(max_bytes: u64) -> Self {
        Self { max_bytes, max_entry_bytes: None, max_variants: 32 }
    }

    /// Sets the maximum size of one entry in bytes, with its key and administration: at most half of the store. A
    /// larger response is not stored. The store has more independent parts, and threads wait less for each other, if
    /// this is a small fraction of the store. Default: 1/64 of the store, or 256 KiB if that is more and not over a
    /// half.
    #[must_use]
    pub fn max_entry_bytes(mut self, max_entry_bytes: u64) -> Self {
        self.max_entry_bytes = Some(max_entry_bytes);
        self
    }

    /// Sets the maximum number of variants of a key, from 1 to 1 024. When a key has more, the oldest is dropped.
    /// Default: 32.
    #[must_use]
    pub fn max_variants(mut self, max_variants: usize) -> Self {
        self.max_variants = max_variants;
        self
    }

    /// Builds the store. Memory is allocated when responses are stored.
    ///
    /// # Errors
    ///
    /// Returns a [`MemoryStoreError`] if a setting is out of its range.
    pub fn build(self) -> Result<MemoryStore, MemoryStoreError> {
        let max_bytes = self.max_bytes;
        if max_bytes == 0 {
            return Err(MemoryStoreError::NoBytes);
        }
        if let Some(max_entry_bytes) = self.max_entry_bytes
            && !(1..=max_bytes / 2).contains(&max_entry_bytes)
        {
            return Err(MemoryStoreError::EntryTooLarge { max_entry_bytes, max_bytes });
        }
        if !(1..=1024).contains(&self.max_variants) {
            return Err(MemoryStoreError::Variants(self.max_variants));
        }
        Ok(self.build_unchecked())
    }

    fn build_unchecked(self) -> MemoryStore {
        let half = self.max_bytes / 2;
        let max_entry = self.max_entry_bytes.unwrap_or((self.max_bytes / 64).max((256 * 1024).min(half)));
        let expected_keys = (self.max_bytes / AVERAGE).max(32);
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        // An entry must fit in half of a part.
        let shards = (self.max_bytes / max_entry.saturating_mul(2).max(1))
            .min(expected_keys / MIN_KEYS_PER_SHARD)
            .min(threads.saturating_mul(4))
            .clamp(1, 1024);
        // quick_cache rounds up to a power of two.
        let shards = 1 << shards.ilog2();
        let expected_keys = usize::try_from(expected_keys).unwrap_or(usize::MAX);
        MemoryStore::build(self.max_bytes, max_entry, self.max_variants, shards, expected_keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_their_range_are_refused() {
        let builder = MemoryStore::builder;
        assert_eq!(builder(0).build().unwrap_err(), MemoryStoreError::NoBytes);
        for max_entry_bytes in [0, 501, u64::MAX] {
            let error = builder(1000).max_entry_bytes(max_entry_bytes).build().unwrap_err();
            assert_eq!(error, MemoryStoreError::EntryTooLarge { max_entry_bytes, max_bytes: 1000 });
            assert!(error.to_string().ends_with("half of the store: 500"), "{error}");
        }
        for max_variants in [0, 1025] {
            let error = builder(1000).max_variants(max_variants).build().unwrap_err();
            assert_eq!(error, MemoryStoreError::Variants(max_variants));
        }
    }

    #[test]
    fn an_entry_of_the_maximum_size_fits_whatever_the_sizes_are() {
        for max_bytes in [2, 1 << 10, 1 << 20, 1 << 26, 1 << 30, 1 << 40, u64::MAX] {
            for max_entry in [1, max_bytes / 64, max_bytes / 3, max_bytes / 2] {
                let Ok(store) = MemoryStore::builder(max_bytes).max_entry_bytes(max_entry).build() else { continue };
                assert_eq!(store.max_entry_bytes(), max_entry, "of {max_bytes}");
            }
            let _ = MemoryStore::new(max_bytes);
        }
    }
}

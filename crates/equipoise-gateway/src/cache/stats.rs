use std::sync::atomic::{AtomicU64, Ordering};

use super::{rules::reason::NotStoredCounters, store::StoreStats};

/// The counters of a cache. They never decrease, except for `fetches` and `filling_bytes`.
///
/// Each request is counted once among `hits`, `stale`, `stale_while_revalidate`, `stale_on_error`, `validated`,
/// `coalesced`, `misses`, `bypassed`, `invalidating` and `only_if_cached`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Total requests that were answered with a fresh stored response.
    pub hits: u64,
    /// Total requests that were answered with a stale stored response because the client accepts it (`max-stale`).
    pub stale: u64,
    /// Total requests that were answered with a stale stored response while it is validated in the background.
    pub stale_while_revalidate: u64,
    /// Total requests that were answered with a stale stored response because the backend has failed.
    pub stale_on_error: u64,
    /// Total requests that were answered with a stored response after the backend had validated it.
    pub validated: u64,
    /// Total requests that were answered with the response to another request that was in progress.
    pub coalesced: u64,
    /// Total requests that were answered with a new response of the backend, or failed.
    pub misses: u64,
    /// Total requests that were forwarded without a look at the store: they have a body, a method that is not cached, a
    /// condition that only the backend can decide, an upgrade, or no key.
    pub bypassed: u64,
    /// Total requests with an unsafe method.
    pub invalidating: u64,
    /// Total requests with `only-if-cached` that got 504 because nothing usable was stored.
    pub only_if_cached: u64,
    /// Total validations in the background that were started.
    pub background: u64,
    /// Total requests that waited for another fetch longer than the limit, or could not use its response, and made a
    /// fetch of their own.
    pub waited_in_vain: u64,
    /// Total responses that were handed to the store.
    pub stored: u64,
    /// Total responses that were not stored because they were larger than the limit.
    pub too_large: u64,
    /// Total responses that were not stored because their body has failed or had the wrong length.
    pub incomplete: u64,
    /// Total responses that were not stored, by the label of the reason: `request_no_store`, `no_store`, `private`,
    /// `authorization`, `set_cookie`, `vary`, `status`, `no_freshness`, `deception`, `invalid`.
    pub not_stored: Vec<(&'static str, u64)>,
    /// Number of fetches that other requests can join now.
    pub fetches: u64,
    /// Number of bytes that are held now for responses that are being received.
    pub filling_bytes: u64,
    /// The counters and the size of the store.
    pub store: StoreStats,
}

macro_rules! counters {
    ($($name:ident),+) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)+
            pub(super) not_stored: NotStoredCounters,
        }

        impl Counters {
            pub(super) fn read(&self) -> CacheStats {
                CacheStats {
                    $($name: self.$name.0.load(Ordering::Relaxed),)+
                    not_stored: self.not_stored.read(),
                    ..CacheStats::default()
                }
            }
        }
    };
}

counters!(
    hits,
    stale,
    stale_while_revalidate,
    stale_on_error,
    validated,
    coalesced,
    misses,
    bypassed,
    invalidating,
    only_if_cached,
    background,
    waited_in_vain,
    stored,
    too_large,
    incomplete
);

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

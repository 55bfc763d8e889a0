use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that never decreases.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct TableCounters {
    pub(super) keys: Counter,
    pub(super) evicted: Counter,
    pub(super) inherited: Counter,
}

#[derive(Debug, Default)]
pub(super) struct LimitCounters {
    pub(super) admitted: Counter,
    pub(super) denied: Counter,
    pub(super) dry_run_denied: Counter,
    pub(super) delayed: Counter,
    pub(super) missing_key: Counter,
}

/// Counters of one limit since the layer was built. Returned by
/// [`RateLimitLayer::stats`](super::RateLimitLayer::stats).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitStats {
    /// Name of the limit.
    pub name: String,
    /// Number of requests that the limit has admitted. Another limit may have denied them.
    pub admitted: u64,
    /// Number of requests that were denied because of this limit.
    pub denied: u64,
    /// Number of requests that would have been denied because of this limit, but passed because of
    /// [`dry_run`](super::Limit::dry_run).
    pub dry_run_denied: u64,
    /// Number of requests that had to wait because of this limit.
    pub delayed: u64,
    /// Number of requests without the key of the limit.
    pub missing_key: u64,
    /// Number of keys in the table of this process. Keys are replaced, never removed, so it never decreases. Its
    /// maximum is twice [`max_keys`](super::Limit::max_keys). With a limit in Redis, it only counts keys of the
    /// fallback.
    pub keys: u64,
    /// Number of keys that were replaced although their bucket was not full, because the table had no room.
    pub evicted: u64,
    /// Number of visits of new keys that found less than a full bucket, because keys had been evicted.
    pub inherited: u64,
}

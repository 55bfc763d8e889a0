use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) fail_open: AtomicU64,
    pub(super) cache_hits: AtomicU64,
}

/// What an [`External`](super::External) has done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExternalStats {
    /// Requests that were sent to the service.
    pub requests: u64,
    /// Requests to the service that ended with an error, or with a response that decides nothing.
    pub failures: u64,
    /// Requests to the service without a response in time.
    pub timeouts: u64,
    /// Requests of clients about which the service was not asked because too many others waited for it.
    pub rejected: u64,
    /// Requests of clients that were allowed because the service was not available.
    pub fail_open: u64,
    /// Requests of clients that an earlier response has decided.
    pub cache_hits: u64,
    /// Requests that wait for the service now.
    pub waiting: u64,
}

impl Counters {
    pub(super) fn stats(&self, waiting: usize) -> ExternalStats {
        ExternalStats {
            requests: self.requests.load(Relaxed),
            failures: self.failures.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            fail_open: self.fail_open.load(Relaxed),
            cache_hits: self.cache_hits.load(Relaxed),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }
}

//! What proxies count in their pool beside the leases, so that the totals of the pool are right.

use equipoise_core::{PickError, Pool};

/// A pool of any type of targets, as far as proxies count in it. See [`PoolStats`](equipoise_core::PoolStats).
pub(crate) trait CountAttempts {
    /// Counts a lease of a connection, session or request that has had a lease before.
    fn count_retry(&self);

    /// Counts that a connection, session or request has left an endpoint for another one.
    fn count_failover(&self);

    /// Counts a connection, session or request that has had no lease. `error` is the error of its last pick. `None`: it
    /// was given up while it waited.
    fn count_unserved(&self, error: Option<&PickError>);
}

impl<T> CountAttempts for Pool<T> {
    fn count_retry(&self) {
        Self::count_retry(self);
    }

    fn count_failover(&self) {
        Self::count_failover(self);
    }

    fn count_unserved(&self, error: Option<&PickError>) {
        Self::count_unserved(self, error);
    }
}

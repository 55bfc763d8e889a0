//! The number of leases on one endpoint, and the load that [`LeastConnections`](super::LeastConnections) computes from
//! it.

use crate::sync::{AtomicU32, Ordering};

/// The state that [`LeastConnections`](super::LeastConnections) keeps about an endpoint: the number of its requests in
/// flight.
#[derive(Debug, Default)]
pub struct LeastConnectionsState {
    leases: AtomicU32,
    /// Makes the state, with the counts of its `Arc`, as long as a cache line. Two endpoints therefore do not share a
    /// cache line.
    _padding: [u64; 5],
}

impl LeastConnectionsState {
    /// Counts a lease that begins.
    #[inline]
    pub(super) fn begin(&self) {
        self.leases.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a lease that ends.
    #[inline]
    pub(super) fn end(&self) {
        self.leases.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the number of leases that have begun and not ended.
    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.leases.load(Ordering::SeqCst)
    }
}

/// Returns the load by which endpoints are compared: twice (in-flight + ½) / weight. `inverse` is 1 / weight.
#[inline]
pub(super) fn load_of(in_flight: u32, inverse: f64) -> f64 {
    (2.0 * f64::from(in_flight) + 1.0) * inverse
}

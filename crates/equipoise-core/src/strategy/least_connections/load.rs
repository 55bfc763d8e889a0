//! The load of one endpoint, as least connections counts it.

use crate::sync::{AtomicU32, Ordering};

/// The state that [`LeastConnections`](super::LeastConnections) keeps of an endpoint: its number of leases.
#[derive(Debug, Default)]
pub struct LeastConnectionsState {
    leases: AtomicU32,
    /// Makes the state as long as a cache line, with the counts of its `Arc`, so that endpoints do not share one.
    _padding: [u64; 5],
}

impl LeastConnectionsState {
    /// Counts a lease that begins.
    #[inline]
    pub(super) fn begin(&self) {
        self.leases.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts the end of a lease.
    #[inline]
    pub(super) fn end(&self) {
        self.leases.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the number of leases.
    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.leases.load(Ordering::SeqCst)
    }
}

/// The load by which endpoints are compared: twice (in-flight + ½) / weight.
#[inline]
pub(super) fn load_of(in_flight: u32, inverse: f64) -> f64 {
    (2.0 * f64::from(in_flight) + 1.0) * inverse
}

use std::sync::Arc;

use crate::{
    endpoint::Endpoint,
    sync::{AtomicU32, Ordering},
};

/// What a lease holds: one stripe's hold on an endpoint, with that stripe's share of the in-flight count.
///
/// There is one per endpoint and stripe, each allocated by itself: a lease touches only memory of its thread's stripe
/// (this `Arc`'s count and the counter beside it), so two threads that pick the same endpoint do not fight for a
/// cache line.
pub(crate) struct Handle {
    in_flight: AtomicU32,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Makes it, with the `Arc`'s own counts, a cache line long. (Alignment would put the counts on another line than
    /// the counter. Neighbours on the heap are mostly of the same stripe: they are made stripe by stripe.)
    _padding: [u64; 3],
}

impl Handle {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { in_flight: AtomicU32::new(0), endpoint, _padding: [0; 3] }
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

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
    /// The leases that are out, and whether somebody waits for the last of them: in one number, so that each of the two
    /// sides is either before the other and seen by it, or after it and sees it.
    state: AtomicU32,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Makes it, with the `Arc`'s own counts, a cache line long. (Alignment would put the counts on another line than
    /// the counter. Neighbours on the heap are mostly of the same stripe: they are made stripe by stripe.)
    _padding: [u64; 3],
}

/// The bit of [`Handle`]'s state that says that somebody waits.
const WATCHED: u32 = 1 << 31;

impl Handle {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { state: AtomicU32::new(0), endpoint, _padding: [0; 3] }
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.state.load(Ordering::Relaxed) & !WATCHED
    }

    #[inline]
    pub(crate) fn enter(&self) {
        self.state.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers whether somebody waits for the stripe to become empty, and it has.
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        self.state.fetch_sub(1, Ordering::Relaxed) == WATCHED + 1
    }

    /// How many are out. When the last of them has left, whoever waits is [told](Self::tell_empty).
    pub(crate) fn watch(&self) -> u32 {
        self.state.fetch_or(WATCHED, Ordering::Relaxed) & !WATCHED
    }

    /// Wakes those who wait. They watch again if they have to: a stripe that nobody watches tells nobody.
    #[cold]
    pub(crate) fn tell_empty(&self) {
        self.state.fetch_and(!WATCHED, Ordering::Relaxed);
        self.endpoint.emptied.wake_all();
    }
}

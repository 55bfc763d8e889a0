use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The requests in flight on all connections of a server, and their maximum.
#[derive(Debug)]
pub(super) struct InFlightLimit {
    /// `usize::MAX` if there is no limit. Then the requests are not counted, because all threads would write the count.
    max: AtomicUsize,
    count: AtomicUsize,
}

impl InFlightLimit {
    pub(super) fn new(max: usize) -> Self {
        Self { max: AtomicUsize::new(max), count: AtomicUsize::new(0) }
    }

    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Counts one more request. Returns an error if there are as many as allowed, and `None` if there is no limit.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Option<Admitted>, Full> {
        let max = self.max.load(Ordering::Relaxed);
        if max == usize::MAX {
            return Ok(None);
        }
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(Arc::clone(self));
        if before < max { Ok(Some(admitted)) } else { Err(Full) }
    }
}

/// There are as many requests in flight as allowed.
#[derive(Debug)]
pub(super) struct Full;

/// A request that is in flight until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted(Arc<InFlightLimit>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

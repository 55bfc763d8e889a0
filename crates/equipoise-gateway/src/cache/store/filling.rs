use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The bytes of responses that are being received, and their limit.
///
/// A client may read the body of a response for longer than a store in memory keeps it. So all bodies that were handed
/// to such a store are counted until they are free. Together with the responses that are being received, they have at
/// most the size of the store and the limit.
#[derive(Debug)]
pub(crate) struct FillingBytes {
    filling: AtomicU64,
    bodies: AtomicU64,
    max: u64,
    /// The size of the store, if it is known.
    max_stored: Option<u64>,
}

impl FillingBytes {
    pub(crate) fn new(max: u64, max_stored: Option<u64>) -> Self {
        Self { filling: AtomicU64::new(0), bodies: AtomicU64::new(0), max, max_stored }
    }

    /// Returns the same limit for another size of what is received, without its bytes.
    pub(crate) fn with_max(&self, max: u64) -> Self {
        Self::new(max, self.max_stored)
    }

    /// Adds bytes that were received. Returns whether all are within their limits after that.
    pub(crate) fn add(&self, bytes: u64) -> bool {
        let filling = self.filling.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let all = filling.saturating_add(self.bodies.load(Relaxed));
        filling <= self.max && self.max_stored.is_none_or(|stored| all <= self.max.saturating_add(stored))
    }

    pub(crate) fn remove(&self, bytes: u64) {
        self.filling.fetch_sub(bytes, Relaxed);
    }

    /// Returns the number of bytes that were received and not removed.
    pub(crate) fn get(&self) -> u64 {
        self.filling.load(Relaxed)
    }
}

/// Counts the bytes of a body until it is dropped.
#[derive(Debug)]
pub(crate) struct CountedBody {
    bytes: u64,
    of: Arc<FillingBytes>,
}

impl CountedBody {
    /// Returns `None` if the size of the store is not known.
    pub(crate) fn new(bytes: u64, of: &Arc<FillingBytes>) -> Option<Arc<Self>> {
        of.max_stored?;
        of.bodies.fetch_add(bytes, Relaxed);
        Some(Arc::new(Self { bytes, of: Arc::clone(of) }))
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.of.bodies.fetch_sub(self.bytes, Relaxed);
    }
}

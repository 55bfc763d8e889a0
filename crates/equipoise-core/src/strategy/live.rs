use std::{ops::Deref, sync::Arc};

use crate::sync::{AtomicU32, Mutex, Ordering, Swap, ordered};

/// The parts of a strategy's pickers that its hooks access.
///
/// A strategy builds a picker for each tier, and inside a combinator for each part of a pool. It does not know which
/// pickers are still in use. Each picker therefore registers its part, and removes it when it is dropped. Hooks take no
/// lock. If no part is registered, they cost one load.
pub(super) struct LiveParts<T> {
    parts: Swap<Vec<Arc<T>>>,
    /// The number of registered parts.
    len: AtomicU32,
    /// Locked while the list changes.
    writer: Mutex<()>,
}

impl<T> LiveParts<T> {
    /// Calls `f` for every registered part. A caller can make a change with a `SeqCst` access before the call. No part
    /// then misses the change: either `f` is called for the part, or the part sees the change after it has registered.
    #[inline]
    pub(super) fn each(&self, f: impl FnMut(&Arc<T>)) {
        ordered();
        if self.len.load(Ordering::SeqCst) != 0 {
            self.parts.load().iter().for_each(f);
        }
    }

    pub(super) fn register(self: &Arc<Self>, part: T) -> Registered<T> {
        let part = Arc::new(part);
        self.change(|parts| parts.push(Arc::clone(&part)));
        ordered();
        Registered { live: Arc::clone(self), part }
    }

    #[cold]
    fn change(&self, change: impl FnOnce(&mut Vec<Arc<T>>)) {
        let _writer = self.writer.lock();
        let mut parts = self.parts.load_full().to_vec();
        change(&mut parts);
        let len = parts.len() as u32;
        self.parts.store(Arc::new(parts));
        self.len.store(len, Ordering::SeqCst);
    }
}

impl<T> Default for LiveParts<T> {
    fn default() -> Self {
        Self { parts: Swap::new(Arc::default()), len: AtomicU32::new(0), writer: Mutex::new(()) }
    }
}

/// A part that hooks reach, for as long as its picker lives.
pub(super) struct Registered<T> {
    live: Arc<LiveParts<T>>,
    part: Arc<T>,
}

impl<T> Deref for Registered<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.part
    }
}

impl<T> Drop for Registered<T> {
    fn drop(&mut self) {
        self.live.change(|parts| parts.retain(|part| !Arc::ptr_eq(part, &self.part)));
    }
}

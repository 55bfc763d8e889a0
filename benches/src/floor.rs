//! The least that a pick could cost.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;

/// Floor A: load the current list, count up, index, clone and drop the `Arc` found there.
///
/// It walks the list in order, so at every size it has the processor's prefetching on its side; whoever draws at random
/// has not.
pub struct FloorA {
    list: ArcSwap<Vec<Arc<u64>>>,
    next: AtomicUsize,
}

impl FloorA {
    /// Over a list of `n`, which is not 0.
    pub fn new(n: usize) -> Self {
        Self { list: ArcSwap::from_pointee((0..n as u64).map(Arc::new).collect()), next: AtomicUsize::new(0) }
    }

    /// Once.
    #[inline]
    pub fn run(&self) {
        let list = self.list.load();
        let at = self.next.fetch_add(1, Ordering::Relaxed) % list.len();
        drop(black_box(Arc::clone(&list[at])));
    }
}

/// Floor B: reading the clock.
#[inline]
pub fn floor_b() {
    black_box(Instant::now());
}

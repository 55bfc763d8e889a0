//! The minimum cost of a pick.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;

/// Floor A: load the current list, increment a counter, index, clone and drop the `Arc` at the index.
///
/// It walks the list in order and thus profits from prefetching at every size. Strategies with random picks do not.
pub struct FloorA {
    list: ArcSwap<Vec<Arc<u64>>>,
    next: AtomicUsize,
}

impl FloorA {
    /// Creates a list of `n` elements; `n` must not be 0.
    pub fn new(n: usize) -> Self {
        Self { list: ArcSwap::from_pointee((0..n as u64).map(Arc::new).collect()), next: AtomicUsize::new(0) }
    }

    /// Runs the floor once.
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

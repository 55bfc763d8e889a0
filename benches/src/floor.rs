//! The least that a pick could cost.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;

/// Floor A: load the current list, count up, index, clone and drop the `Arc` found there.
pub struct FloorA {
    list: ArcSwap<Vec<Arc<u64>>>,
    next: AtomicUsize,
}

impl FloorA {
    /// Over a list of `n`.
    pub fn new(n: usize) -> Self {
        let list = (0..n as u64).map(Arc::new).collect();
        Self { list: ArcSwap::from_pointee(list), next: AtomicUsize::new(0) }
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
    black_box(std::time::Instant::now());
}

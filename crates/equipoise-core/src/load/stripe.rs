//! Stripes: the in-flight count of an endpoint is split into several parts (stripes), so that threads do not contend.
//! Each thread changes only the part of its own stripe.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The largest default number of stripes. Comparing endpoints sums all stripes. With more than 4 stripes, comparisons
/// lose more time than writers gain.
const MOST_STRIPES: usize = 4;

/// Returns the default number of stripes: one per core, at most [`MOST_STRIPES`].
pub(crate) fn default_stripes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MOST_STRIPES)
}

/// Returns the number of the current thread. Threads are numbered from 0 in the order of their first picks.
#[inline]
pub(crate) fn thread_number() -> usize {
    #[cfg(not(loom))]
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    #[cfg(loom)]
    loom::thread_local! {
        static NUMBER: Cell<usize> = Cell::new(usize::MAX);
    }
    NUMBER.with(|number| match number.get() {
        usize::MAX => {
            // Not loom's: the number only has to differ between threads.
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let mine = NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1);
            number.set(mine);
            mine
        }
        mine => mine,
    })
}

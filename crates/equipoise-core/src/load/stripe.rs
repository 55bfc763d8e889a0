//! Which of an endpoint's counters a thread uses.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// More stripes than this cost readers (a comparison of two endpoints sums all their stripes) more than writers win.
const MOST_STRIPES: usize = 4;

/// One stripe a core, within reason.
pub(crate) fn default_stripes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MOST_STRIPES)
}

/// A small number that tells threads apart; they are numbered in the order of their first pick.
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
            // Not part of any model: it only has to differ between threads.
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let mine = NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1);
            number.set(mine);
            mine
        }
        mine => mine,
    })
}

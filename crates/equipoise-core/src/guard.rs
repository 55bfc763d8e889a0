use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs the user's code where its panic must reach neither requests nor the pool: `None` if it panicked.
#[inline]
pub(crate) fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).inspect_err(|_| PANICKED.set(true)).ok()
}

/// Whether a strategy has panicked on this thread, however deep in others and also in a hook, since this was last asked.
///
/// For `equipoise-sim`: a pool goes on without a hook that panics, as it should; what a testbed reports would then be of
/// something else than the strategy.
#[doc(hidden)]
pub fn take_panicked() -> bool {
    PANICKED.take()
}

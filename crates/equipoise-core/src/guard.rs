use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs user code whose panic must not reach the caller. Returns `None` if it panicked.
#[inline]
pub fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).inspect_err(|_| PANICKED.set(true)).ok()
}

/// Returns whether user code inside [`guarded`] has panicked on this thread since the last call.
///
/// For `equipoise-sim`: a pool ignores a strategy hook that panics, but a simulation must not report results for a
/// strategy that does.
pub fn take_panicked() -> bool {
    PANICKED.take()
}

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f`, which is user code whose panic must not reach the caller. Returns the result of `f`, or `None` if it
/// panicked.
#[inline]
pub fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).inspect_err(|_| PANICKED.set(true)).ok()
}

/// Returns whether user code inside [`guarded`] has panicked on this thread since the last call of this function.
///
/// `equipoise-sim` needs it: a pool ignores a strategy's hook that panics, but a simulation must not report results for
/// a strategy whose hooks panic.
pub fn take_panicked() -> bool {
    PANICKED.take()
}

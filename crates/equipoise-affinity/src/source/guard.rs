use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the user's code in the middle of a request that must not be harmed by it: `None` if it panicked.
pub(crate) fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

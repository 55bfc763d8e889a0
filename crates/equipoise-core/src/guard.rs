use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the user's code where its panic must reach neither requests nor the pool: `None` if it panicked.
#[inline]
pub(crate) fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

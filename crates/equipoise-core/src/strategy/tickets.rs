use std::fmt;

use crate::sync::{AtomicU64, Ordering};

/// A shared counter that gives each pick a number of its own, on a cache line of its own.
///
/// Take a ticket through [`PickCx::ticket`](crate::PickCx::ticket), once per pick: a picker that takes another
/// whenever it must skip an endpoint lets two threads starve each other.
#[repr(align(128))]
#[derive(Default)]
pub struct Tickets(AtomicU64);

impl Tickets {
    /// A counter whose first ticket is 0.
    pub fn new() -> Self {
        Self::starting_at(0)
    }

    /// A counter whose first ticket is `first`.
    pub fn starting_at(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// The next ticket that will be handed out.
    pub fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tickets").field(&self.peek()).finish()
    }
}

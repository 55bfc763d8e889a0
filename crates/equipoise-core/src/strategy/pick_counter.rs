use std::fmt;

use crate::sync::{AtomicU64, Ordering};

/// A counter for pickers that take turns. All threads share it. Successive picks get successive numbers. It has its own
/// cache line.
///
/// Call [`PickCx::next_number`](crate::PickCx::next_number) once per pick. If the endpoint of this number is not
/// usable, the picker must try other endpoints without another number. Otherwise another thread could take each number
/// that belongs to a usable endpoint, and the picker would find none.
#[repr(align(128))]
#[derive(Default)]
pub struct PickCounter(AtomicU64);

impl PickCounter {
    /// Creates a counter that gives the number 0 to the first pick.
    pub fn new() -> Self {
        Self::starting_at(0)
    }

    /// Creates a counter that gives the number `first` to the first pick.
    pub fn starting_at(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// Returns the number that the next pick will get. The counter does not advance.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for PickCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PickCounter").field(&self.value()).finish()
    }
}

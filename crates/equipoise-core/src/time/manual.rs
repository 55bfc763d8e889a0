use std::time::Duration;

use super::{Clock, Timestamp, saturating_nanos};
use crate::sync::{AtomicU64, Ordering};

/// A clock that stands still until it is told to move: for tests and simulations.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use equipoise_core::{Clock, ManualClock, Timestamp};
///
/// let clock = Arc::new(ManualClock::new());
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now(), Timestamp::from_nanos(5_000_000));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock at [`Timestamp::ZERO`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(saturating_nanos(by), Ordering::Relaxed);
    }

    /// Sets the clock, also backwards: to see what code does when a clock jumps.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

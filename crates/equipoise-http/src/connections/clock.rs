//! A clock that is cheap to read.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Milliseconds since an upstream was created, as of the last sweep of its connections. Connections that come and go
/// with each request read this clock instead of the system's.
pub(super) struct CoarseClock {
    start: Instant,
    now: AtomicU64,
}

impl CoarseClock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), now: AtomicU64::new(0) }
    }

    /// Returns the time of the last [`tick`](Self::tick).
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Reads the system's clock, and returns the time.
    pub(super) fn tick(&self) -> u64 {
        let now = millis(self.start.elapsed());
        self.now.store(now, Ordering::Relaxed);
        now
    }
}

/// Returns a duration in milliseconds; the maximum if it is too long.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

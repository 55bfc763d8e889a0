use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::Clock;

#[cfg(doc)]
use super::SessionTable;

/// The maximum capacity: 2³⁰ sessions, which take about 100 GB.
pub(super) const MAX_CAPACITY: usize = 1 << 30;

/// Settings from which a [`SessionTable`] is created. [`SessionTable::builder`] returns it with default settings.
///
/// ```
/// use std::time::Duration;
/// use equipoise_affinity::table::SessionTable;
///
/// let table = SessionTable::builder()
///     .capacity(1_000_000)
///     .idle_timeout(Duration::from_secs(3_600))
///     .lifetime(Duration::from_secs(86_400))
///     .build()?;
/// # Ok::<(), equipoise_affinity::table::InvalidSessionTable>(())
/// ```
#[must_use = "a builder does nothing until it builds"]
#[derive(Clone)]
pub struct SessionTableBuilder {
    pub(super) capacity: usize,
    pub(super) idle: Option<Duration>,
    pub(super) lifetime: Option<Duration>,
    pub(super) clock: Option<Arc<dyn Clock>>,
}

impl SessionTableBuilder {
    pub(super) fn new() -> Self {
        Self { capacity: 100_000, idle: Some(Duration::from_secs(30 * 60)), lifetime: None, clock: None }
    }

    /// Sets the maximum number of sessions in the table. Range: 1 to 2³⁰. Default: 100,000. Each session takes about
    /// 110 bytes, which are allocated when the session is added.
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// Sets how long a session lasts after its last use. [`None`] means no limit. Range: above zero; rounded up to a
    /// multiple of 100 ms. Default: 30 minutes.
    pub fn idle_timeout(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.idle = idle.into();
        self
    }

    /// Sets how long a session lasts after it was first bound to an endpoint, even if the session is in use. [`None`]
    /// means no limit. Range: above zero; rounded up to a multiple of 100 ms. Default: [`None`].
    pub fn lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.lifetime = lifetime.into();
        self
    }

    /// Sets the clock that measures idle timeouts and lifetimes. Default: a new
    /// [`SystemClock`](equipoise_core::SystemClock).
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Checks that the capacity, the idle timeout and the lifetime are in their ranges.
    pub(super) fn validate(&self) -> Result<(), InvalidSessionTable> {
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return Err(InvalidSessionTable::Capacity { sessions: self.capacity });
        }
        for (what, time) in [("idle_timeout", self.idle), ("lifetime", self.lifetime)] {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(InvalidSessionTable::Zero { what });
            }
        }
        Ok(())
    }
}

impl Default for SessionTableBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SessionTableBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTableBuilder")
            .field("capacity", &self.capacity)
            .field("idle", &self.idle)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Why the settings of a [`SessionTable`] are invalid. Returned by [`SessionTableBuilder::build`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionTable {
    /// The maximum number of sessions is 0 or more than 2³⁰.
    #[error("capacity cannot be {sessions}: use 1 to {MAX_CAPACITY} sessions")]
    Capacity {
        /// The maximum number of sessions that was set.
        sessions: usize,
    },
    /// The idle timeout or the lifetime is zero, so that every session would end at once.
    #[error("{what} cannot be 0: use a longer time, or None for no limit")]
    Zero {
        /// The name of the setting that is zero: `idle_timeout` or `lifetime`.
        what: &'static str,
    },
}

use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::{Clock, SystemClock};

use super::SessionTable;

/// The most sessions a table can be asked to hold: 2³⁰, some 100 GB.
pub(super) const MOST: usize = 1 << 30;

/// Settings of a [`SessionTable`].
///
/// ```
/// use std::time::Duration;
/// use equipoise_affinity::table::SessionTable;
///
/// let table = SessionTable::builder()
///     .capacity(1_000_000)
///     .idle(Duration::from_secs(3_600))
///     .lifetime(Duration::from_secs(86_400))
///     .build()?;
/// # Ok::<(), equipoise_affinity::table::TableError>(())
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

    /// How many sessions the table holds at most; 100 000 by default. Some 110 bytes each, taken as sessions come.
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// How long a session lasts without being used; 30 minutes by default, [`None`] for as long as there is room.
    pub fn idle(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.idle = idle.into();
        self
    }

    /// How long a session lasts at most, used or not, from when it was bound to its endpoint; forever by default.
    pub fn lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.lifetime = lifetime.into();
        self
    }

    /// Where the table gets the time from; a [`SystemClock`] by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The table.
    ///
    /// # Errors
    ///
    /// When the capacity or a duration is out of range.
    pub fn build(self) -> Result<SessionTable, TableError> {
        if !(1..=MOST).contains(&self.capacity) {
            return Err(TableError::Capacity { sessions: self.capacity });
        }
        for (what, span) in [("idle", self.idle), ("lifetime", self.lifetime)] {
            if span.is_some_and(|span| span.is_zero()) {
                return Err(TableError::Zero { what });
            }
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        Ok(SessionTable::with(self.capacity, clock, self.idle, self.lifetime))
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

/// Why settings make no [`SessionTable`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It would hold nothing, or more than a table can.
    #[error("a session table holds 1 to {MOST} sessions, not {sessions}")]
    Capacity {
        /// How many it was to hold.
        sessions: usize,
    },
    /// Sessions would end as they begin.
    #[error("{what} has to be longer than zero (None: sessions do not expire by it)")]
    Zero {
        /// The setting.
        what: &'static str,
    },
}

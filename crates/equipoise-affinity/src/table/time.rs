use std::{sync::Arc, time::Duration};

use equipoise_core::{Clock, Timestamp};

/// What time is counted in here: small enough for sessions, and 32 bits of it are 13 years. (Then time stands still.)
const TICK: Duration = Duration::from_millis(100);

/// What never happens.
pub(super) const NEVER: u32 = u32::MAX;

/// The table's time, in ticks since it was made.
pub(super) struct Time {
    clock: Arc<dyn Clock>,
    birth: Timestamp,
    idle: u32,
    lifetime: u32,
}

/// The present, and what expiry is measured against, in ticks.
#[derive(Clone, Copy, Default)]
pub(super) struct Moment {
    pub(super) now: u32,
    pub(super) idle: u32,
    pub(super) lifetime: u32,
}

impl Time {
    pub(super) fn new(clock: Arc<dyn Clock>, idle: Option<Duration>, lifetime: Option<Duration>) -> Self {
        let birth = clock.now();
        let ticks = |span: Option<Duration>| {
            span.map_or(NEVER, |span| u32::try_from(span.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(NEVER))
        };
        Self { clock, birth, idle: ticks(idle), lifetime: ticks(lifetime) }
    }

    #[inline]
    pub(super) fn moment(&self) -> Moment {
        let ticks = self.clock.now().as_nanos().saturating_sub(self.birth.as_nanos()) / TICK.as_nanos() as u64;
        Moment { now: u32::try_from(ticks).unwrap_or(NEVER), idle: self.idle, lifetime: self.lifetime }
    }
}

impl Moment {
    /// Whether a session that was used and born then has expired.
    #[inline]
    pub(super) fn is_past(&self, used: u32, born: u32) -> bool {
        self.now.saturating_sub(used) > self.idle || self.now.saturating_sub(born) > self.lifetime
    }

    /// The last tick of a session that was used and born then.
    #[inline]
    pub(super) fn end(&self, used: u32, born: u32) -> u32 {
        used.saturating_add(self.idle).min(born.saturating_add(self.lifetime))
    }

    /// How long it is since tick `then`.
    pub(super) fn since(&self, then: u32) -> Duration {
        TICK.saturating_mul(self.now.saturating_sub(then))
    }

    /// How long an entry has left that was used and born then; none if it stays forever.
    pub(super) fn left(&self, used: u32, born: u32) -> Option<Duration> {
        [(self.idle, used), (self.lifetime, born)]
            .into_iter()
            .filter(|&(most, _)| most != NEVER)
            .map(|(most, then)| TICK.saturating_mul(most.saturating_sub(self.now.saturating_sub(then))))
            .min()
    }
}

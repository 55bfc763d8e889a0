use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use equipoise_core::{Clock, EndpointId, Timestamp};

use super::members::Member;

/// The endpoint of a session, and the ticks of its first binding and its last use. The ticks are atomic because lookups
/// and sweeps change them too.
pub(super) struct Entry {
    member: Arc<Member>,
    born: AtomicU32,
    used: AtomicU32,
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was not used for the idle timeout, or is older than the lifetime.
    Expired,
    /// Its endpoint has left the pool.
    Void,
}

impl Entry {
    pub(super) fn new(member: Arc<Member>, at: &Moment) -> Self {
        Self { member, born: at.now.into(), used: at.now.into() }
    }

    /// The same session at another endpoint: with the same age, and in use at `at`.
    pub(super) fn moved(&self, member: Arc<Member>, at: &Moment) -> Self {
        Self { member, born: self.born().min(at.now).into(), used: at.now.into() }
    }

    pub(super) fn endpoint(&self) -> &EndpointId {
        self.member.id()
    }

    pub(super) fn born(&self) -> u32 {
        self.born.load(Relaxed)
    }

    pub(super) fn used(&self) -> u32 {
        self.used.load(Relaxed)
    }

    /// Returns why the session has ended; `None` if it has not.
    #[inline]
    pub(super) fn ended(&self, at: &Moment) -> Option<Ended> {
        if at.is_past(self.used(), self.born()) {
            return Some(Ended::Expired);
        }
        self.member.is_gone().then_some(Ended::Void)
    }

    #[inline]
    pub(super) fn touch(&self, at: &Moment) {
        self.used.store(at.now, Relaxed);
        self.born.fetch_min(at.now, Relaxed);
    }

    /// Lowers times in the future to now. If a clock jumps ahead and back, sessions must still expire.
    pub(super) fn catch_up(&self, at: &Moment) {
        self.used.fetch_min(at.now, Relaxed);
        self.born.fetch_min(at.now, Relaxed);
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        Self { member: Arc::clone(&self.member), born: self.born().into(), used: self.used().into() }
    }
}

/// The unit of time. 32 bits are enough for 13 years. After that, the table's time no longer advances.
const TICK: Duration = Duration::from_millis(100);

/// A tick that is never reached. As an idle timeout or a lifetime, it means no limit.
pub(super) const NEVER: u32 = u32::MAX;

/// The time of a table, in ticks since the table was created.
pub(super) struct Time {
    clock: Arc<dyn Clock>,
    birth: Timestamp,
    idle: u32,
    lifetime: u32,
}

/// The current tick, and the idle timeout and the lifetime in ticks.
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
    /// Whether a session that was last used at tick `used` and first bound at tick `born` has expired.
    #[inline]
    pub(super) fn is_past(&self, used: u32, born: u32) -> bool {
        self.now.saturating_sub(used) > self.idle || self.now.saturating_sub(born) > self.lifetime
    }

    /// The last tick before a session that was last used at tick `used` and first bound at tick `born` expires.
    #[inline]
    pub(super) fn end(&self, used: u32, born: u32) -> u32 {
        used.saturating_add(self.idle).min(born.saturating_add(self.lifetime))
    }

    /// Returns the time since tick `then`.
    pub(super) fn since(&self, then: u32) -> Duration {
        TICK.saturating_mul(self.now.saturating_sub(then))
    }

    /// Returns the time until a session that was last used at tick `used` and first bound at tick `born` expires.
    /// `None` if it does not expire.
    pub(super) fn left(&self, used: u32, born: u32) -> Option<Duration> {
        [(self.idle, used), (self.lifetime, born)]
            .into_iter()
            .filter(|&(most, _)| most != NEVER)
            .map(|(most, then)| TICK.saturating_mul(most.saturating_sub(self.now.saturating_sub(then))))
            .min()
    }
}

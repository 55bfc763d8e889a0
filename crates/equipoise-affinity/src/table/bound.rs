use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use equipoise_core::EndpointId;

use super::{members::Member, time::Moment};

/// Whom a session is bound to, and since when. Times are in ticks; atomic because they are also set right where a
/// session is only looked at.
pub(super) struct Bound {
    member: Arc<Member>,
    born: AtomicU32,
    used: AtomicU32,
}

/// Why a session counts no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was not used for too long, or is too old.
    Expired,
    /// Its endpoint has left.
    Void,
}

impl Bound {
    pub(super) fn new(member: Arc<Member>, at: &Moment) -> Self {
        Self { member, born: at.now.into(), used: at.now.into() }
    }

    /// The same session at another endpoint: as old as it was, and in use.
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

    /// Whether and why it counts no longer.
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

    /// A clock that has jumped ahead and back must not leave sessions from the future, which would never expire.
    pub(super) fn catch_up(&self, at: &Moment) {
        self.used.fetch_min(at.now, Relaxed);
        self.born.fetch_min(at.now, Relaxed);
    }
}

impl Clone for Bound {
    fn clone(&self) -> Self {
        Self { member: Arc::clone(&self.member), born: self.born().into(), used: self.used().into() }
    }
}

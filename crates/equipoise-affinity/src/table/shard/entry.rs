use std::sync::Arc;

use super::{StoredKey, queue::NONE};
use crate::table::{members::Member, time::Moment};

/// How many uses an entry is credited with: as many turns of its queue it stays without another.
const MOST_USES: u8 = 3;

/// One session, in one cache line.
#[repr(align(64))]
pub(super) struct Entry {
    pub(super) key: StoredKey,
    /// How often it was used since it was looked at for eviction, up to [`MOST_USES`].
    pub(super) uses: u8,
    /// Whether it has been used since it came, and so stands in the main queue.
    pub(super) proven: bool,
    /// What the index knows it by.
    pub(super) hash: u32,
    /// In ticks.
    pub(super) born: u32,
    /// In ticks.
    pub(super) used: u32,
    /// The neighbours in its queue; if it is free, `older` is the next free one.
    pub(super) newer: u32,
    pub(super) older: u32,
    /// None: a free place.
    pub(super) member: Option<Arc<Member>>,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// Why an entry counts no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was not used for too long, or is too old.
    Expired,
    /// Its endpoint has left.
    Void,
}

impl Entry {
    pub(super) fn new(key: StoredKey, hash: u32, member: Arc<Member>, now: u32) -> Self {
        let (newer, older) = (NONE, NONE);
        Self { key, uses: 0, proven: false, hash, born: now, used: now, newer, older, member: Some(member) }
    }

    /// Whether and why it counts no longer. A free place is not for asking.
    #[inline]
    pub(super) fn ended(&self, at: &Moment) -> Option<Ended> {
        let expired = at.now.saturating_sub(self.used) > at.idle || at.now.saturating_sub(self.born) > at.lifetime;
        match &self.member {
            _ if expired => Some(Ended::Expired),
            Some(member) if member.is_gone() => Some(Ended::Void),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn touch(&mut self, at: &Moment) {
        self.uses = (self.uses + 1).min(MOST_USES);
        self.used = at.now;
        self.born = self.born.min(at.now);
    }

    /// A clock that has jumped ahead and back must not leave entries from the future, which would never expire.
    pub(super) fn catch_up(&mut self, at: &Moment) {
        self.used = self.used.min(at.now);
        self.born = self.born.min(at.now);
    }
}

use std::{
    fmt,
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use super::super::{Generation, Key, Tag, key::hash_text};

/// The generations in which keys, URLs and tags were purged last.
///
/// The table has a fixed size and is indexed by hashes. Two labels with the same place refuse more than they have to: a
/// response that was requested before one of them was purged is not stored. Nothing that was stored is lost by that.
pub(super) struct Purged {
    current: AtomicU64,
    all: AtomicU64,
    table: Box<[AtomicU64]>,
}

/// 128 KiB. With 1 000 purges in a second, 6 % of the responses that take a second are refused without need.
const PLACES: usize = 16 * 1024;

impl Default for Purged {
    fn default() -> Self {
        Self {
            current: AtomicU64::new(0),
            all: AtomicU64::new(0),
            table: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Purged {
    pub(super) fn generation(&self) -> Generation {
        Generation(self.current.load(Acquire))
    }

    /// Notes that a key was purged, after it was removed.
    pub(super) fn key(&self, key: &Key) {
        self.note(self.place(key.hash()));
    }

    /// Notes that a URL was purged, after its keys were removed.
    pub(super) fn url(&self, url: &str) {
        self.note(self.place(hash_text(url)));
    }

    /// Notes that a tag was purged, after its keys were removed.
    pub(super) fn tag(&self, tag: &Tag) {
        self.note(self.place(hash_text(tag.as_str())));
    }

    /// Notes that many keys were purged, after they were removed.
    pub(super) fn all(&self) {
        self.note(&self.all);
    }

    /// Returns whether a key, its URL or one of the tags was purged after the generation.
    pub(super) fn is_purged(&self, key: &Key, tags: &[Tag], since: Generation) -> bool {
        let later = |place: &AtomicU64| place.load(Relaxed) > since.0;
        later(&self.all)
            || later(self.place(key.hash()))
            || later(self.place(hash_text(key.url())))
            || tags.iter().any(|tag| later(self.place(hash_text(tag.as_str()))))
    }

    fn place(&self, hash: u64) -> &AtomicU64 {
        &self.table[hash as usize % self.table.len()]
    }

    fn note(&self, place: &AtomicU64) {
        // The place is read under the lock of the key, or the lock of all, that is held here. So only the generation has
        // to order anything: a lookup that sees it sees the removal too.
        let generation = self.current.fetch_add(1, AcqRel) + 1;
        place.fetch_max(generation, Release);
    }
}

impl fmt::Debug for Purged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purged").field("generation", &self.current).finish_non_exhaustive()
    }
}

use crate::sync::{AtomicU64, Ordering, ordered};

/// A set of positions that finds the first member at or after a position in O(log₆₄ n) time. It consists of levels of
/// 64-bit words. A bit of a higher level says that a word of the level below is not empty.
///
/// The set is lock-free. After a thread has cleared a bit, it checks whether this was right, and sets the bit again if
/// not. While no call is running, the bit of every word that is not empty is therefore set. The bit of an empty word
/// may be set too. This costs a needless read, and the reader clears the bit.
pub(super) struct AtomicBitSet {
    levels: Box<[Box<[AtomicU64]>]>,
}

const BITS: usize = u64::BITS as usize;

impl AtomicBitSet {
    /// Creates the set of all positions below `n`.
    pub(super) fn full(n: usize) -> Self {
        let mut levels = Vec::new();
        let mut n = n;
        loop {
            let word = |at: usize| AtomicU64::new(u64::MAX >> BITS.saturating_sub(n - at * BITS).min(BITS - 1));
            let words = n.div_ceil(BITS);
            levels.push((0..words).map(word).collect());
            if words <= 1 {
                return Self { levels: levels.into() };
            }
            n = words;
        }
    }

    /// Returns the first member at or after `from`.
    #[inline]
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        self.next_at(0, from)
    }

    fn next_at(&self, level: usize, from: usize) -> Option<usize> {
        let words = self.levels.get(level)?;
        let mut word = from / BITS;
        let mut left = words.get(word)?.load(Ordering::SeqCst) & (u64::MAX << (from % BITS));
        while left == 0 {
            word = self.next_at(level + 1, word + 1)?;
            left = words.get(word)?.load(Ordering::SeqCst);
            if left == 0 {
                self.remove_at(level + 1, word, || words[word].load(Ordering::SeqCst) == 0);
            }
        }
        Some(word * BITS + left.trailing_zeros() as usize)
    }

    #[inline]
    pub(super) fn insert(&self, at: usize) {
        self.insert_at(0, at);
    }

    fn insert_at(&self, level: usize, at: usize) {
        let Some(word) = self.levels.get(level).and_then(|words| words.get(at / BITS)) else { return };
        let bit = 1 << (at % BITS);
        ordered();
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
        // Also if the bit was set: the thread that set it may not have reached the word above yet.
        self.insert_at(level + 1, at / BITS);
    }

    /// Removes a position, and inserts it again if `right` returns false afterwards.
    pub(super) fn remove(&self, at: usize, right: impl Fn() -> bool) {
        self.remove_at(0, at, right);
    }

    fn remove_at(&self, level: usize, at: usize, right: impl Fn() -> bool) {
        let Some(word) = self.levels.get(level).and_then(|words| words.get(at / BITS)) else { return };
        let bit = 1 << (at % BITS);
        word.fetch_and(!bit, Ordering::SeqCst);
        ordered();
        if !right() {
            self.insert_at(level, at);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn members(set: &AtomicBitSet) -> Vec<usize> {
        std::iter::successors(set.next(0), |&at| set.next(at + 1)).collect()
    }

    #[test]
    fn all_positions_are_members_at_first() {
        for n in [0, 1, 63, 64, 65, 4096, 4097, 10_000] {
            assert_eq!(members(&AtomicBitSet::full(n)), (0..n).collect::<Vec<_>>(), "{n}");
        }
    }

    #[test]
    fn a_removed_position_is_skipped_until_it_is_put_back() {
        let set = AtomicBitSet::full(5000);
        (0..5000).filter(|at| at % 777 != 0).for_each(|at| set.remove(at, || true));
        assert_eq!(members(&set), [0, 777, 1554, 2331, 3108, 3885, 4662]);
        members(&set).into_iter().for_each(|at| set.remove(at, || true));
        assert_eq!(set.next(0), None);
        set.insert(4321);
        assert_eq!(members(&set), [4321]);
    }

    #[test]
    fn a_removal_that_is_no_longer_right_is_undone() {
        let set = AtomicBitSet::full(200);
        set.remove(7, || false);
        assert_eq!(members(&set).len(), 200);
    }
}

use crate::sync::{AtomicU64, Ordering, ordered};

/// A set of positions that finds the first member at or after a position in O(log₆₄ n). It has levels of bit words: a
/// bit of a higher level says that a word of the level below is not empty.
///
/// Lock-free. After it has cleared a bit, a thread checks whether that was right, and sets the bit again if not. So
/// while no call is running, a bit above a word that is not empty is set. A bit above an empty word costs a wasted
/// read, which clears it.
pub(super) struct Vacancies {
    levels: Box<[Box<[AtomicU64]>]>,
}

const BITS: usize = u64::BITS as usize;

impl Vacancies {
    /// All positions below `n`.
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

    /// The first member at or after `from`.
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
                self.take_out_at(level + 1, word, || words[word].load(Ordering::SeqCst) == 0);
            }
        }
        Some(word * BITS + left.trailing_zeros() as usize)
    }

    #[inline]
    pub(super) fn put_in(&self, at: usize) {
        self.put_in_at(0, at);
    }

    fn put_in_at(&self, level: usize, at: usize) {
        let Some(word) = self.levels.get(level).and_then(|words| words.get(at / BITS)) else { return };
        let bit = 1 << (at % BITS);
        ordered();
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
        // Also if the bit was set: the thread that set it may not have reached the word above yet.
        self.put_in_at(level + 1, at / BITS);
    }

    /// Takes a position out, and puts it back in if `right` is not true afterwards.
    pub(super) fn take_out(&self, at: usize, right: impl Fn() -> bool) {
        self.take_out_at(0, at, right);
    }

    fn take_out_at(&self, level: usize, at: usize, right: impl Fn() -> bool) {
        let Some(word) = self.levels.get(level).and_then(|words| words.get(at / BITS)) else { return };
        let bit = 1 << (at % BITS);
        word.fetch_and(!bit, Ordering::SeqCst);
        ordered();
        if !right() {
            self.put_in_at(level, at);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn members(vacancies: &Vacancies) -> Vec<usize> {
        std::iter::successors(vacancies.next(0), |&at| vacancies.next(at + 1)).collect()
    }

    #[test]
    fn all_positions_are_members_at_first() {
        for n in [0, 1, 63, 64, 65, 4096, 4097, 10_000] {
            assert_eq!(members(&Vacancies::full(n)), (0..n).collect::<Vec<_>>(), "{n}");
        }
    }

    #[test]
    fn a_removed_position_is_skipped_until_it_is_put_back() {
        let vacancies = Vacancies::full(5000);
        (0..5000).filter(|at| at % 777 != 0).for_each(|at| vacancies.take_out(at, || true));
        assert_eq!(members(&vacancies), [0, 777, 1554, 2331, 3108, 3885, 4662]);
        members(&vacancies).into_iter().for_each(|at| vacancies.take_out(at, || true));
        assert_eq!(vacancies.next(0), None);
        vacancies.put_in(4321);
        assert_eq!(members(&vacancies), [4321]);
    }

    #[test]
    fn a_removal_that_is_no_longer_right_is_undone() {
        let vacancies = Vacancies::full(200);
        vacancies.take_out(7, || false);
        assert_eq!(members(&vacancies).len(), 200);
    }
}

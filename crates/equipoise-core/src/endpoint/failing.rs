use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    verdict::Verdict,
};

/// The failing mark of an endpoint. A failed request sets it. [`SUCCESSES`] successes after the last failure remove it.
///
/// To a strategy that compares requests in flight or latencies, an endpoint that fails within a millisecond looks idle
/// or fast. While an endpoint is marked, [`PickCx::usable`](crate::PickCx::usable) lets it have no more picks than its
/// share by weight.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    /// The number of successes that are still needed to remove the mark. 0: the endpoint is not marked.
    left: AtomicU32,
    /// The number of the last pick of this endpoint. A tier counts its picks while any endpoint is marked.
    picked_at: AtomicU64,
}

/// The number of successes that remove the mark.
///
/// With 1, a single success would remove the mark from an endpoint that mostly fails. With more than 3, endpoints that
/// rarely fail would stay marked for long: with 3, an endpoint that fails 1 % of its requests is marked for 3 % of
/// them.
const SUCCESSES: u32 = 3;

/// How a verdict has changed the failing mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Set,
    Removed,
}

impl Failing {
    /// Updates the mark after a verdict. Returns whether the verdict has set or removed the mark.
    #[inline]
    pub(crate) fn judge(&self, verdict: Verdict) -> Option<Mark> {
        if verdict.is_failure() {
            return (self.left.swap(SUCCESSES, Ordering::Relaxed) == 0).then_some(Mark::Set);
        }
        // Checked first, to avoid writes for healthy endpoints.
        if verdict != Verdict::Success || !self.is_marked() {
            return None;
        }
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        (before == Ok(1)).then_some(Mark::Removed)
    }

    /// Returns whether the endpoint is marked as failing.
    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.left.load(Ordering::Relaxed) != 0
    }

    /// Returns whether the endpoint is marked and was last picked less than `turns` picks before pick number `turn`.
    pub(crate) fn has_had_its_share(&self, turn: u64, turns: u64) -> bool {
        self.is_marked() && turn.wrapping_sub(self.picked_at.load(Ordering::Relaxed)) < turns
    }

    /// Stores that pick number `turn` has chosen this endpoint.
    pub(crate) fn picked(&self, turn: u64) {
        if self.is_marked() {
            self.picked_at.store(turn, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::verdict::Failure;

    const FAILURE: Verdict = Verdict::Failure(Failure::Server);

    #[test]
    fn three_successes_after_the_last_failure_remove_the_mark() {
        let failing = Failing::default();
        assert_eq!(failing.judge(Verdict::Success), None);
        assert_eq!(failing.judge(FAILURE), Some(Mark::Set));
        for verdict in [Verdict::Success, Verdict::Success, Verdict::Overloaded { retry_after: None }, Verdict::Neutral]
        {
            assert_eq!(failing.judge(verdict), None);
        }
        assert_eq!([(); 3].map(|()| failing.judge(Verdict::Success)), [None, None, Some(Mark::Removed)]);
        assert!(!failing.is_marked());
    }

    #[test]
    fn a_marked_endpoint_has_had_its_share_until_so_many_turns_have_passed() {
        let failing = Failing::default();
        failing.picked(10);
        assert!(!failing.has_had_its_share(11, 4), "not marked");
        failing.judge(FAILURE);
        failing.picked(10);
        let had = [11, 12, 13, 14].map(|turn| failing.has_had_its_share(turn, 4));
        assert_eq!(had, [true, true, true, false]);
        assert!(!failing.has_had_its_share(9, 4), "the last pick is later: another tier has counted it");
    }
}

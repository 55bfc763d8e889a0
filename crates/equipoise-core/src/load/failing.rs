use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    verdict::Verdict,
};

/// Whether an endpoint's last requests failed, and when it was last picked meanwhile.
///
/// Strategies that compare requests in flight or latencies take an endpoint that fails in a millisecond for an idle or a
/// fast one. While it is marked here, it is [usable](crate::PickCx::usable) for them no more often than its weight says.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    /// How many successes take the mark off; 0 where there is none.
    left: AtomicU32,
    /// The turn of the last pick, as its tier counts them while any endpoint is marked.
    picked_at: AtomicU64,
}

/// One success in between must not make an endpoint that mostly fails look like one that works. More of them would keep
/// endpoints marked that fail now and then: of an endpoint that fails one request in a hundred, the mark is on for three
/// requests in a hundred.
const SUCCESSES: u32 = 3;

/// What a verdict changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Set,
    Removed,
}

impl Failing {
    /// Takes a verdict into account. Answers whether the mark was set or removed by it.
    #[inline]
    pub(crate) fn judge(&self, verdict: Verdict) -> Option<Mark> {
        if verdict.is_failure() {
            return (self.left.swap(SUCCESSES, Ordering::Relaxed) == 0).then_some(Mark::Set);
        }
        // Looked at first, so that endpoints that work are not written to.
        if verdict != Verdict::Success || !self.is_marked() {
            return None;
        }
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        (before == Ok(1)).then_some(Mark::Removed)
    }

    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.left.load(Ordering::Relaxed) != 0
    }

    /// Whether it is marked, and its last pick is less than `turns` before this one.
    pub(crate) fn has_had_its_share(&self, turn: u64, turns: u64) -> bool {
        self.is_marked() && turn.wrapping_sub(self.picked_at.load(Ordering::Relaxed)) < turns
    }

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
    fn three_successes_after_the_last_failure_take_the_mark_off() {
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
        assert!(!failing.has_had_its_share(9, 4), "counted by another tier, which is further on");
    }
}

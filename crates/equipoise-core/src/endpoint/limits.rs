//! The limits on the requests to one endpoint:
//!
//! - [`Permits`]: with `max_in_flight`, each request in flight holds one permit.
//! - [`Probation`]: an endpoint on probation gets one request at a time, whose result decides whether the endpoint comes
//!   up.
//! - the failing mark: an endpoint whose last requests have failed gets at most its share of the requests.

use std::num::NonZeroU8;

use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    verdict::Verdict,
};

/// The permits of an endpoint with `max_in_flight`: an exact count, changed by compare-and-swap. Endpoints without a
/// limit do not use it.
#[derive(Debug)]
pub(crate) struct Permits {
    /// Lower half: the number of permits in use. Upper half: the number of releases. Both are in one word, so that a
    /// reader that sees a free permit also sees the release that made it free.
    state: AtomicU64,
    limit: AtomicU32,
}

/// One release, in the upper half of the state.
const RELEASE: u64 = 1 << 32;

/// The value of `limit` that means "no limit".
const UNLIMITED: u32 = u32::MAX;

impl Permits {
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { state: AtomicU64::new(0), limit: AtomicU32::new(limit.unwrap_or(UNLIMITED)) }
    }

    pub(crate) fn limit(&self) -> Option<u32> {
        match self.limit.load(Ordering::Relaxed) {
            UNLIMITED => None,
            limit => Some(limit),
        }
    }

    /// Sets the limit for later acquisitions. Permits in use stay valid.
    pub(crate) fn set_limit(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(UNLIMITED), Ordering::Relaxed);
    }

    /// Returns whether [`try_acquire`](Self::try_acquire) would fail now.
    pub(crate) fn exhausted(&self) -> bool {
        self.state.load(Ordering::Relaxed) as u32 >= self.limit.load(Ordering::Relaxed)
    }

    /// Returns the number of releases so far, which wraps around. If it has changed between two calls, a permit was in
    /// use meanwhile.
    pub(crate) fn releases(&self) -> u32 {
        (self.state.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Takes one permit and returns true. Returns false if the number of permits in use has reached the limit. The
    /// limit is never exceeded.
    pub(crate) fn try_acquire(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let taken = |state: u64| ((state as u32) < limit).then_some(state + 1);
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives back a permit that was taken by [`try_acquire`](Self::try_acquire).
    pub(crate) fn release(&self) {
        self.state.fetch_add(RELEASE - 1, Ordering::Relaxed);
    }
}

/// The pass of an endpoint on probation: the right to send the endpoint its single request. One lease at a time holds
/// it, and the verdict of this lease decides the probation. Each probation has a new pass.
///
/// The low byte holds the number of the pass. The lowest bit of the byte says whether the pass is held or used up.
/// Because of the number, a lease of an earlier probation cannot give back the pass of a later one. The number repeats
/// after 128 probations. In the worst case this causes one request too many.
///
/// The pool offers an available pass to a request. The bits above the byte hold the number of offers that have ended
/// without a verdict. The bits above these hold the number of picks that have to pass before the next offer.
#[derive(Debug, Default)]
pub(crate) struct Probation(AtomicU32);

const OUT: u32 = 1;

const BYTE: u32 = 0xff;

/// The lowest bit of the number of offers without a verdict. The number has 4 bits.
const VAIN: u32 = 8;

/// The lowest bit of the number of picks before the next offer.
const WAIT: u32 = 12;

/// The number of picks before the next offer, after the first offer without a verdict. It doubles with each further
/// one.
const FIRST_WAIT: u32 = 8;

/// The maximum number of doublings. After them, the number of picks before the next offer stays at 1024.
const MAX_DOUBLINGS: u32 = 7;

/// The right to the single lease of a probation: the low byte of [`Probation`] while the pass is held. It is one byte
/// so that an [`Admission`] fits into a register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass(NonZeroU8);

impl Probation {
    /// Starts a new probation with a new pass. The previous pass becomes invalid.
    pub(crate) fn renew(&self) {
        let next = |now: u32| Some(((now | OUT) + 1) & BYTE);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Returns whether the pass is held by a lease or used up.
    pub(crate) fn is_out(&self) -> bool {
        self.0.load(Ordering::Relaxed) & OUT != 0
    }

    /// Takes the pass. Returns `None` if it is not available.
    pub(crate) fn try_take(&self) -> Option<Pass> {
        let now = self.0.fetch_or(OUT, Ordering::Relaxed);
        NonZeroU8::new((now | OUT) as u8).filter(|_| now & OUT == 0).map(Pass)
    }

    /// Gives back an unused pass. A pass of an earlier probation is ignored.
    pub(crate) fn give_back(&self, Pass(mine): Pass) {
        let mine = u32::from(mine.get());
        let back = |now: u32| (now & BYTE == mine).then_some(now & !OUT);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }

    /// Returns whether the pass is available and the pool should offer it to the current request.
    pub(crate) fn is_to_be_offered(&self) -> bool {
        let now = self.0.load(Ordering::Relaxed);
        now & OUT == 0 && now >> WAIT == 0
    }

    /// Counts a pick that did not get an offer, if picks have to pass before the next offer.
    pub(crate) fn pass_by(&self) {
        let less = |now: u32| (now & OUT == 0 && now >> WAIT != 0).then(|| now - (1 << WAIT));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Gives back a pass that the pool had offered to a request, which has ended without a verdict. Picks have to pass
    /// before the next offer. A pass of an earlier probation is ignored.
    pub(crate) fn give_back_offered(&self, Pass(mine): Pass) {
        let mine = u32::from(mine.get());
        let back = |now: u32| {
            let vain = (now >> VAIN) & ((1 << (WAIT - VAIN)) - 1);
            let wait = FIRST_WAIT << vain.min(MAX_DOUBLINGS);
            (now & BYTE == mine).then_some(wait << WAIT | (vain + 1).min(MAX_DOUBLINGS) << VAIN | (now & BYTE & !OUT))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }
}

/// What a lease took from its endpoint when it was admitted. It gives this back when it ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Admission {
    /// Whether the lease took a permit, because the endpoint has a limit.
    pub(crate) permit: bool,
    /// The pass, if the endpoint is on probation. In a panic a lease needs no pass. The first lease still takes the
    /// pass, so that its verdict decides the probation.
    pub(crate) pass: Option<Pass>,
    /// Whether the pool offered the pass to the request. Such a request had not asked for this endpoint.
    pub(crate) offered: bool,
}

impl Admission {
    /// Returns whether the lease took a permit or a pass.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.permit || self.pass.is_some()
    }
}

/// The failing mark of an endpoint: set by a failed request, removed by [`SUCCESSES`] successes after the last failure.
///
/// To a strategy that compares requests in flight or latencies, an endpoint that fails within a millisecond looks idle
/// or fast. While an endpoint is marked, it is [usable](crate::PickCx::usable) no more often than its weight says.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    /// How many more successes remove the mark. 0: the endpoint is not marked.
    left: AtomicU32,
    /// The number of the last pick of this endpoint. A tier counts picks while any endpoint is marked.
    picked_at: AtomicU64,
}

/// With 1, a single success would unmark an endpoint that mostly fails. With more than 3, endpoints that rarely fail
/// would stay marked for long: at 3, an endpoint that fails 1 % of its requests is marked for 3 % of them.
const SUCCESSES: u32 = 3;

/// How a verdict changes the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Set,
    Removed,
}

impl Failing {
    /// Updates the mark. Returns whether this verdict has set or removed it.
    #[inline]
    pub(crate) fn judge(&self, verdict: Verdict) -> Option<Mark> {
        if verdict.is_failure() {
            return (self.left.swap(SUCCESSES, Ordering::Relaxed) == 0).then_some(Mark::Set);
        }
        // Checked first, so that healthy endpoints are not written to.
        if verdict != Verdict::Success || !self.is_marked() {
            return None;
        }
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        (before == Ok(1)).then_some(Mark::Removed)
    }

    /// Whether the endpoint is marked as failing.
    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.left.load(Ordering::Relaxed) != 0
    }

    /// Returns whether it is marked and was last picked less than `turns` picks before pick number `turn`.
    pub(crate) fn has_had_its_share(&self, turn: u64, turns: u64) -> bool {
        self.is_marked() && turn.wrapping_sub(self.picked_at.load(Ordering::Relaxed)) < turns
    }

    /// Notes that pick number `turn` chose this endpoint.
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

    #[test]
    fn a_lowered_limit_waits_for_permits_that_are_out() {
        let permits = Permits::new(Some(2));
        assert!(permits.try_acquire() && permits.try_acquire() && !permits.try_acquire());
        permits.set_limit(Some(1));
        permits.release();
        assert!(permits.exhausted() && !permits.try_acquire());
        permits.release();
        assert!(permits.try_acquire());
    }

    #[test]
    fn a_pass_is_taken_once_and_can_be_given_back() {
        let probation = Probation::default();
        let pass = probation.try_take().expect("the pass is available");
        assert!(probation.is_out() && probation.try_take().is_none());
        probation.give_back(pass);
        assert!(!probation.is_out() && probation.try_take().is_some());
    }

    #[test]
    fn each_vain_offer_doubles_the_picks_before_the_next_up_to_1024() {
        let probation = Probation::default();
        for wait in [8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024] {
            assert!(probation.is_to_be_offered());
            let pass = probation.try_take().expect("the pass is available");
            assert!(!probation.is_to_be_offered());
            probation.give_back_offered(pass);
            for _ in 0..wait {
                assert!(!probation.is_to_be_offered() && !probation.is_out());
                probation.pass_by();
            }
        }
    }

    #[test]
    fn a_renewed_pass_is_offered_at_once() {
        let probation = Probation::default();
        let old = probation.try_take().expect("the pass is available");
        probation.renew();
        probation.give_back_offered(old);
        assert!(probation.is_to_be_offered(), "a pass of an earlier probation is void");
        let pass = probation.try_take().expect("the pass is available");
        probation.give_back_offered(pass);
        assert!(!probation.is_to_be_offered());
        probation.renew();
        assert!(probation.is_to_be_offered());
    }

    #[test]
    fn a_pass_of_an_earlier_probation_is_void() {
        let probation = Probation::default();
        let old = probation.try_take().expect("the pass is available");
        probation.renew();
        let new = probation.try_take().expect("it was renewed");
        probation.give_back(old);
        assert!(probation.is_out());
        probation.give_back(new);
        probation.renew();
        assert!(!probation.is_out());
    }

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

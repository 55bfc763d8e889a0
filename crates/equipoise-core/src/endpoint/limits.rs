//! The limits on the requests in flight of one endpoint:
//!
//! - [`Permits`]: with `max_in_flight`, each request in flight holds one permit.
//! - [`Probation`]: an endpoint on probation gets one request at a time, whose result decides whether the endpoint comes
//!   up.

use std::num::NonZeroU8;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

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
/// so that an [`Admission`](super::Admission) fits into a register.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

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
}

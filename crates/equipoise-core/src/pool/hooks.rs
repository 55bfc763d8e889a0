use std::sync::Arc;

use super::{Spill, demands::Demands};
use crate::{
    endpoint::Availability,
    entropy::Entropy,
    strategy::{AnyStrategy, Needs},
    sync::{AtomicU32, AtomicU64, Event, Ordering},
    time::{Clock, Timestamp, saturating_nanos},
};

/// What a pool, its endpoints and through them its leases share: whom to tell, and where time and chance come from.
pub(crate) struct Hooks {
    pub(crate) strategy: AnyStrategy,
    pub(crate) needs: Needs,
    pub(crate) spill: Spill,
    /// The part of fit endpoints below which a tier is used whole.
    pub(crate) panic_below: f64,
    /// Whom those take that join.
    pub(crate) newcomers: Availability,
    pub(crate) demands: Demands,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Option<Arc<dyn Entropy>>,
    /// A new snapshot was published.
    pub(crate) changed: Event,
    /// A lease ended on an endpoint with a limit or on trial, or of a strategy that is asked whom it lets in.
    pub(crate) freed: Event,
    /// The same, for requests that cannot go just anywhere.
    pub(crate) freed_for_some: Event,
    /// Whether such requests have ever waited: most pools never see one.
    pub(crate) some_have_waited: AtomicU64,
    /// How many endpoints are marked as failing: picks look at the marks only where there are any.
    pub(crate) failing: AtomicU32,
    /// When the strategy is to be refreshed next, in nanoseconds.
    pub(crate) refresh_at: AtomicU64,
}

impl Hooks {
    /// A place has become free.
    #[inline]
    pub(crate) fn tell_room(&self) {
        self.freed.wake_one_more();
        // They have an event of their own: one of them that was woken in another's stead would not want the place.
        if self.some_have_waited.load(Ordering::Relaxed) != 0 {
            self.freed_for_some.wake_all_after_fence();
        }
    }

    /// Whether the refresh period is over; says so to one caller only.
    pub(crate) fn refresh_is_due(&self, now: Timestamp) -> bool {
        let Some(period) = self.needs.refresh else { return false };
        let due = self.refresh_at.load(Ordering::Relaxed);
        let period = saturating_nanos(period);
        let next = now.as_nanos().saturating_add(period);
        // Threads do not read the clock two periods apart: it was set back.
        let set_back = due > next.saturating_add(period);
        (now.as_nanos() >= due || set_back)
            && self.refresh_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

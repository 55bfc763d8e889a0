use std::sync::{Arc, Weak};

use super::{
    Shared, Spillover,
    demands::Demands,
    queue::{BUDGET, Mark, Queue},
};
use crate::{
    endpoint::{Availability, Slot},
    entropy::Entropy,
    strategy::{AnyStrategy, Needs},
    sync::{AtomicU32, AtomicU64, Event, Ordering, fence, ordered},
    time::{Clock, Timestamp, saturating_nanos},
};

/// What a pool, its endpoints and through them its leases share: whom to tell, and where time and chance come from.
pub(crate) struct Hooks {
    pub(crate) strategy: AnyStrategy,
    pub(crate) needs: Needs,
    pub(crate) spillover: Spillover,
    /// The part of fit endpoints below which a tier is used whole.
    pub(crate) panic_threshold: f64,
    /// Whom those take that join.
    pub(crate) initial_availability: Availability,
    pub(crate) demands: Demands,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Option<Arc<dyn Entropy>>,
    /// A new snapshot was published.
    pub(crate) changed: Event,
    /// The requests that wait for an endpoint.
    pub(super) queue: Queue,
    /// The pool that these belong to.
    pub(super) pool: Weak<Shared>,
    /// How many endpoints are marked as failing: picks look at the marks only where there are any.
    pub(crate) failing: AtomicU32,
    /// When the strategy is to be refreshed next, in nanoseconds.
    pub(crate) refresh_at: AtomicU64,
}

impl Hooks {
    /// A place at the endpoint in this slot was given back: hands it to the first request that waits for it.
    #[inline]
    pub(crate) fn freed(&self, slot: Slot) {
        fence(Ordering::SeqCst);
        if self.queue.is_waiting(Ordering::Relaxed) {
            self.freed_for_queue(slot);
        }
    }

    /// The same of what an attempt in vain has held for a moment, in which another request may have found the endpoint
    /// full. Attempts for requests that wait are made one after the other, so they need not tell each other.
    #[cold]
    pub(crate) fn gave_up(&self, slot: Slot) {
        fence(Ordering::SeqCst);
        if self.queue.is_waiting(Ordering::Relaxed) && !self.queue.is_worker() {
            self.freed_for_queue(slot);
        }
    }

    /// The endpoint in this slot may be tried again. The queue is served when the change is over.
    pub(super) fn renewed(&self, slot: Slot) {
        fence(Ordering::SeqCst);
        if self.queue.is_waiting(Ordering::Relaxed) {
            self.queue.mark(Mark::Slot(slot));
        }
    }

    #[cold]
    fn freed_for_queue(&self, slot: Slot) {
        self.queue.mark(if self.needs.shared_room { Mark::All } else { Mark::Slot(slot) });
        if let Some(pool) = self.pool.upgrade() {
            pool.serve(BUDGET, None);
        }
    }

    /// Whether requests wait that a pick which took a place has to think of.
    #[inline]
    pub(super) fn has_queue(&self) -> bool {
        if self.needs.shared_room {
            // The pick may have made room, and the strategy has counted it before this.
            ordered();
            self.queue.is_waiting(Ordering::SeqCst)
        } else {
            self.queue.is_waiting(Ordering::Relaxed)
        }
    }

    /// The time of a pick, if the strategy needs it.
    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        if self.needs.clock { self.clock.now() } else { Timestamp::ZERO }
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

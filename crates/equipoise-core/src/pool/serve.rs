//! Serving the queue: hands freed capacity to requests that wait.

use std::{sync::Weak, task::Waker};

use super::{
    admission::UsableBy,
    queue::{BUDGET, Capacity, Kind, NextEntry, Outcome, Recheck, Ticket},
    state::PoolInner,
};
use crate::{
    endpoint::CapacityListener,
    ids::Slot,
    lease::{AnyTarget, Lease},
    request::PickRequest,
};

/// The link from endpoints and leases to the queue of their pool. It does not keep the pool alive.
pub(super) struct QueueLink(pub(super) Weak<PoolInner>);

impl CapacityListener for QueueLink {
    #[cold]
    fn on_freed(&self, slot: Slot) {
        if let Some(pool) = self.0.upgrade() {
            pool.recheck_and_serve(slot);
        }
    }

    fn on_given_back(&self, slot: Slot) {
        // The serving thread makes its picks one after the other: they cannot have found the endpoint full meanwhile.
        if let Some(pool) = self.0.upgrade().filter(|pool| !pool.queue.is_worker()) {
            pool.recheck_and_serve(slot);
        }
    }
}

/// The result of a pick for an entry.
enum Served {
    /// No endpoint admits the request now.
    No,
    /// The entry has its outcome, or has left.
    Done,
    /// The pick found capacity at this endpoint that an entry further ahead may want.
    Overtaking(Slot),
}

impl Capacity {
    /// Returns whether the endpoint still accepts this request, for which a pick of an earlier snapshot took a lease.
    pub(super) fn accepts(&self, request: &PickRequest<'_>) -> bool {
        !matches!(self.usable_by, UsableBy::Forced) || request.is_forced()
    }
}

/// Ends the lease of an outcome that no request gets. The end hands its capacity to the next entry.
pub(super) fn withdraw(outcome: Outcome) {
    if let Ok(lease) = outcome {
        lease.withdraw();
    }
}

/// Wakes tasks when it is dropped, which is after the turn has been given back.
struct WakeLater {
    wakers: Vec<Waker>,
    /// The entry that is being polled. Its task need not be woken.
    polled: Option<Ticket>,
}

impl Drop for WakeLater {
    fn drop(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl PoolInner {
    fn recheck_and_serve(&self, slot: Slot) {
        self.queue.recheck(if self.settings.needs.shared_room { Recheck::All } else { Recheck::Slot(slot) });
        self.serve(BUDGET, None);
    }

    /// Works off the rechecks of the queue: those that this thread adds, and at most `budget` of other threads. Does
    /// nothing if this thread is serving the queue already, further up its stack.
    #[cold]
    pub(super) fn serve(&self, budget: usize, polled: Option<Ticket>) {
        let mut wake = WakeLater { wakers: Vec::new(), polled };
        let Some(_turn) = self.queue.take_turn() else { return };
        let mut left = budget;
        loop {
            let (recheck, own) = self.queue.next_recheck(left > 0);
            let Some(recheck) = recheck else { return };
            left = left.saturating_add(own).saturating_sub(1);
            self.work_off(recheck, &mut wake);
        }
    }

    /// Returns the number of permits that this endpoint has got back, or `None` if it has left.
    fn releases_at(&self, slot: Slot) -> Option<u32> {
        self.snapshot.load().members().get(slot).map(|member| member.endpoint.permits.releases())
    }

    fn work_off(&self, recheck: Recheck, wake: &mut WakeLater) {
        let queue = &self.queue;
        let mut after = 0;
        // Where the search for an eligible endpoint with capacity goes on.
        let mut seen = 0;
        let mut first_seen = None;
        loop {
            let next = match recheck {
                Recheck::Slot(slot) => {
                    let Some(capacity) = self.free_capacity_at(slot) else { return };
                    // Only if all picks saw the same revision, and none was in vain because another pick held a permit for
                    // a moment: that pick has released it since.
                    let seen_now = (capacity.revision, self.releases_at(slot));
                    let settled = *first_seen.get_or_insert(seen_now) == seen_now;
                    queue.next_for(&capacity, after, settled)
                }
                Recheck::Group(group) => queue.head(group),
                Recheck::Pickers => {
                    let full = !self.snapshot.load().has_capacity(&mut seen);
                    // Entries that exclude endpoints are tried even if all are full: they must fail, and not wait, if
                    // all endpoints that are left are excluded.
                    let kinds: &[Kind] = if full { &[Kind::Except] } else { &[Kind::Any, Kind::Except] };
                    queue.next_of(kinds, after)
                }
                Recheck::All => queue.next_of(&[Kind::Any, Kind::Except, Kind::Only], after),
            };
            let Some(next) = next else { return };
            after = next.ticket;
            let at = match recheck {
                Recheck::Slot(slot) => Some(slot),
                _ => None,
            };
            match (self.pick_for(&next, at, wake), recheck) {
                (Served::Overtaking(slot), _) => return queue.recheck_first(slot, recheck),
                (Served::No, Recheck::Group(_)) => return,
                _ => {}
            }
        }
    }

    /// Picks for an entry. `at` is the endpoint for which all entries ahead have been tried.
    fn pick_for(&self, entry: &NextEntry, at: Option<Slot>, wake: &mut WakeLater) -> Served {
        let queue = &self.queue;
        let outcome = self.pick_waiting(&entry.request.as_request());
        match &outcome {
            Err(error) if error.is_temporary() => return Served::No,
            Ok(lease) if at != Some(lease.endpoint().slot()) => {
                let capacity = self.capacity_of(lease);
                // The endpoint has changed since the pick, and does not accept the request any more.
                if !capacity.accepts(&entry.request.as_request()) {
                    withdraw(outcome);
                    return Served::No;
                }
                if queue.is_wanted(&capacity, entry.ticket) {
                    withdraw(outcome);
                    return Served::Overtaking(capacity.slot);
                }
            }
            _ => {}
        }
        let made_room = self.settings.needs.shared_room && outcome.is_ok();
        match queue.deliver(entry.ticket, outcome) {
            Ok(waker) if wake.polled != Some(entry.ticket) => wake.wakers.push(waker),
            Ok(_) => {}
            // The request was given up just now. The end of the lease adds a recheck.
            Err(outcome) => withdraw(outcome),
        }
        if made_room {
            queue.recheck(Recheck::All);
        }
        Served::Done
    }

    /// Returns the capacity at the endpoint in this slot, if it has any. Does not ask the strategy.
    fn free_capacity_at(&self, slot: Slot) -> Option<Capacity> {
        let snapshot = self.snapshot.load();
        let id = snapshot.members().get(slot)?.endpoint.id().clone();
        let usable_by = snapshot.capacity_at(slot)?;
        Some(Capacity { slot, id, usable_by, revision: snapshot.revision() })
    }

    /// Returns the capacity that this lease uses.
    pub(super) fn capacity_of(&self, lease: &Lease<AnyTarget>) -> Capacity {
        let snapshot = self.snapshot.load();
        let (slot, id) = (lease.endpoint().slot(), lease.endpoint().id().clone());
        let is_forced = snapshot.is_on_probation(slot) && !lease.has_pass();
        let usable_by = if is_forced { UsableBy::Forced } else { snapshot.usable_by(slot) };
        Capacity { slot, id, usable_by, revision: snapshot.revision() }
    }
}

//! How the state of a pool changes: a writer builds the next snapshot and publishes it as a whole.

use std::sync::Arc;

use super::{
    departed::Departed,
    difference::difference,
    queue::Recheck,
    state::{PoolInner, Snapshot},
};
use crate::{
    endpoint::Stage,
    ids::Slot,
    strategy::Strategy,
    sync::{MutexGuard, Ordering, fence},
    time::Timestamp,
};

impl PoolInner {
    /// Begins a change of the pool.
    pub(super) fn write(&self) -> Writer<'_> {
        Writer { guard: Some(self.writer.lock()), inner: self }
    }

    /// Refreshes the strategy, and builds new pickers if the strategy asks for them.
    #[cold]
    pub(super) fn refresh(&self, now: Timestamp) {
        if self.settings.strategy.on_refresh(now) {
            // A pick does not wait for the lock. The change that holds the lock builds new pickers anyway.
            let Some(guard) = self.writer.try_lock() else { return };
            let _writer = Writer { guard: Some(guard), inner: self };
            let current = self.snapshot.load_full();
            // An error cannot be reported to a caller. The old pickers stay.
            if let Ok(next) = current.rebuilt(&self.settings) {
                // Only the pickers differ. Nothing of it concerns endpoints or watchers, and a pick waits for this.
                let next = Arc::new(next);
                let last = self.store(&next);
                self.recheck(&last, &next);
            }
        }
    }

    /// Publishes a snapshot with other members, and sets the limits and zones of their endpoints. Endpoints are shared
    /// with older snapshots. This function is therefore called after everything that can fail.
    pub(super) fn publish_members(&self, next: Snapshot) {
        for member in next.members().slots.iter().flatten() {
            member.endpoint.permits.set_limit(member.max_in_flight());
            member.endpoint.set_zone(member.spec.zone_name());
        }
        self.publish(next);
    }

    pub(super) fn publish(&self, next: Snapshot) {
        let next = Arc::new(next);
        let last = self.store(&next);
        set_departures(&last, &next);
        self.watchers.call(|| difference(&last, &next));
        self.recheck(&last, &next);
    }

    /// Makes a snapshot the pool's. Returns the last one.
    fn store(&self, next: &Arc<Snapshot>) -> Arc<Snapshot> {
        let last = self.snapshot.load_full();
        if Arc::ptr_eq(last.members(), next.members()) {
            self.snapshot.store(Arc::clone(next));
        } else {
            let mut now = None;
            let departed = leaving(&last, next).filter_map(|slot| {
                let now = *now.get_or_insert_with(|| self.settings.context.clock.now());
                Departed::of(last.members(), slot, last.availability(slot), now)
            });
            self.departures.add(departed, || self.snapshot.store(Arc::clone(next)));
        }
        self.changed.wake_all();
        last
    }

    /// Lets the queue look again at what has changed.
    fn recheck(&self, last: &Snapshot, next: &Snapshot) {
        fence(Ordering::SeqCst);
        if self.settings.context.is_waiting(Ordering::Relaxed) {
            for slot in next.slots().filter(|&slot| next.differs_at(slot, last)) {
                self.queue.recheck(Recheck::Slot(slot));
            }
            self.queue.recheck(if self.settings.needs.shared_capacity { Recheck::All } else { Recheck::Pickers });
        }
    }
}

/// Tells each endpoint that has changed whether it still serves, is draining, is in maintenance, or has left the pool.
fn set_departures(last: &Snapshot, next: &Snapshot) {
    let same_members = Arc::ptr_eq(last.members(), next.members());
    // A change of availability concerns few endpoints.
    let stays = |slot: &Slot| same_members && last.availability(*slot) == next.availability(*slot);
    for slot in next.slots().filter(|slot| !stays(slot)) {
        if let Some(member) = next.members().get(slot) {
            member.endpoint.departure.set(next.availability(slot).into());
        }
    }
    if same_members {
        return;
    }
    for member in leaving(last, next).filter_map(|slot| last.members().get(slot)) {
        member.endpoint.departure.set(Stage::Removed);
    }
}

/// Returns the slots of the endpoints of `last` that `next` does not have.
fn leaving(last: &Snapshot, next: &Snapshot) -> impl Iterator<Item = Slot> {
    let stays = |slot, endpoint| next.members().get(slot).is_some_and(|member| Arc::ptr_eq(&member.endpoint, endpoint));
    last.slots().filter(move |&slot| last.members().get(slot).is_some_and(|member| !stays(slot, &member.endpoint)))
}

/// The right to change the pool. When it is dropped, it serves the queue with the capacity that the change has freed.
/// This is not done earlier, because serving the queue runs user code, which may change the pool itself.
pub(super) struct Writer<'a> {
    guard: Option<MutexGuard<'a, ()>>,
    inner: &'a PoolInner,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.guard = None;
        if self.inner.settings.context.is_waiting(Ordering::Relaxed) {
            self.inner.serve(usize::MAX, None);
        }
    }
}

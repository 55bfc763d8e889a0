//! The queue of requests that wait for capacity. A pool has one queue. It is first come, first served among the
//! requests that can use the same capacity.
//!
//! # How capacity is handed over
//!
//! An event that may have freed capacity adds a [`Recheck`] to the queue: the end of a lease, a change of the pool, or
//! a new entry. The same thread then takes the [turn](Queue::take_turn) and works off the rechecks
//! (`PoolInner::serve`): for each endpoint with capacity it runs the ordinary pick for the first entry that can use it,
//! and stores the lease in that entry. So capacity goes to exactly one entry, and no task is woken in vain. A pick that
//! fails adds no recheck.
//!
//! # Invariant
//!
//! If no thread has the turn and no recheck is left, no entry can use free capacity. This holds because
//!
//! - a thread that adds a recheck serves the queue afterwards, unless it has the turn already (user code inside a pick
//!   or a drop may come back here);
//! - an entry is counted (`PoolContext::waiting`) before its first pick, and capacity is given back before the count is
//!   read, with a `SeqCst` fence in between on both sides: either the pick finds the capacity, or the release sees the
//!   entry;
//! - entries with equal [`Wants`] form a group, and if the pick fails for the first of a group, it fails for all.
//!
//! # Cost
//!
//! Without entries, a pick that takes scarce capacity costs one more load, and the end of such a lease a fence and a
//! load. With entries, a release costs O(log n) in their number, and one pick. It is linear in the number of *groups*
//! only if the strategy refuses to use free capacity, and in the number of different exclude lists that contain the
//! endpoint. Under a [shared bound](crate::Needs::shared_room), a release costs a pick for each group, because it may have
//! made room at any endpoint. Keys do not add groups there unless the strategy refuses by key.
//!
//! # Locks
//!
//! The lock of the state is held for look-ups only. Picks, drops and wake-ups run user code, outside of that lock. The
//! turn is held while picks run. A thread that comes back here while it has the turn leaves its rechecks to itself. No
//! thread waits for the turn while it holds the writer lock of the pool.

mod entries;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use self::entries::{Entries, Removed};
pub(super) use self::entries::{GroupId, Kind, NextEntry, PickResult, Ticket};
use crate::{
    endpoint::PoolContext,
    ids::{EndpointId, Revision, Slot},
    load::thread_number,
    pool::admission::UsableBy,
    request::{OwnedRequest, Wants},
    sync::{AtomicU64, Mutex, MutexGuard, Ordering, fence},
};

/// The maximum number of rechecks that a thread works off for other threads before it passes the turn on. Each thread
/// adds far fewer, so none are left over.
pub(super) const BUDGET: usize = 64;

pub(super) struct Queue {
    /// Counts the entries that wait, for picks and releases.
    context: Arc<PoolContext>,
    /// Held by the thread that serves the queue.
    turn: Mutex<()>,
    /// The number of that thread plus 1, or 0.
    worker: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Entries,
    rechecks: VecDeque<Recheck>,
    /// How many rechecks the serving thread has added itself. It has to work them off too.
    own: usize,
    /// Endpoints with capacity that no entry can use, as was tried at this revision, after their last recheck.
    settled: HashMap<Slot, Revision>,
    /// How many entries have been served so far.
    served: u64,
}

/// Where an entry may find capacity that was not there before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recheck {
    /// At the endpoint in this slot.
    Slot(Slot),
    /// Anywhere, for this group: it is new, or its first entry has left.
    Group(GroupId),
    /// Wherever the strategy picks, because there are new pickers.
    Pickers,
    /// Anywhere, for all groups.
    All,
}

/// The right to serve the queue. One thread at a time has it, until it is dropped.
pub(super) struct Turn<'a> {
    queue: &'a Queue,
    _guard: MutexGuard<'a, ()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.worker.store(0, Ordering::Relaxed);
    }
}

impl Queue {
    pub(super) fn new(context: Arc<PoolContext>) -> Self {
        Self { context, turn: Mutex::new(()), worker: AtomicU64::new(0), state: Mutex::new(State::default()) }
    }

    /// Returns whether this thread is serving the queue, further up its stack.
    pub(super) fn is_worker(&self) -> bool {
        self.worker.load(Ordering::Relaxed) == thread_number() as u64 + 1
    }

    /// Waits for the turn. Returns `None` if this thread has it already.
    pub(super) fn take_turn(&self) -> Option<Turn<'_>> {
        if self.is_worker() {
            return None;
        }
        let guard = self.turn.lock();
        self.worker.store(thread_number() as u64 + 1, Ordering::Relaxed);
        Some(Turn { queue: self, _guard: guard })
    }

    /// Adds a recheck. The caller serves the queue afterwards.
    pub(super) fn recheck(&self, recheck: Recheck) {
        let own = usize::from(self.is_worker());
        let mut state = self.state.lock();
        state.unsettle(recheck);
        state.own += own;
        // Every recheck of all reads the pool after it was taken from the queue, so one is enough.
        if !matches!((recheck, state.rechecks.back()), (Recheck::All, Some(Recheck::All))) {
            state.rechecks.push_back(recheck);
        }
    }

    /// Adds a request at the end. Returns whether it has to be tried now, because no other entry has equal wants.
    pub(super) fn enter(&self, request: Arc<OwnedRequest>, wants: Wants, waker: Waker) -> (Ticket, bool) {
        let own = usize::from(self.is_worker());
        let mut state = self.state.lock();
        // No pick has been made for the new entry yet.
        state.settled.clear();
        let (ticket, group) = state.entries.insert(request, wants, waker);
        self.context.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(group) = group {
            state.own += own;
            state.rechecks.push_back(Recheck::Group(group));
        }
        (ticket, group.is_some())
    }

    /// Returns the result of an entry. If it is still waiting, `waker` is woken when it is served.
    pub(super) fn poll(&self, ticket: Ticket, waker: &Waker) -> Option<PickResult> {
        let (result, _old) = self.state.lock().entries.poll(ticket, waker);
        result
    }

    /// Removes an entry. Returns its result, if it has been served, and the group whose next entry is to be tried.
    pub(super) fn leave(&self, ticket: Ticket) -> (Option<PickResult>, Option<GroupId>) {
        let removed = {
            let mut state = self.state.lock();
            let removed = state.entries.remove(ticket);
            if removed.waited {
                self.context.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            removed
        };
        let Removed { result, was_head_of, .. } = removed;
        (result, was_head_of)
    }

    /// Returns how many entries have been served so far, if an entry may want this capacity.
    pub(super) fn wants(&self, capacity: &Capacity) -> Option<u64> {
        let state = self.state.lock();
        state.is_wanted(capacity, Ticket::MAX).then_some(state.served)
    }

    /// Returns whether an entry before `before` may want this capacity.
    pub(super) fn is_wanted(&self, capacity: &Capacity, before: Ticket) -> bool {
        self.state.lock().is_wanted(capacity, before)
    }

    /// Returns the first entry after `after` that can use this capacity. `settled`: if there is none, the capacity
    /// counts as tried.
    pub(super) fn next_for(&self, capacity: &Capacity, after: Ticket, settled: bool) -> Option<NextEntry> {
        let mut state = self.state.lock();
        let next = state.entries.next_for(&capacity.id, capacity.usable_by, after);
        if next.is_none() && settled {
            state.settled.insert(capacity.slot, capacity.revision);
        }
        next
    }

    /// Returns the first entry of this group.
    pub(super) fn head(&self, group: GroupId) -> Option<NextEntry> {
        self.state.lock().entries.head(group)
    }

    /// Returns the first entry after `after` that is the first of a group of these kinds.
    pub(super) fn next_of(&self, kinds: &[Kind], after: Ticket) -> Option<NextEntry> {
        self.state.lock().entries.next_of(kinds, after)
    }

    /// Returns how many entries have been served so far.
    pub(super) fn served(&self) -> u64 {
        self.state.lock().served
    }

    /// Takes the next recheck, if it `may` be of another thread. Also returns how many rechecks this thread has added
    /// since the last call.
    pub(super) fn next_recheck(&self, may: bool) -> (Option<Recheck>, usize) {
        let mut state = self.state.lock();
        let own = std::mem::take(&mut state.own);
        let recheck = if may || own > 0 { state.rechecks.pop_front() } else { None };
        drop(state);
        // What is read from here on is at least as new as the recheck.
        fence(Ordering::SeqCst);
        (recheck, own)
    }

    /// Puts back a recheck that was begun, after one of this slot.
    pub(super) fn recheck_first(&self, slot: Slot, begun: Recheck) {
        let mut state = self.state.lock();
        state.unsettle(Recheck::Slot(slot));
        state.rechecks.push_front(begun);
        state.rechecks.push_front(Recheck::Slot(slot));
        state.own += 2;
    }

    /// Serves an entry. Returns the result if the entry has left.
    pub(super) fn deliver(&self, ticket: Ticket, result: PickResult) -> Result<Waker, PickResult> {
        let mut state = self.state.lock();
        let waker = state.entries.deliver(ticket, result)?;
        state.served += 1;
        self.context.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(waker)
    }
}

impl State {
    fn unsettle(&mut self, recheck: Recheck) {
        match recheck {
            Recheck::Slot(slot) => drop(self.settled.remove(&slot)),
            Recheck::Pickers | Recheck::All => self.settled.clear(),
            Recheck::Group(_) => {}
        }
    }

    fn is_wanted(&self, capacity: &Capacity, before: Ticket) -> bool {
        let first = self.entries.next_for(&capacity.id, capacity.usable_by, 0);
        first.is_some_and(|first| first.ticket < before) && self.settled.get(&capacity.slot) != Some(&capacity.revision)
    }
}

/// Capacity at one endpoint, as of one snapshot.
pub(super) struct Capacity {
    pub(super) slot: Slot,
    pub(super) id: EndpointId,
    pub(super) usable_by: UsableBy,
    pub(super) revision: Revision,
}

//! The queue of requests that wait for capacity. A pool has one queue. Of the requests that can use the same capacity,
//! the first to come is served first.
//!
//! # How capacity is given to requests
//!
//! A waiting request is an *entry* of the queue. An entry may find capacity after a lease ends, after the pool changes,
//! and when the entry is new. The thread on which this happens does two things:
//!
//! - It adds a [`Recheck`]: a note which says where entries may find capacity.
//! - It takes the [turn](Queue::take_turn), which is the right to serve the queue, and processes the rechecks
//!   (`PoolInner::serve`).
//!
//! For each endpoint with capacity, the thread makes an ordinary pick for the first entry that can use this endpoint,
//! and stores the lease in that entry. Capacity therefore goes to exactly one entry, and no task is woken without a
//! result. A pick that fails adds no recheck.
//!
//! # Invariant
//!
//! If no thread has the turn and no recheck is left, no entry can use free capacity. This holds for three reasons:
//!
//! - A thread that adds a recheck serves the queue afterwards, unless it has the turn already. It can have the turn
//!   because user code inside a pick or a drop may call the pool.
//! - A waiting request first counts its entry (`PoolContext::waiting`) and then picks. A release first gives back the
//!   capacity and then reads the count. Both have a `SeqCst` fence between the two steps. Therefore either the pick
//!   finds the capacity, or the release sees the entry.
//! - Entries with equal [`Wants`] form a group. If the pick fails for the first entry of a group, it fails for all.
//!
//! # Cost
//!
//! A lease is *scarce* if its end may free capacity for an entry (`Lease::is_scarce`). Without entries, a scarce lease
//! costs one more load at its pick, and a fence and a load at its end. With n entries, a release costs O(log n) time
//! and one pick. In two cases, the time of a release is linear in a number of *groups*: if the strategy refuses
//! requests although capacity is free, or if many groups exclude the endpoint. Under a [shared
//! bound](crate::Needs::shared_capacity), a release costs a pick for each group, because the release may have made room at
//! any endpoint. Keys add no groups there, unless the strategy refuses by key.
//!
//! # Locks
//!
//! The lock of the state is held only to read and change the entries and rechecks. Picks, drops and wake-ups run user
//! code, so they run without this lock. The turn is held while picks run. If user code calls the queue on the thread
//! that has the turn, this call only adds rechecks, and the thread processes them later. No thread waits for the turn
//! while it holds the writer lock of the pool.

mod entries;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use self::entries::{Entries, Removed};
pub(super) use self::entries::{GroupId, Kind, NextEntry, PickResult, Ticket, UsableBy};
use crate::{
    endpoint::PoolContext,
    ids::{EndpointId, Revision, Slot},
    load::thread_number,
    request::{OwnedRequest, Wants},
    sync::{AtomicU64, Mutex, MutexGuard, Ordering, fence},
};

/// The maximum number of rechecks that a thread processes for other threads. It then gives the turn (the right to serve
/// the queue) to another thread. Each thread adds far fewer rechecks, so none are left over.
pub(super) const BUDGET: usize = 64;

/// The queue of waiting requests of one pool.
pub(super) struct Queue {
    /// Has the number of entries that wait. Picks and releases read it.
    context: Arc<PoolContext>,
    /// Locked by the thread that serves the queue.
    turn: Mutex<()>,
    /// The number of the thread that serves the queue, plus 1. 0 if no thread serves it.
    worker: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Entries,
    rechecks: VecDeque<Recheck>,
    /// The number of rechecks that the serving thread has added itself. It has to process these rechecks too.
    own: usize,
    /// The endpoints whose capacity no entry could use, each with the revision of the pool at which this was tried. A
    /// recheck of an endpoint removes the endpoint from this map.
    settled: HashMap<Slot, Revision>,
    /// How many entries have been served so far.
    served: u64,
    /// How many entries there have been so far.
    entered: u64,
}

/// A note that an entry may now find capacity, and where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recheck {
    /// At the endpoint in this slot.
    Slot(Slot),
    /// At any endpoint, for this group only. The group is new, or its first entry has left.
    Group(GroupId),
    /// At any endpoint that the strategy picks, because the strategy has new pickers.
    Pickers,
    /// At any endpoint, for all groups.
    All,
}

/// The right to serve the queue. One thread at a time has it, until this value is dropped.
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

    /// Returns whether this thread is serving the queue: a caller further up its stack has the turn.
    pub(super) fn is_worker(&self) -> bool {
        self.worker.load(Ordering::Relaxed) == thread_number() as u64 + 1
    }

    /// Takes the turn (the right to serve the queue), and waits for it if another thread has it. Returns `None` if this
    /// thread has it already.
    pub(super) fn take_turn(&self) -> Option<Turn<'_>> {
        if self.is_worker() {
            return None;
        }
        let guard = self.turn.lock();
        self.worker.store(thread_number() as u64 + 1, Ordering::Relaxed);
        Some(Turn { queue: self, _guard: guard })
    }

    /// Adds a recheck (a note that entries may find capacity). The caller has to serve the queue afterwards.
    pub(super) fn recheck(&self, recheck: Recheck) {
        let own = usize::from(self.is_worker());
        let mut state = self.state.lock();
        state.unsettle(recheck);
        state.own += own;
        // `Recheck::All` reads the pool after it was taken from the queue. So one is enough.
        if !matches!((recheck, state.rechecks.back()), (Recheck::All, Some(Recheck::All))) {
            state.rechecks.push_back(recheck);
        }
    }

    /// Adds an entry for a request at the end of the queue. Also returns whether the caller has to serve the queue now:
    /// no other entry has equal wants, so no pick has been tried for them.
    pub(super) fn enter(&self, request: Arc<OwnedRequest>, wants: Wants, waker: Waker) -> (Ticket, bool) {
        let own = usize::from(self.is_worker());
        let mut state = self.state.lock();
        // No pick has been tried for the new entry yet, so no capacity counts as tried.
        state.settled.clear();
        let (ticket, group) = state.entries.insert(request, wants, waker);
        self.context.waiting.fetch_add(1, Ordering::SeqCst);
        state.entered += 1;
        if let Some(group) = group {
            state.own += own;
            state.rechecks.push_back(Recheck::Group(group));
        }
        (ticket, group.is_some())
    }

    /// Takes the result of an entry. Returns `None` if the entry still waits; `waker` is then woken when the entry is
    /// served.
    pub(super) fn poll(&self, ticket: Ticket, waker: &Waker) -> Option<PickResult> {
        let (result, _old) = self.state.lock().entries.poll(ticket, waker);
        result
    }

    /// Removes an entry. Returns its result, if it has been served. Also returns its group, if the entry was the first
    /// of the group and others still wait. The next entry of that group is then to be tried.
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

    /// Returns how many entries have been served so far. `None` if no entry can want this capacity.
    pub(super) fn wants(&self, capacity: &Capacity) -> Option<u64> {
        let state = self.state.lock();
        state.is_wanted(capacity, Ticket::MAX).then_some(state.served)
    }

    /// Returns whether an entry before the ticket `before` may want this capacity.
    pub(super) fn is_wanted(&self, capacity: &Capacity, before: Ticket) -> bool {
        self.state.lock().is_wanted(capacity, before)
    }

    /// Returns the first entry after the ticket `after` that can use this capacity. If there is no such entry and
    /// `settled` is true, the capacity counts as tried.
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

    /// Returns the first entry after the ticket `after` that is the first of a group of these kinds.
    pub(super) fn next_of(&self, kinds: &[Kind], after: Ticket) -> Option<NextEntry> {
        self.state.lock().entries.next_of(kinds, after)
    }

    /// Returns how many entries wait, and how many have entered the queue so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.context.waiting.load(Ordering::Relaxed), self.state.lock().entered)
    }

    /// Returns how many entries have been served so far.
    pub(super) fn served(&self) -> u64 {
        self.state.lock().served
    }

    /// Takes the next recheck from the queue. If `may` is false, takes a recheck only if this thread has added rechecks
    /// since the last call. Also returns the number of rechecks that this thread has added since the last call.
    pub(super) fn next_recheck(&self, may: bool) -> (Option<Recheck>, usize) {
        let mut state = self.state.lock();
        let own = std::mem::take(&mut state.own);
        let recheck = if may || own > 0 { state.rechecks.pop_front() } else { None };
        drop(state);
        // After this fence, the thread reads values that are at least as new as the recheck.
        fence(Ordering::SeqCst);
        (recheck, own)
    }

    /// Puts the recheck `begun` back into the queue, because it is not finished, and adds a recheck of `slot` before
    /// it.
    pub(super) fn recheck_first(&self, slot: Slot, begun: Recheck) {
        let mut state = self.state.lock();
        state.unsettle(Recheck::Slot(slot));
        state.rechecks.push_front(begun);
        state.rechecks.push_front(Recheck::Slot(slot));
        state.own += 2;
    }

    /// Serves an entry: stores its result. Returns the waker of its task. If the entry has left, returns the result
    /// instead.
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

/// Free capacity at one endpoint, as read from one snapshot of the pool.
pub(super) struct Capacity {
    pub(super) slot: Slot,
    pub(super) id: EndpointId,
    pub(super) usable_by: UsableBy,
    pub(super) revision: Revision,
}

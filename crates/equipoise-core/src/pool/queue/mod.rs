//! The queue of requests that wait for an endpoint: one per pool, first come, first served among those that can use a
//! place.
//!
//! # How a place is handed over
//!
//! Whatever may have made room leaves a [`Mark`]: the end of a lease, a change of the pool, a new entry. The same thread
//! then takes the [turn](Queue::take_turn) and works the marks off ([`Shared::serve`]): for each place it runs the
//! ordinary pick for the first entry that can use it, and puts the lease into that entry. So a place is given to exactly
//! one entry, and no task is woken for nothing. An attempt in vain leaves no mark.
//!
//! # Invariant
//!
//! When no thread works and no mark is left, no entry can use a free place. It holds because
//!
//! - each thread that leaves a mark works afterwards, unless it works already (foreign code inside a pick or a drop);
//! - an entry is counted ([`Queue::is_waiting`]) before the first attempt for it, and a place is given back before the
//!   count is looked at, with a `SeqCst` fence in between on both sides: so either the attempt finds the place, or the
//!   release sees the entry;
//! - entries that [want](Wants) the same are a group, and what is in vain for the first of it is in vain for all.
//!
//! # What it costs
//!
//! A pool without entries pays a load where a lease counts against a limit, a trial or a strategy, and a fence and a load
//! where such a lease ends. With entries, a release is O(log n) in them and one pick. It is linear in the number of
//! different *groups* only where a strategy refuses to use a place that is there, and in the number of different sets of
//! excluded endpoints that contain the endpoint in question.
//!
//! # Locks
//!
//! The state's lock is held for a look-up only. Picks, drops and wake-ups run foreign code, and run outside of it. The
//! turn is held while picks run; a thread that comes back here from inside leaves its marks to itself. No thread waits for
//! the turn while it holds the pool's writer lock.
//!
//! # Left for later
//!
//! Priorities order [tickets](entries::Ticket). A bound on the queue's length is a check of the count in
//! [`Queue::enter`], with an error of its own. Shedding takes entries out as a dropped future does
//! ([`Queue::leave`]) and delivers an error instead of a lease.

mod entries;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

pub(super) use self::entries::{Candidate, Group, Ticket};
use self::entries::{Entries, Kind, Removed};
use super::{PickError, Revision, Shared};
use crate::{
    endpoint::{EndpointId, Slot},
    lease::{AnyTarget, Lease},
    load::thread_number,
    request::{OwnedRequest, Wants},
    sync::{AtomicU64, Mutex, MutexGuard, Ordering, fence},
};

/// What an entry is served with.
pub(super) type Outcome = Result<Lease<AnyTarget>, PickError>;

/// The most marks that a thread works off for others before it lets the next thread continue. Each thread leaves far
/// fewer, so that nothing is left over.
pub(super) const BUDGET: usize = 64;

pub(crate) struct Queue {
    /// How many entries wait.
    waiting: AtomicU64,
    /// Held by the thread that works the marks off.
    turn: Mutex<()>,
    /// That thread's number and 1, or 0.
    worker: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Entries,
    marks: VecDeque<Mark>,
    /// Marks that the thread which works has left itself: it has to work them off as well.
    own: usize,
    /// Endpoints that have room which no entry can use, as far as was tried since their last mark, under this revision.
    settled: HashMap<Slot, Revision>,
    /// How many entries have been served.
    served: u64,
}

/// Where there may be room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    /// At the endpoint in this slot.
    Slot(Slot),
    /// For this group: it is new, or its first entry has left.
    Group(Group),
    /// Wherever strategies look, since there are new pickers.
    Pickers,
    /// Anywhere.
    All,
}

/// The right to work; given back when dropped.
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
    pub(super) fn new() -> Self {
        Self {
            waiting: AtomicU64::new(0),
            turn: Mutex::new(()),
            worker: AtomicU64::new(0),
            state: Mutex::new(State::default()),
        }
    }

    /// Whether any entry waits.
    #[inline]
    pub(super) fn is_waiting(&self, order: Ordering) -> bool {
        self.waiting.load(order) != 0
    }

    /// Whether this thread works the marks off, further up its stack.
    pub(super) fn is_worker(&self) -> bool {
        self.worker.load(Ordering::Relaxed) == thread_number() as u64 + 1
    }

    /// Waits until no other thread works; `None` if this one does already.
    fn take_turn(&self) -> Option<Turn<'_>> {
        if self.is_worker() {
            return None;
        }
        let guard = self.turn.lock();
        self.worker.store(thread_number() as u64 + 1, Ordering::Relaxed);
        Some(Turn { queue: self, _guard: guard })
    }

    /// Leaves a mark. The caller works afterwards.
    pub(super) fn mark(&self, mark: Mark) {
        let own = usize::from(self.is_worker());
        let mut state = self.state.lock();
        state.unsettle(mark);
        state.own += own;
        state.marks.push_back(mark);
    }

    /// Enters a request at the end. Whether it has to be tried: not if others wait for the same.
    pub(super) fn enter(&self, request: Arc<OwnedRequest>, wants: Wants, waker: Waker) -> (Ticket, bool) {
        let own = usize::from(self.is_worker());
        let mut state = self.state.lock();
        let (ticket, group) = state.entries.insert(request, wants, waker);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if let Some(group) = group {
            state.own += own;
            state.marks.push_back(Mark::Group(group));
        }
        (ticket, group.is_some())
    }

    /// What the entry was served with; if nothing yet, `waker` is woken when it is.
    pub(super) fn poll(&self, ticket: Ticket, waker: &Waker) -> Option<Outcome> {
        let (outcome, _old) = self.state.lock().entries.poll(ticket, waker);
        outcome
    }

    /// Takes an entry out. What it was served with comes back; and the group that is to be tried again.
    pub(super) fn leave(&self, ticket: Ticket) -> (Option<Outcome>, Option<Group>) {
        let removed = {
            let mut state = self.state.lock();
            let removed = state.entries.remove(ticket);
            if removed.waited {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            removed
        };
        let Removed { outcome, was_head_of, .. } = removed;
        (outcome, was_head_of)
    }

    /// How many entries have been served so far, if one that waits may want a place there.
    pub(super) fn wants(&self, place: &Place) -> Option<u64> {
        let state = self.state.lock();
        state.is_wanted(place, Ticket::MAX).then_some(state.served)
    }

    /// How many entries have been served so far.
    pub(super) fn served(&self) -> u64 {
        self.state.lock().served
    }

    /// The next mark, and the number of marks that this thread has left since it last asked.
    fn next(&self, may: bool) -> (Option<Mark>, usize) {
        let mut state = self.state.lock();
        let own = std::mem::take(&mut state.own);
        let mark = if may || own > 0 { state.marks.pop_front() } else { None };
        drop(state);
        // What is looked at from here on is seen as it is after the mark was left.
        fence(Ordering::SeqCst);
        (mark, own)
    }

    /// Works off these first, and then what was begun.
    fn again(&self, place: Slot, begun: Mark) {
        let mut state = self.state.lock();
        state.unsettle(Mark::Slot(place));
        state.marks.push_front(begun);
        state.marks.push_front(Mark::Slot(place));
        state.own += 2;
    }

    fn deliver(&self, ticket: Ticket, outcome: Outcome) -> Result<Waker, Outcome> {
        let mut state = self.state.lock();
        let waker = state.entries.deliver(ticket, outcome)?;
        state.served += 1;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(waker)
    }
}

impl State {
    fn unsettle(&mut self, mark: Mark) {
        match mark {
            Mark::Slot(slot) => drop(self.settled.remove(&slot)),
            Mark::Pickers | Mark::All => self.settled.clear(),
            Mark::Group(_) => {}
        }
    }

    /// Whether an entry before `before` may want a place there.
    fn is_wanted(&self, place: &Place, before: Ticket) -> bool {
        let first = self.entries.next_for(&place.id, place.eligible, 0);
        first.is_some_and(|first| first.ticket < before) && self.settled.get(&place.slot) != Some(&place.revision)
    }
}

/// An endpoint as of a snapshot.
pub(super) struct Place {
    pub(super) slot: Slot,
    id: EndpointId,
    /// Whether it takes new work.
    eligible: bool,
    revision: Revision,
}

/// How an attempt for an entry went.
enum Attempt {
    InVain,
    /// The entry has its outcome, or has left.
    Done,
    /// The pick found a place at this endpoint that may belong to an entry further ahead.
    Owed(Slot),
}

/// Woken when dropped, which is after the turn was given back.
struct Woken {
    wakers: Vec<Waker>,
    /// The entry that is being polled, which need not be woken.
    polled: Option<Ticket>,
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Shared {
    /// Works marks off: all, or `budget` of those left by other threads. Nothing is to be done if this thread is at it
    /// further up its stack.
    #[cold]
    pub(super) fn serve(&self, budget: usize, polled: Option<Ticket>) {
        let queue = &self.hooks.queue;
        let mut woken = Woken { wakers: Vec::new(), polled };
        let Some(_turn) = queue.take_turn() else { return };
        let mut left = budget;
        loop {
            let (mark, own) = queue.next(left > 0);
            let Some(mark) = mark else { return };
            left = left.saturating_add(own).saturating_sub(1);
            self.work_off(mark, &mut woken);
        }
    }

    fn work_off(&self, mark: Mark, woken: &mut Woken) {
        let queue = &self.hooks.queue;
        let mut after = 0;
        // For a look at all endpoints that goes on where it was.
        let mut seen = 0;
        let mut revision = None;
        loop {
            let candidate = match mark {
                Mark::Slot(slot) => {
                    let Some(place) = self.room_at(slot) else { return };
                    let mut state = queue.state.lock();
                    let next = state.entries.next_for(&place.id, place.eligible, after);
                    // Unless the attempts saw different revisions: this is the one that the first saw, or none.
                    let settled = *revision.get_or_insert(place.revision) == place.revision;
                    if next.is_none() && settled {
                        state.settled.insert(slot, place.revision);
                    }
                    next
                }
                Mark::Group(group) => queue.state.lock().entries.head(group),
                Mark::Pickers => {
                    let full = !self.snapshot.load().has_room(&mut seen);
                    // These are looked at also where all are full: perhaps all that is left is excluded.
                    let kinds: &[Kind] = if full { &[Kind::Except] } else { &[Kind::Any, Kind::Except] };
                    queue.state.lock().entries.next_of(kinds, after)
                }
                Mark::All => queue.state.lock().entries.next_of(&[Kind::Any, Kind::Except, Kind::Only], after),
            };
            let Some(candidate) = candidate else { return };
            after = candidate.ticket;
            let at = match mark {
                Mark::Slot(slot) => Some(slot),
                _ => None,
            };
            match (self.attempt(&candidate, at, woken), mark) {
                (Attempt::Owed(place), _) => return queue.again(place, mark),
                (Attempt::InVain, Mark::Group(_)) => return,
                _ => {}
            }
        }
    }

    /// Runs the pick for an entry. `at` is the endpoint at which those ahead have been tried.
    fn attempt(&self, candidate: &Candidate, at: Option<Slot>, woken: &mut Woken) -> Attempt {
        let queue = &self.hooks.queue;
        let outcome = self.pick(&candidate.request.as_request());
        match &outcome {
            Err(error) if error.is_temporary() => return Attempt::InVain,
            Ok(lease) if at != Some(lease.endpoint().slot()) => {
                let place = self.place_of(lease);
                if queue.state.lock().is_wanted(&place, candidate.ticket) {
                    drop(outcome);
                    return Attempt::Owed(place.slot);
                }
            }
            _ => {}
        }
        let coupled = self.hooks.needs.shared_room && outcome.is_ok();
        match queue.deliver(candidate.ticket, outcome) {
            Ok(waker) if woken.polled != Some(candidate.ticket) => woken.wakers.push(waker),
            Ok(_) => {}
            // Its request has gone in this moment. The end of the lease leaves a mark.
            Err(outcome) => drop(outcome),
        }
        if coupled {
            queue.mark(Mark::All);
        }
        Attempt::Done
    }

    /// The endpoint in this slot if it has room, as far as can be seen without asking the strategy.
    fn room_at(&self, slot: Slot) -> Option<Place> {
        let snapshot = self.snapshot.load();
        let id = snapshot.members().get(slot)?.endpoint.id().clone();
        let (eligible, revision) = (snapshot.is_eligible(slot), snapshot.revision());
        snapshot.has_room_at(slot).then_some(Place { slot, id, eligible, revision })
    }

    /// The endpoint of this lease.
    pub(super) fn place_of(&self, lease: &Lease<AnyTarget>) -> Place {
        let snapshot = self.snapshot.load();
        let (slot, id) = (lease.endpoint().slot(), lease.endpoint().id().clone());
        Place { slot, id, eligible: snapshot.is_eligible(slot), revision: snapshot.revision() }
    }
}

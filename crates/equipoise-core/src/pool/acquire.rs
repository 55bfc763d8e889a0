//! Requests that wait for capacity. This module has the future of such a request ([`Acquire`]), and the code that gives
//! freed capacity to the waiting requests.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use super::{
    error::PickError,
    queue::{BUDGET, Capacity, Kind, NextEntry, PickResult, Recheck, Ticket, UsableBy},
    state::{Pool, PoolInner},
};
use crate::{
    endpoint::CapacityListener,
    ids::Slot,
    lease::{AnyTarget, Lease},
    request::{OwnedRequest, PickRequest},
    sync::{Ordering, fence},
};

impl<T: Send + Sync + 'static> Pool<T> {
    /// Returns a future that picks an endpoint and takes a lease on it, as [`pick`](Self::pick) does. If the pick fails
    /// with a [temporary](PickError::is_temporary) error, the future waits until the request can use an endpoint. This
    /// can happen, for example, when an endpoint joins, comes up or gets free capacity.
    ///
    /// Requests are served in the order in which their futures are first polled. Free capacity goes to the first
    /// waiting request that can use it. A later `acquire` or [`pick`](Self::pick) does not overtake that request. A
    /// request that is [strictly bound](crate::Binding::strict) to an endpoint, or that
    /// [excludes](PickRequest::exclude) endpoints, can use only some endpoints. Such a request does not delay later
    /// requests that can use other endpoints.
    ///
    /// # Cost
    ///
    /// Waiting requests that can use the same endpoints form a group. If a pick for the first request of a group fails,
    /// the others are not tried. Two requests are in the same group if they agree in all of these properties:
    ///
    /// - the set of excluded endpoints;
    /// - the [preferred](PickRequest::prefer) endpoint or the binding;
    /// - for strategies of this crate that [use keys](crate::Needs::key): whether the request has a key;
    /// - for your own strategies that [use keys](crate::Needs::key): the key itself.
    ///
    /// With g groups and n waiting requests, the end of a lease costs:
    ///
    /// - usually one pick for each request that is served, and O(log n) time to find that request in the queue;
    /// - in addition, one comparison for each group that excludes the endpoint of the lease. At worst this is O(g):
    ///   many waiting requests exclude this endpoint, and no two of them exclude the same set of endpoints;
    /// - if the endpoint of the lease accepts only requests with a [forced](crate::Binding::forced) binding: in
    ///   addition, one comparison for each group that is bound to this endpoint by a binding that is not forced;
    /// - if the strategy [refuses](crate::Strategy::admit) all waiting requests that can use the endpoint: one pick for
    ///   each group of these requests;
    /// - if the strategy asks for [`shared_capacity`](crate::Needs::shared_capacity): one pick for each group, O(g). If
    ///   [`BoundedLoad`](crate::BoundedLoad) wraps a strategy of this crate, keys add no groups. If your own strategy
    ///   asks for [`key`](crate::Needs::key) and `shared_capacity`, the waiting requests of each key are a group. In this
    ///   case, limit the waiting time or the number of waiting requests.
    ///
    /// # Timeouts and cancellation
    ///
    /// The future works on every async runtime. It has no timeout: drop it when the deadline of the request has passed.
    /// If a dropped future has got a lease already, the lease goes to the next waiting request. Poll the future when it
    /// is woken: it may have got a lease, and this lease holds capacity. The future allocates a copy of the request. To
    /// avoid the allocation, call [`pick`](Self::pick) first if free capacity is likely.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80").max_in_flight(1), ())?;
    /// let lease = pool.pick(&PickRequest::new())?;
    /// let next = pool.acquire(&PickRequest::new());
    /// assert!(pool.pick(&PickRequest::new()).is_err());
    /// drop(lease);
    /// let lease = futures::executor::block_on(next)?;
    /// assert_eq!(lease.endpoint().id().as_str(), "a:80");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The future returns the error of the pick if this error is not [temporary](PickError::is_temporary). This can
    /// happen at the first poll, or later after a change of the pool.
    pub fn acquire(&self, request: &PickRequest<'_>) -> Acquire<T> {
        Acquire {
            pool: Arc::clone(&self.inner),
            request: Arc::new(OwnedRequest::of(request)),
            ticket: None,
            is_over: false,
            target: PhantomData,
        }
    }
}

/// A future that waits until a pick succeeds, and returns a lease on the picked endpoint. If the pick fails with an
/// error that is not [temporary](PickError::is_temporary), the future returns this error. Returned by
/// [`Pool::acquire`].
///
/// Dropping the future ends the wait. If the future has got a lease already, the lease goes to the next waiting
/// request.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Acquire<T> {
    pool: Arc<PoolInner>,
    request: Arc<OwnedRequest>,
    /// The entry of this request in the queue. `None` before the first poll, and after the entry's result has been
    /// taken.
    ticket: Option<Ticket>,
    is_over: bool,
    target: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> Acquire<T> {
    /// Returns why the request is waiting: the error with which a pick for this request would fail now. Report this
    /// error when you give up the request, for example at its deadline. Takes O(n) time for n endpoints.
    ///
    /// ```
    /// use equipoise_core::{PickError, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// assert_eq!(pool.acquire(&PickRequest::new()).reason(), PickError::Empty);
    /// ```
    pub fn reason(&self) -> PickError {
        self.pool.snapshot.load().why_waiting(&self.request.as_request(), &self.pool.settings)
    }

    fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lease<T>, PickError>> {
        let queue = &self.pool.queue;
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None => {
                if self.pool.settings.context.is_waiting(Ordering::Relaxed) {
                    self.pool.refresh_if_due(self.pool.pick_time());
                } else {
                    match self.pool.pick_in_turn(&self.request.as_request()) {
                        Err(error) if error.is_temporary() => {}
                        settled => return Poll::Ready(settled),
                    }
                }
                let wants = self.request.wants(self.pool.settings.needs.key_use());
                let (ticket, first) = queue.enter(Arc::clone(&self.request), wants, cx.waker().clone());
                self.ticket = Some(ticket);
                if first {
                    // The invariant of the queue needs a fence between counting the entry and its first pick.
                    fence(Ordering::SeqCst);
                    self.pool.serve(BUDGET, Some(ticket));
                }
                ticket
            }
        };
        match queue.poll(ticket, cx.waker()) {
            Some(result) => {
                self.ticket = None;
                Poll::Ready(result.map(Lease::with_target))
            }
            None => Poll::Pending,
        }
    }
}

impl<T: Send + Sync + 'static> Future for Acquire<T> {
    type Output = Result<Lease<T>, PickError>;

    /// Returns the lease, or the error of the pick if the error is not [temporary](PickError::is_temporary). Returns
    /// `Pending` while the request waits, and also at every poll after the result.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Pending;
        }
        let polled = this.poll_lease(cx);
        this.is_over = polled.is_ready();
        polled
    }
}

impl<T> Drop for Acquire<T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let (result, group) = self.pool.queue.leave(ticket);
        if let Some(result) = result {
            withdraw(result);
        }
        // A strategy may refuse one request (by its cost, for example) and admit the next.
        if let Some(group) = group.filter(|_| self.pool.settings.needs.leases) {
            self.pool.queue.recheck(Recheck::Group(group));
            self.pool.serve(BUDGET, None);
        }
    }
}

impl<T> fmt::Debug for Acquire<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("request", &self.request).finish_non_exhaustive()
    }
}

/// The link from endpoints and leases to the queue of their pool. Through it they report freed capacity. It does not
/// keep the pool alive.
pub(super) struct QueueLink(pub(super) Weak<PoolInner>);

impl CapacityListener for QueueLink {
    #[cold]
    fn on_freed(&self, slot: Slot) {
        if let Some(pool) = self.0.upgrade() {
            pool.recheck_and_serve(slot);
        }
    }

    fn on_given_back(&self, slot: Slot) {
        // If this thread serves the queue, it made no other pick while it held the permit. So no waiting request can
        // have found the endpoint full because of this permit.
        if let Some(pool) = self.0.upgrade().filter(|pool| !pool.queue.is_worker()) {
            pool.recheck_and_serve(slot);
        }
    }
}

/// The result of a pick for one entry of the queue.
enum Served {
    /// No endpoint admits the entry's request now.
    No,
    /// The entry has got its result, or has left the queue.
    Done,
    /// The pick found capacity at the endpoint in this slot, but an earlier entry may want it.
    Overtaking(Slot),
}

impl Capacity {
    /// Returns whether the endpoint still accepts this request. The pick that took the lease may have read an earlier
    /// snapshot.
    pub(super) fn accepts(&self, request: &PickRequest<'_>) -> bool {
        !matches!(self.usable_by, UsableBy::Forced) || request.is_forced()
    }
}

/// Ends the lease of a pick's result, if the result is not given to any request. The end of the lease gives its
/// capacity to the next entry.
fn withdraw(result: PickResult) {
    if let Ok(lease) = result {
        lease.withdraw();
    }
}

/// Wakes the tasks of served requests when it is dropped. It is dropped after this thread has given back the turn (the
/// right to serve the queue).
struct WakeLater {
    wakers: Vec<Waker>,
    /// The entry whose future is being polled by this thread. Its task need not be woken.
    polled: Option<Ticket>,
}

impl Drop for WakeLater {
    fn drop(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl PoolInner {
    fn recheck_and_serve(&self, slot: Slot) {
        self.queue.recheck(if self.settings.needs.shared_capacity { Recheck::All } else { Recheck::Slot(slot) });
        self.serve(BUDGET, None);
    }

    /// Serves the queue: gives freed capacity to waiting requests. Processes all rechecks (notes of where capacity may
    /// be free) that this thread adds, and at most `budget` rechecks of other threads. Does nothing if a caller of this
    /// function is serving the queue already.
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

    /// Returns how many permits of the endpoint in this slot have been given back so far. `None` if the endpoint has
    /// left the pool.
    fn releases_at(&self, slot: Slot) -> Option<u32> {
        self.snapshot.load().members().get(slot).map(|member| member.endpoint.permits.releases())
    }

    fn work_off(&self, recheck: Recheck, wake: &mut WakeLater) {
        let queue = &self.queue;
        let mut after = 0;
        // The number of the eligible endpoint at which the search for capacity continues.
        let mut seen = 0;
        let mut first_seen = None;
        loop {
            let next = match recheck {
                Recheck::Slot(slot) => {
                    let Some(capacity) = self.free_capacity_at(slot) else { return };
                    // The capacity counts as tried only if all picks have read the same revision, and no permit was
                    // given back meanwhile. Otherwise a pick may have failed because another pick held a permit
                    // for a moment.
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

    /// Picks for one entry of the queue. `at` is the slot of an endpoint for which all earlier entries have been tried
    /// already. An entry may therefore use the capacity of that endpoint at once.
    fn pick_for(&self, entry: &NextEntry, at: Option<Slot>, wake: &mut WakeLater) -> Served {
        let queue = &self.queue;
        let result = self.pick_waiting(&entry.request.as_request());
        match &result {
            Err(error) if error.is_temporary() => return Served::No,
            Ok(lease) if at != Some(lease.endpoint().slot()) => {
                let capacity = self.capacity_of(lease);
                // The endpoint has changed since the pick, and does not accept the request any more.
                if !capacity.accepts(&entry.request.as_request()) {
                    withdraw(result);
                    return Served::No;
                }
                if queue.is_wanted(&capacity, entry.ticket) {
                    withdraw(result);
                    return Served::Overtaking(capacity.slot);
                }
            }
            _ => {}
        }
        let made_room = self.settings.needs.shared_capacity && result.is_ok();
        match queue.deliver(entry.ticket, result) {
            Ok(waker) if wake.polled != Some(entry.ticket) => wake.wakers.push(waker),
            Ok(_) => {}
            // The request has just been given up. The end of the lease adds a recheck.
            Err(result) => withdraw(result),
        }
        if made_room {
            queue.recheck(Recheck::All);
        }
        Served::Done
    }

    /// Returns the capacity at the endpoint in this slot. `None` if the endpoint is full or has left the pool. Does not
    /// ask the strategy.
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
        let is_forced = snapshot.is_on_probation(slot) && !lease.decides_probation();
        let usable_by = if is_forced { UsableBy::Forced } else { snapshot.usable_by(slot) };
        Capacity { slot, id, usable_by, revision: snapshot.revision() }
    }
}

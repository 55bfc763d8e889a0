use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    PickError, Pool, Shared,
    queue::{BUDGET, Mark, Ticket},
};
use crate::{
    lease::Lease,
    request::{OwnedRequest, PickRequest},
    sync::{Ordering, fence},
};

impl<T: Send + Sync + 'static> Pool<T> {
    /// Picks as [`pick`](Self::pick) does, but waits while that fails with an error that is
    /// [temporary](PickError::is_temporary): until an endpoint that the request can use joins, opens or has room.
    ///
    /// Requests that wait are served first come, first served, in the order of their first polls: a place goes to the
    /// first of those that can use it, and no later request overtakes it, whether it waits or picks. A request that can
    /// use only some of the endpoints (because it is [strictly bound](crate::Binding::strict) or
    /// [excludes](PickRequest::exclude) some) does not hold up those behind it that can use others.
    ///
    /// The future needs no runtime and has no deadline of its own. Dropping it gives its turn to the next, also if it has
    /// been served and not been polled since; so drop it when its deadline has passed, and do not keep it unpolled. It
    /// copies the request, so it allocates; [`pick`](Self::pick) first where room is likely.
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
    /// When waiting cannot help, at once or after a change of the pool: an error that is not temporary.
    pub fn acquire(&self, request: &PickRequest<'_>) -> Acquire<T> {
        Acquire {
            shared: Arc::clone(&self.shared),
            request: Arc::new(OwnedRequest::of(request)),
            ticket: None,
            is_over: false,
            target: PhantomData,
        }
    }
}

/// A request that waits for an endpoint: see [`Pool::acquire`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Acquire<T> {
    shared: Arc<Shared>,
    request: Arc<OwnedRequest>,
    /// From the first poll on: the entry in the queue.
    ticket: Option<Ticket>,
    is_over: bool,
    target: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> Acquire<T> {
    /// Why the request waits, as of now: what to report when its deadline has passed. O(n) in the endpoints.
    ///
    /// ```
    /// use equipoise_core::{PickError, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// assert_eq!(pool.acquire(&PickRequest::new()).reason(), PickError::Empty);
    /// ```
    pub fn reason(&self) -> PickError {
        self.shared.snapshot.load().why_waiting(&self.request.as_request(), &self.shared.hooks)
    }

    fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lease<T>, PickError>> {
        let queue = &self.shared.hooks.queue;
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None => {
                if queue.is_waiting(Ordering::Relaxed) {
                    self.shared.refresh_if_due(self.shared.hooks.now());
                } else {
                    match self.shared.pick_in_turn(&self.request.as_request()) {
                        Err(error) if error.is_temporary() => {}
                        settled => return Poll::Ready(settled),
                    }
                }
                let wants = self.request.wants(self.shared.hooks.needs.key);
                let (ticket, first) = queue.enter(Arc::clone(&self.request), wants, cx.waker().clone());
                self.ticket = Some(ticket);
                if first {
                    // After the entry was counted, and before the attempt: see the queue's invariant.
                    fence(Ordering::SeqCst);
                    self.shared.serve(BUDGET, Some(ticket));
                }
                ticket
            }
        };
        match queue.poll(ticket, cx.waker()) {
            Some(outcome) => {
                self.ticket = None;
                Poll::Ready(outcome.map(Lease::with_target))
            }
            None => Poll::Pending,
        }
    }
}

impl<T: Send + Sync + 'static> Future for Acquire<T> {
    type Output = Result<Lease<T>, PickError>;

    /// Pending for ever once it has ended.
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
        let hooks = &self.shared.hooks;
        let (outcome, group) = hooks.queue.leave(ticket);
        // The end of a lease that nothing has come of gives the place to the next.
        drop(outcome);
        // A strategy that is asked may refuse one request (by its cost, say) and take the next.
        if let Some(group) = group.filter(|_| hooks.needs.leases) {
            hooks.queue.mark(Mark::Group(group));
            self.shared.serve(BUDGET, None);
        }
    }
}

impl<T> fmt::Debug for Acquire<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("request", &self.request).finish_non_exhaustive()
    }
}

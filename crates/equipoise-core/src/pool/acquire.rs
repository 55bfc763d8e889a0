use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    error::PickError,
    queue::{BUDGET, Recheck, Ticket},
    serve::withdraw,
    state::{Pool, PoolInner},
};
use crate::{
    lease::Lease,
    request::{OwnedRequest, PickRequest},
    sync::{Ordering, fence},
};

impl<T: Send + Sync + 'static> Pool<T> {
    /// Picks as [`pick`](Self::pick) does, but waits while the pick fails with a
    /// [temporary](PickError::is_temporary) error: until an endpoint that the request can use joins, comes up or has
    /// capacity.
    ///
    /// Requests are served in the order of their first polls. Free capacity goes to the first request that can use it,
    /// and neither a later `acquire` nor a [`pick`](Self::pick) overtakes that request. A request that can use only
    /// some endpoints, because it is [strictly bound](crate::Binding::strict) or [excludes](PickRequest::exclude) some,
    /// does not delay later requests that can use others.
    ///
    /// The future works on every async runtime. It has no timeout: drop it when the request's deadline has passed. A
    /// dropped future passes its turn to the next request, even if it had been served. Do not keep it without polling
    /// it, because once served it holds capacity. It allocates a copy of the request, so call [`pick`](Self::pick)
    /// first if capacity is likely.
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
    /// If the pick fails with an error that is not temporary, at once or after a change of the pool.
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

/// A future that waits for an endpoint and returns a lease on it: see [`Pool::acquire`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Acquire<T> {
    pool: Arc<PoolInner>,
    request: Arc<OwnedRequest>,
    /// The entry in the queue, from the first poll until it has been served.
    ticket: Option<Ticket>,
    is_over: bool,
    target: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> Acquire<T> {
    /// Returns why the request is waiting now: the error to report when its deadline has passed. O(n) in the number of
    /// endpoints.
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
                    // Between counting the entry and its first pick: see the invariant of the queue.
                    fence(Ordering::SeqCst);
                    self.pool.serve(BUDGET, Some(ticket));
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

    /// Returns `Pending` for ever after it has returned `Ready`.
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
        let (outcome, group) = self.pool.queue.leave(ticket);
        if let Some(outcome) = outcome {
            withdraw(outcome);
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

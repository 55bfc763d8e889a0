//! One attempt: the service through which the request reaches its endpoint, the wait until this service is ready, and
//! the call.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise_core::{Endpoint, EndpointId, Failure, Lease, Verdict};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::plan::{Core, Unready, verdict};
use crate::{
    drop_reason::DropReason,
    error::{AttemptTimedOut, BoxError, FailureStage, NotSent, PointError},
    error_class::ErrorClass,
    guard::guarded,
    observe::{ObservedAttempt, PollScope},
    point_at::PointAt,
    protocol::Protocol,
};

/// How a balancer sends a request to the endpoint that was picked. With [`Targets`], each endpoint has its own service.
/// With [`SharedClient`], one client serves all endpoints. No other types can implement this trait.
#[diagnostic::on_unimplemented(
    message = "the services of this balancer do not take requests of type `{Req}`",
    label = "no `Service<{Req}>` below this balancer",
    note = "the client below the balancer, or the pool's targets (`{T}`), must be services of exactly this request type, with the same body type",
    note = "a client that is built for another body, such as `Client<_, Incoming>`, must be built for the wrapped one: `build_http::<equipoise::tower::Replayable<Incoming>>()`"
)]
pub trait Dispatch<T, Req>: sealed::Sealed {
    /// The type of the service that sends a request to its endpoint.
    type Service: Service<Req>;

    /// Whether [`point`](Self::point) leaves requests unchanged. If true, a request that was not sent can go to another
    /// endpoint although no copy of it was kept.
    const KEEPS_REQUESTS_UNCHANGED: bool;

    /// Returns the service that sends a request to the endpoint of `lease`.
    fn service(&self, lease: &Lease<T>) -> Self::Service;

    /// Changes the request so that the service sends it to `endpoint`.
    ///
    /// # Errors
    ///
    /// - [`PointError::Address`] if the request cannot be sent to this endpoint.
    /// - [`PointError::Unsupported`] if the request cannot be sent to any endpoint.
    fn point(&self, request: &mut Req, endpoint: &Endpoint) -> Result<(), PointError>;
}

/// Sends each request through a clone of the picked endpoint's target: the value that is stored with the endpoint. The
/// target must be a service. [`Balance::new`](crate::Balance::new) creates balancers that send requests in this way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Targets;

#[diagnostic::do_not_recommend]
impl<T, Req> Dispatch<T, Req> for Targets
where
    T: Service<Req> + Clone + Send + Sync + 'static,
{
    type Service = T;

    const KEEPS_REQUESTS_UNCHANGED: bool = true;

    fn service(&self, lease: &Lease<T>) -> T {
        lease.target().clone()
    }

    fn point(&self, _: &mut Req, _: &Endpoint) -> Result<(), PointError> {
        Ok(())
    }
}

/// Sends all requests through clones of one client. Each request is first [changed](PointAt), so that the client sends
/// it to the picked endpoint. [`BalanceLayer`](crate::BalanceLayer) creates balancers that send requests in this way.
#[derive(Clone, Copy, Debug)]
pub struct SharedClient<C>(pub(super) C);

// Without this attribute, the compiler would report the missing `Service` and not the advice of this trait.
#[diagnostic::do_not_recommend]
impl<T, C, Req> Dispatch<T, Req> for SharedClient<C>
where
    C: Service<Req> + Clone,
    Req: PointAt,
{
    type Service = C;

    const KEEPS_REQUESTS_UNCHANGED: bool = false;

    fn service(&self, _: &Lease<T>) -> C {
        self.0.clone()
    }

    fn point(&self, request: &mut Req, endpoint: &Endpoint) -> Result<(), PointError> {
        request.point_at(endpoint)
    }
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for Targets {}

impl<C> sealed::Sealed for SharedClient<C> {}

/// The future of the service that `D` returns.
pub(super) type InnerFuture<T, D, Req> = <<D as Dispatch<T, Req>>::Service as Service<Req>>::Future;
/// The response of the service that `D` returns.
pub(super) type InnerResponse<T, D, Req> = <<D as Dispatch<T, Req>>::Service as Service<Req>>::Response;
/// The error of the service that `D` returns.
pub(super) type InnerError<T, D, Req> = <<D as Dispatch<T, Req>>::Service as Service<Req>>::Error;

pin_project! {
    /// One attempt: a request that is sent to one endpoint, with the lease of the endpoint and what was kept of the
    /// request. It does not depend on other attempts of the request.
    pub(super) struct AttemptFuture<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        // The first field, because it must be dropped first: the lease ends after the future of the service.
        #[pin]
        phase: Phase<T, D, Req>,
        held: Option<Held<T, P::Kept>>,
        // Whether the request may go to another endpoint if the service is not ready in time.
        is_movable: bool,
    }

    impl<T, D, P, Req> PinnedDrop for AttemptFuture<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(held) = this.held
                && matches!(this.phase.project(), PhaseProj::Calling { .. })
                && DropReason::current() == DropReason::Late
            {
                held.lease.record(Verdict::Failure(Failure::Timeout));
            }
        }
    }
}

/// What an attempt owns besides the request and the future of the service.
pub(super) struct Held<T, K> {
    pub(super) lease: Lease<T>,
    /// What is needed to send the request again. `None` if it cannot be sent again.
    pub(super) kept: Option<K>,
    pub(super) observed: ObservedAttempt,
    /// The timer of the attempt timeout. It is created when the attempt has to wait for the first time.
    pub(super) timeout: Option<Pin<Box<Sleep>>>,
}

pin_project! {
    #[project = PhaseProj]
    enum Phase<T, D, Req>
    where
        D: Dispatch<T, Req>,
    {
        // Waits until the endpoint's service is ready.
        Preparing { service: Option<D::Service>, request: Option<Req>, wait: ReadyWait },
        // Waits until the service responds.
        Calling { #[pin] future: InnerFuture<T, D, Req> },
    }
}

/// How long an attempt waits until the service of its endpoint is ready.
pub(super) enum ReadyWait {
    /// Not decided yet, because the service has not been found unready so far.
    Undecided,
    /// The attempt waits until the timer ends.
    Bounded(Pin<Box<Sleep>>),
    /// The attempt waits without a limit.
    Unbounded,
}

/// The data that decides how long an attempt waits until the service of its endpoint is ready.
struct Readiness<'a> {
    unready: &'a Unready,
    endpoint: &'a EndpointId,
    /// The maximum time to wait. `None` if the request cannot go to another endpoint.
    max_wait: Option<Duration>,
    may_move: bool,
}

impl Readiness<'_> {
    /// Decides how long the request waits. Returns `None` if it does not wait at all.
    fn wait(&self) -> Option<ReadyWait> {
        let Some(max_wait) = self.max_wait else { return Some(ReadyWait::Unbounded) };
        if self.may_move && !self.unready.may_wait(self.endpoint) {
            return None;
        }
        // Without tokio's timer, there is no limit.
        Some(guarded(|| sleep(max_wait)).map_or(ReadyWait::Unbounded, |sleep| ReadyWait::Bounded(Box::pin(sleep))))
    }
}

/// Why an attempt got no response.
pub(super) enum Failed<S, Req> {
    /// The service returned an error, or the attempt timed out. `unsent` is the request, if the service was never
    /// called with it. `class` is what the error means. If it is `None`, the protocol classifies the error.
    Error { error: BoxError, class: Option<ErrorClass>, unsent: Option<Req> },
    /// The service was not ready. If `waited` is true, the attempt waited for the whole ready timeout. Otherwise it did
    /// not wait, because another request waits or waited for this service.
    NotReady { service: S, request: Req, waited: bool },
}

impl<T, D, P, Req> AttemptFuture<T, D, P, Req>
where
    T: Send + Sync + 'static,
    D: Dispatch<T, Req>,
    P: Protocol<Req, InnerResponse<T, D, Req>>,
{
    /// Creates an attempt that sends the request through the service of the leased endpoint.
    pub(super) fn new(
        service: D::Service,
        request: Req,
        held: Held<T, P::Kept>,
        wait: ReadyWait,
        is_movable: bool,
    ) -> Self {
        let phase = Phase::Preparing { service: Some(service), request: Some(request), wait };
        Self { phase, held: Some(held), is_movable }
    }

    /// Returns the response, or why there is none. Call [`take_held`](Self::take_held) then. After that, it returns
    /// `Pending` for ever.
    #[expect(clippy::type_complexity, reason = "the types of the service")]
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        core: &Core<T, P>,
        may_move: bool,
    ) -> Poll<Result<InnerResponse<T, D, Req>, Failed<D::Service, Req>>>
    where
        InnerError<T, D, Req>: Into<BoxError>,
    {
        let mut this = self.project();
        let Some(held) = this.held.as_mut() else { return Poll::Pending };
        let readiness = Readiness {
            unready: &core.unready,
            endpoint: held.lease.endpoint().id(),
            max_wait: this.is_movable.then_some(core.settings.ready_timeout),
            may_move,
        };
        let mut outcome = match held.observed.scope() {
            None => this.phase.as_mut().poll(cx, &readiness),
            Some(scope) => this.phase.as_mut().poll_in_scope(cx, &readiness, &scope),
        };
        if outcome.is_pending()
            && let Some(timeout) = core.settings.attempt_timeout
        {
            if held.timeout.is_none() {
                // Without tokio's timer, there is no limit.
                held.timeout = guarded(|| Box::pin(sleep(timeout)));
            }
            if held.timeout.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
                outcome = Poll::Ready(Err(this.phase.timed_out(AttemptTimedOut::after(timeout))));
            }
        }
        outcome
    }

    /// Returns what the attempt owned, after its end. `None` if it was taken before.
    pub(super) fn take_held(self: Pin<&mut Self>) -> Option<Held<T, P::Kept>> {
        self.project().held.take()
    }
}

impl<T, D, Req> Phase<T, D, Req>
where
    D: Dispatch<T, Req>,
    InnerError<T, D, Req>: Into<BoxError>,
{
    /// Polls within the scope of the observer.
    #[cold]
    #[inline(never)]
    #[expect(clippy::type_complexity, reason = "the types of the service")]
    fn poll_in_scope(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        readiness: &Readiness<'_>,
        scope: &PollScope<'_>,
    ) -> Poll<Result<InnerResponse<T, D, Req>, Failed<D::Service, Req>>> {
        scope.poll(|| self.as_mut().poll(cx, readiness))
    }

    // Inlined in both places that call it, so that polls without an observer do not pay for those with one.
    #[inline(always)]
    #[expect(clippy::type_complexity, reason = "the types of the service")]
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        readiness: &Readiness<'_>,
    ) -> Poll<Result<InnerResponse<T, D, Req>, Failed<D::Service, Req>>> {
        loop {
            let next = match self.as_mut().project() {
                PhaseProj::Calling { future } => {
                    let failed =
                        |error: InnerError<T, D, Req>| Failed::Error { error: error.into(), class: None, unsent: None };
                    return future.poll(cx).map_err(failed);
                }
                PhaseProj::Preparing { service, request, wait } => {
                    // `None` if the phase is polled after its end.
                    let Some(held) = service else { return Poll::Pending };
                    match held.poll_ready(cx) {
                        Poll::Ready(Err(error)) => {
                            *service = None;
                            let (error, unsent) = (error.into(), request.take());
                            return Poll::Ready(Err(Failed::Error { error, class: None, unsent }));
                        }
                        Poll::Ready(Ok(())) => {
                            if !matches!(wait, ReadyWait::Undecided) {
                                readiness.unready.got_ready(readiness.endpoint);
                            }
                            let Some(request) = request.take() else { return Poll::Pending };
                            Self::Calling { future: held.call(request) }
                        }
                        Poll::Pending => {
                            if matches!(wait, ReadyWait::Undecided)
                                && let Some(decided) = readiness.wait()
                            {
                                *wait = decided;
                            }
                            let waited = match wait {
                                ReadyWait::Undecided => false,
                                ReadyWait::Unbounded => return Poll::Pending,
                                ReadyWait::Bounded(sleep) => {
                                    ready!(sleep.as_mut().poll(cx));
                                    true
                                }
                            };
                            let (Some(service), Some(request)) = (service.take(), request.take()) else {
                                return Poll::Pending;
                            };
                            return Poll::Ready(Err(Failed::NotReady { service, request, waited }));
                        }
                    }
                }
            };
            self.set(next);
        }
    }

    /// Returns the failure of an attempt after the attempt timeout. If the service was not ready yet, the request was
    /// not sent, and the class is the same as after the ready timeout.
    fn timed_out(self: Pin<&mut Self>, error: AttemptTimedOut) -> Failed<D::Service, Req> {
        match self.project() {
            PhaseProj::Preparing { request, .. } => Failed::Error {
                error: NotSent::new(error).into(),
                class: Some(ErrorClass::new(FailureStage::NotSent).verdict(verdict(true))),
                unsent: request.take(),
            },
            PhaseProj::Calling { .. } => Failed::Error { error: error.into(), class: None, unsent: None },
        }
    }
}

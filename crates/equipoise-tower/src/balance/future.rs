use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise_core::{__private::repeating, Acquire, EndpointId, Lease, PickError, Pool};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{
    attempt::{AttemptFuture, Dispatch, Failed, Held, InnerError, InnerResponse, ReadyWait},
    plan::{Core, Progress, Routing, verdict},
};
use crate::{
    error::{BoxError, Error, FailureStage, NotSent, PointError},
    error_class::{ErrorClass, Retryable},
    guard::guarded,
    observe::{AttemptEnd, ObservedRequest, ObservedWait, QueueEnd, RequestOutcome},
    protocol::Protocol,
};

pin_project! {
    /// The future that [`Balance`](super::Balance) returns for a request. It makes one attempt after the other to send
    /// the request to an endpoint. The future returns the first response. If the request gets no response and cannot be
    /// sent again, the future returns an [`Error`].
    pub struct ResponseFuture<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        // The first field, because it must be dropped first: the end of the attempt is reported before the end of the
        // request.
        #[pin]
        state: State<T, D, P, Req>,
        // Created when the request has to wait in the queue for the first time.
        waiting: Option<Waiting<T>>,
        balancing: Balancing<T, D, P>,
    }
}

/// The data that all attempts of one request share.
struct Balancing<T, D, P> {
    core: Arc<Core<T, P>>,
    dispatch: D,
    routing: Routing,
    progress: Progress,
    observed: ObservedRequest,
}

pin_project! {
    #[project = StateProj]
    enum State<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        Trying { #[pin] attempt: AttemptFuture<T, D, P, Req> },
        // Waits in the queue. `failed` is the error of the last attempt, if there was one.
        Waiting { request: Option<Req>, failed: Option<Error>, unserved: Unserved<T>, observed: ObservedWait },
        // Has failed. The error is `None` once the future has returned it.
        Failed { error: Option<Error> },
    }
}

impl<T, D, P, Req> ResponseFuture<T, D, P, Req>
where
    T: Send + Sync + 'static,
    D: Dispatch<T, Req>,
    P: Protocol<Req, InnerResponse<T, D, Req>>,
{
    pub(super) fn new(core: Arc<Core<T, P>>, dispatch: D, mut request: Req) -> Self {
        let settings = &core.settings;
        let observed = settings.observer.request(|| settings.protocol.request_head(&request), || core.strategy());
        let routing = Routing::of(&settings.protocol, &mut request, settings.queue_timeout);
        let progress = Progress::new(settings.max_attempts, settings.protocol.outer_attempt(&request));
        let mut balancing = Balancing { core, dispatch, routing, progress, observed };
        let state = match balancing.pick() {
            Ok(lease) => balancing.start(lease, request),
            Err(error) if error.is_temporary() && balancing.may_queue() => balancing.queue(request, None),
            Err(error) => {
                balancing.core.pool.count_unserved(Some(&error));
                State::Failed { error: Some(error.into()) }
            }
        };
        Self { state, waiting: None, balancing }
    }
}

impl<T: Send + Sync + 'static, D, P> Balancing<T, D, P> {
    /// Picks an endpoint for the next attempt.
    #[inline]
    fn pick(&self) -> Result<Lease<T>, PickError> {
        let (pool, request) = (&self.core.pool, self.routing.request());
        // The pick then draws the same random numbers as its explanation.
        self.observed.before_pick(|| repeating(|| pool.explain(&request)));
        pool.pick(&request)
    }

    fn may_queue(&self) -> bool {
        self.routing.queue_timeout.is_some()
    }

    /// Returns the state of a request that waits in the queue. If no endpoint takes it in time, the request fails with
    /// `failed`, or with the error of the pick if `failed` is `None`.
    fn queue<Req>(&self, request: Req, failed: Option<Error>) -> State<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        let unserved = Unserved(failed.is_none().then(|| self.core.pool.clone()));
        State::Waiting { request: Some(request), failed, unserved, observed: self.observed.queue() }
    }

    /// Counts that the request leaves an endpoint. `to` is the endpoint of its next attempt. If it is `None`, the request
    /// waits in the queue.
    #[cold]
    fn count_failover(&mut self, from: &EndpointId, to: Option<&EndpointId>) {
        self.core.pool.count_failover();
        if to.is_some() {
            self.core.pool.count_retry();
        }
        self.observed.failover(from, to);
    }

    /// Starts an attempt at the leased endpoint. If the address of this endpoint cannot be used, starts an attempt at
    /// the next endpoint.
    fn start<Req>(&mut self, mut lease: Lease<T>, mut request: Req) -> State<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        let core = Arc::clone(&self.core);
        let protocol = &core.settings.protocol;
        loop {
            self.progress.attempts += 1;
            self.observed.attempts = self.progress.attempts;
            let (endpoint, binding) = (lease.endpoint().id(), lease.binding_outcome());
            let mut observed = self.observed.attempt(endpoint, binding, self.progress.attempts);
            let may_retry = self.progress.may_retry() && lease.has_alternatives();
            let may_move = may_retry || self.progress.may_move() && lease.has_alternatives();
            // The request is kept before `point` changes it for this endpoint.
            let (mut sent, kept) = if may_retry { protocol.keep(request) } else { (request, None) };
            let error = match self.dispatch.point(&mut sent, lease.endpoint()) {
                Ok(()) => {
                    protocol.on_attempt(&mut sent, self.progress.attempt(lease.endpoint().id()));
                    observed.before_send(lease.endpoint(), || protocol.headers_mut(&mut sent));
                    let service = self.dispatch.service(&lease);
                    let is_movable = kept.is_some() || may_move && D::KEEPS_REQUESTS_UNCHANGED;
                    let held = Held { lease, kept, observed, timeout: None };
                    let attempt = AttemptFuture::new(service, sent, held, ReadyWait::Undecided, is_movable);
                    return State::Trying { attempt };
                }
                Err(error) => error,
            };
            observed.end(AttemptEnd::Refused(&error));
            let endpoint = lease.endpoint().id().clone();
            lease.finish(error.verdict());
            let source = match error {
                PointError::Unsupported(reason) => {
                    return State::Failed { error: Some(Error::Unsupported(reason)) };
                }
                PointError::Address(source) => source,
            };
            self.routing.excluded.push(endpoint.clone());
            // Dropped before `restore`, so that the body which was lent to the attempt can be taken back.
            drop(sent);
            let next = kept.and_then(|kept| protocol.restore(kept));
            let next = next.and_then(|request| Some((self.pick().ok()?, request)));
            match next {
                Some((next, again)) if self.progress.take_retry() => {
                    self.count_failover(&endpoint, Some(next.endpoint().id()));
                    (lease, request) = (next, again);
                }
                next => {
                    if let Some((next, _)) = next {
                        next.withdraw();
                    }
                    let error = self.progress.invalid_address(endpoint, source);
                    return State::Failed { error: Some(error) };
                }
            }
        }
    }

    /// Returns the state after a failed attempt: an attempt at another endpoint, a wait in the queue, or the error.
    /// If `class` is `None`, the protocol classifies the error.
    fn after<Req>(
        &mut self,
        held: Held<T, P::Kept>,
        source: BoxError,
        class: Option<ErrorClass>,
        unsent: Option<Req>,
    ) -> State<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        let core = Arc::clone(&self.core);
        let protocol = &core.settings.protocol;
        let Held { mut lease, kept, mut observed, .. } = held;
        let class = match class.unwrap_or_else(|| protocol.classify_error(&*source)) {
            // The service was never called, so nothing was sent. Errors of `poll_ready` are often of unknown types.
            class if class.stage == FailureStage::Other && unsent.is_some() => ErrorClass::new(FailureStage::NotSent),
            class => class,
        };
        observed.end(AttemptEnd::Error { error: &*source, class });
        self.progress.maybe_processed |= unsent.is_none() && !class.stage.is_unsent();
        self.progress.note_error(&*source);
        lease.record(class.verdict);
        let endpoint = lease.endpoint().id().clone();
        drop(lease);
        self.routing.excluded.push(endpoint.clone());
        let again = unsent.is_some()
            || match class.retry {
                Retryable::Always => true,
                Retryable::IfIdempotent => kept.as_ref().is_some_and(|kept| protocol.is_idempotent(kept)),
                Retryable::Never => false,
            };
        drop(unsent);
        let failed = Some(self.progress.failed(&endpoint, source, class.stage));
        let request = kept.filter(|_| again && self.progress.may_retry()).and_then(|kept| protocol.restore(kept));
        let Some(request) = request else { return State::Failed { error: failed } };
        match self.pick() {
            Ok(lease) if self.progress.take_retry() => {
                self.count_failover(&endpoint, Some(lease.endpoint().id()));
                self.start(lease, request)
            }
            // The other endpoints are full. This endpoint stays excluded, because an endpoint that fails at once looks
            // idle while all working endpoints are busy.
            Err(error) if error.is_temporary() && self.may_queue() && self.progress.take_retry() => {
                self.count_failover(&endpoint, None);
                self.queue(request, failed)
            }
            unused => {
                unused.map_or_else(drop, Lease::withdraw);
                State::Failed { error: failed }
            }
        }
    }

    /// Returns the state after an attempt whose service was not ready: an attempt at another endpoint, or a wait in the
    /// queue. If no other endpoint can take the request, the attempt continues and waits without a limit. The service
    /// is kept until this is decided, because it may have a position in a queue.
    fn elsewhere<Req>(
        &mut self,
        held: Held<T, P::Kept>,
        service: D::Service,
        sent: Req,
        waited: bool,
    ) -> State<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        let core = Arc::clone(&self.core);
        let protocol = &core.settings.protocol;
        let Held { lease, kept, mut observed, timeout } = held;
        let endpoint = lease.endpoint().id().clone();
        // Read now, because a move may change the number of attempts.
        let Progress { attempts, maybe_processed, .. } = self.progress;
        let failed = |endpoint: &EndpointId| {
            let source = NotSent::new(format!("its service was not ready within {:?}", core.settings.ready_timeout));
            let (endpoint, stage) = (endpoint.clone(), FailureStage::NotSent);
            Some(Error::Endpoint { endpoint, source: source.into(), stage, attempts, maybe_processed })
        };
        if waited {
            core.unready.timed_out(&endpoint);
        }
        let request = match kept {
            Some(kept) => {
                // Dropped before `restore`, so that the body which was lent to the attempt can be taken back.
                drop(sent);
                protocol.restore(kept)
            }
            None => D::KEEPS_REQUESTS_UNCHANGED.then_some(sent),
        };
        let end = AttemptEnd::NotReady { waited };
        let Some(request) = request else {
            observed.end(end);
            lease.finish(verdict(waited));
            return State::Failed { error: failed(&endpoint) };
        };
        self.routing.excluded.push(endpoint.clone());
        match self.pick() {
            Ok(next) if self.progress.take_move(waited) => {
                observed.end(end);
                lease.finish(verdict(waited));
                self.count_failover(&endpoint, Some(next.endpoint().id()));
                self.start(next, request)
            }
            Err(error) if error.is_temporary() && self.may_queue() && self.progress.take_move(waited) => {
                observed.end(end);
                lease.finish(verdict(waited));
                self.count_failover(&endpoint, None);
                self.queue(request, failed(&endpoint))
            }
            unused => {
                unused.map_or_else(drop, Lease::withdraw);
                self.routing.excluded.pop();
                let (mut sent, kept) = protocol.keep(request);
                match self.dispatch.point(&mut sent, lease.endpoint()) {
                    Ok(()) => {
                        protocol.on_attempt(&mut sent, self.progress.attempt(&endpoint));
                        observed.before_send(lease.endpoint(), || protocol.headers_mut(&mut sent));
                        let held = Held { lease, kept, observed, timeout };
                        let attempt = AttemptFuture::new(service, sent, held, ReadyWait::Unbounded, false);
                        State::Trying { attempt }
                    }
                    Err(error) => {
                        observed.end(AttemptEnd::Refused(&error));
                        lease.finish(error.verdict());
                        State::Failed {
                            error: Some(match error {
                                PointError::Unsupported(reason) => Error::Unsupported(reason),
                                PointError::Address(source) => self.progress.invalid_address(endpoint, source),
                            }),
                        }
                    }
                }
            }
        }
    }
}

/// A request that waits and has had no attempt. If it is dropped, it counts as cancelled in the statistics of the pool.
/// `None` after the wait, and for a request that has had an attempt.
struct Unserved<T>(Option<Pool<T>>);

impl<T> Unserved<T> {
    /// Ends the wait with a lease. Returns whether the lease is for the first attempt of the request.
    fn served(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Ends the wait without a lease.
    fn failed(&mut self, error: &PickError) {
        if let Some(pool) = self.0.take() {
            pool.count_unserved(Some(error));
        }
    }
}

impl<T> Drop for Unserved<T> {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.count_unserved(None);
        }
    }
}

/// The waits of one request in the pool's queue. All of them together have one deadline.
struct Waiting<T> {
    /// `None` without a tokio timer. The request then does not wait, because nothing would end the wait.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The entry in the pool's queue while the request waits.
    entry: Option<Acquire<T>>,
}

impl<T: Send + Sync + 'static> Waiting<T> {
    fn new(max_wait: Duration) -> Self {
        Self { deadline: guarded(|| Box::pin(sleep(max_wait))), entry: None }
    }

    /// Returns the lease when an endpoint takes the request. At the deadline, returns the reason why the request still
    /// waits.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        acquire: impl FnOnce() -> Acquire<T>,
    ) -> Poll<Result<Lease<T>, PickError>> {
        let entry = self.entry.get_or_insert_with(acquire);
        let outcome = match Pin::new(&mut *entry).poll(cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.deadline.as_mut().is_none_or(|deadline| deadline.as_mut().poll(cx).is_ready()) => {
                Err(entry.reason())
            }
            Poll::Pending => return Poll::Pending,
        };
        // Removed now and not when the request is dropped, so that the next request takes its turn.
        self.entry = None;
        Poll::Ready(outcome)
    }
}

impl<T, D, P, Req> Future for ResponseFuture<T, D, P, Req>
where
    T: Send + Sync + 'static,
    D: Dispatch<T, Req>,
    InnerError<T, D, Req>: Into<BoxError>,
    P: Protocol<Req, InnerResponse<T, D, Req>>,
{
    type Output = Result<P::Response, Error>;

    /// After it has returned `Ready`, it returns `Pending` for ever.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let balancing = this.balancing;
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Trying { mut attempt } => {
                    let may_move = balancing.progress.may_move();
                    let outcome = ready!(attempt.as_mut().poll(cx, &balancing.core, may_move));
                    let Some(mut held) = attempt.take_held() else { return Poll::Pending };
                    match outcome {
                        Ok(mut response) => {
                            let protocol = &balancing.core.settings.protocol;
                            let endpoint = held.lease.endpoint().id();
                            let verdict = protocol.verdict(&response);
                            let head = protocol.response_head(&response);
                            held.observed.end(AttemptEnd::Response { verdict, head });
                            let outcome = RequestOutcome::Response { endpoint, verdict, head };
                            let observer = balancing.observed.finish(outcome);
                            protocol.on_response(&mut response, balancing.progress.answered(endpoint));
                            let lease = held.lease.without_target();
                            let mut response = protocol.attach(response, lease, verdict);
                            if let Some(observer) = observer {
                                protocol.observe_response(&mut response, observer);
                            }
                            return Poll::Ready(Ok(response));
                        }
                        Err(failed) => {
                            // Some futures hold the request until they are dropped. The future is dropped here, so that
                            // the body of the request can be taken back.
                            this.state.set(State::Failed { error: None });
                            match failed {
                                Failed::Error { error, class, unsent } => balancing.after(held, error, class, unsent),
                                Failed::NotReady { service, request, waited } => {
                                    balancing.elsewhere(held, service, request, waited)
                                }
                            }
                        }
                    }
                }
                StateProj::Waiting { request, failed, unserved, observed } => {
                    // Created here and not in `call`, because the timer belongs to the runtime that polls.
                    let routing = &balancing.routing;
                    let max_wait = routing.queue_timeout.unwrap_or_default();
                    let waiting = this.waiting.get_or_insert_with(|| Waiting::new(max_wait));
                    let picked = ready!(waiting.poll(cx, || balancing.core.pool.acquire(&routing.request())));
                    match (picked, request.take()) {
                        (Ok(lease), Some(request)) => {
                            if !unserved.served() {
                                balancing.core.pool.count_retry();
                            }
                            observed.end(QueueEnd::Served);
                            balancing.start(lease, request)
                        }
                        (Err(error), _) => {
                            unserved.failed(&error);
                            observed.end(QueueEnd::Failed(&error));
                            State::Failed { error: Some(failed.take().unwrap_or(error.into())) }
                        }
                        (Ok(_), None) => return Poll::Pending,
                    }
                }
                StateProj::Failed { error } => match error.take() {
                    Some(error) => {
                        let _ = balancing.observed.finish(RequestOutcome::Error(&error));
                        return Poll::Ready(Err(error));
                    }
                    None => return Poll::Pending,
                },
            };
            this.state.set(next);
        }
    }
}

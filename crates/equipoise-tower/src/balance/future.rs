use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise_core::{Acquire, EndpointId, Lease, PickError, PickRequest};
use pin_project_lite::pin_project;

use super::{
    Core,
    attempt::{Attempt, Failed, InnerError, InnerResponse, Readiness, Wait},
    progress::{Progress, verdict},
    waiting::Waiting,
};
use crate::{
    dispatch::Dispatch,
    error::{BoxError, Error, PointError},
    failure_stage::{FailureStage, NotSent},
    protocol::Protocol,
};

pin_project! {
    /// The future of [`Balance`](super::Balance): one attempt after the other until one succeeds or none is left.
    pub struct ResponseFuture<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        core: Arc<Core<T, P>>,
        dispatch: D,
        progress: Progress,
        // From the first time that it has to wait.
        waiting: Option<Waiting<T>>,
        #[pin]
        state: State<T, D, P, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<T, D, P, Req>
    where
        D: Dispatch<T, Req>,
        P: Protocol<Req, InnerResponse<T, D, Req>>,
    {
        Trying {
            #[pin]
            attempt: Attempt<T, D, Req>,
            lease: Option<Lease<T>>,
            kept: Option<P::Kept>,
            // Whether it may go elsewhere if its service does not get ready.
            movable: bool,
        },
        // With how it has failed before, if it has.
        Waiting { request: Option<Req>, failed: Option<Error> },
        Failed { error: Option<Error> },
    }
}

impl<T, D, P, Req> ResponseFuture<T, D, P, Req>
where
    T: Send + Sync + 'static,
    D: Dispatch<T, Req>,
    P: Protocol<Req, InnerResponse<T, D, Req>>,
{
    pub(super) fn new(core: Arc<Core<T, P>>, dispatch: D, request: Req) -> Self {
        let protocol = &core.settings.protocol;
        let excluded = protocol.placement(&request).map(|placement| placement.exclude.clone()).unwrap_or_default();
        let mut progress = Progress::new(core.settings.tries, excluded, protocol.outer_attempt(&request));
        let state = match pick(&core, &request, &progress.excluded) {
            Ok(lease) => State::start(&core, &dispatch, &mut progress, lease, request),
            Err(error) if error.is_temporary() && patience(&core, &request).is_some() => {
                State::Waiting { request: Some(request), failed: None }
            }
            Err(error) => State::Failed { error: Some(error.into()) },
        };
        Self { core, dispatch, progress, waiting: None, state }
    }
}

/// Asks the pool for an endpoint that has not failed this request.
fn pick<T, P, Req, Res>(core: &Core<T, P>, request: &Req, tried: &[EndpointId]) -> Result<Lease<T>, PickError>
where
    T: Send + Sync + 'static,
    P: Protocol<Req, Res>,
{
    about(core, request, tried, |about| core.pool.pick(about))
}

/// Puts the request into the pool's queue.
fn acquire<T, P, Req, Res>(core: &Core<T, P>, request: &Req, tried: &[EndpointId]) -> Acquire<T>
where
    T: Send + Sync + 'static,
    P: Protocol<Req, Res>,
{
    about(core, request, tried, |about| core.pool.acquire(about))
}

/// What the pool is told of a request: what it says of itself, and who has failed it.
fn about<T, P, Req, Res, R>(
    core: &Core<T, P>,
    request: &Req,
    tried: &[EndpointId],
    ask: impl FnOnce(&PickRequest<'_>) -> R,
) -> R
where
    P: Protocol<Req, Res>,
{
    let protocol = &core.settings.protocol;
    let about = PickRequest::new().exclude(tried);
    let key = protocol.key(request);
    let about = match &key {
        Some(key) => about.key(key),
        None => about,
    };
    ask(&match protocol.placement(request) {
        Some(placement) => placement.of(about),
        None => about,
    })
}

/// How long the request may wait for an endpoint.
fn patience<T, P, Req, Res>(core: &Core<T, P>, request: &Req) -> Option<Duration>
where
    P: Protocol<Req, Res>,
{
    core.settings.protocol.placement(request).and_then(|placement| placement.wait).or(core.settings.wait)
}

impl<T, D, P, Req> State<T, D, P, Req>
where
    T: Send + Sync + 'static,
    D: Dispatch<T, Req>,
    P: Protocol<Req, InnerResponse<T, D, Req>>,
{
    /// The first attempt at the leased endpoint, or at the next one whose address will do.
    fn start(core: &Core<T, P>, dispatch: &D, progress: &mut Progress, mut lease: Lease<T>, mut request: Req) -> Self {
        let protocol = &core.settings.protocol;
        loop {
            let attempt = progress.begin(lease.endpoint().id());
            let last = !progress.may_retry() || !lease.has_alternatives();
            // Kept as it came, before it is pointed anywhere.
            let (mut sent, kept) = if last { (request, None) } else { protocol.keep(request) };
            protocol.detach(&mut sent);
            let source = match dispatch.point(&mut sent, lease.endpoint()) {
                Ok(()) => {
                    protocol.on_attempt(&mut sent, attempt);
                    let attempt = Attempt::new(dispatch.service(&lease), sent, Wait::Undecided);
                    let movable = kept.is_some() || !last && D::LEAVES_REQUESTS;
                    return Self::Trying { attempt, lease: Some(lease), kept, movable };
                }
                Err(PointError::Unsupported(reason)) => {
                    return Self::Failed { error: Some(Error::Unsupported(reason)) };
                }
                Err(PointError::Address(source)) => source,
            };
            let endpoint = lease.endpoint().id().clone();
            lease.finish(FailureStage::NotSent.verdict());
            progress.excluded.push(endpoint.clone());
            // The attempt's half of the request goes first: what was lent to it comes back to the other.
            drop(sent);
            let next = kept.and_then(|kept| protocol.restore(kept));
            let next = next.and_then(|request| Some((pick(core, &request, &progress.excluded).ok()?, request)));
            let next = next.filter(|_| progress.take_retry());
            match next {
                Some(next) => (lease, request) = next,
                None => {
                    let error = Error::Address { endpoint, source, attempts: progress.attempts };
                    return Self::Failed { error: Some(error) };
                }
            }
        }
    }

    /// What comes after a failed attempt: another one elsewhere, or the end.
    fn after(
        core: &Core<T, P>,
        dispatch: &D,
        progress: &mut Progress,
        mut lease: Lease<T>,
        kept: Option<P::Kept>,
        error: InnerError<T, D, Req>,
        unsent: Option<Req>,
    ) -> Self
    where
        InnerError<T, D, Req>: Into<BoxError>,
    {
        let protocol = &core.settings.protocol;
        let source = error.into();
        let stage = match FailureStage::of(&*source) {
            // What a service that never got ready says is hardly ever a sentence that `FailureStage` knows.
            FailureStage::Other if unsent.is_some() => FailureStage::NotSent,
            stage => stage,
        };
        lease.record(stage.verdict());
        let endpoint = lease.endpoint().id().clone();
        drop(lease);
        progress.excluded.push(endpoint.clone());
        let again = match stage {
            _ if unsent.is_some() || stage.is_unsent() => true,
            FailureStage::NoResponse => kept.as_ref().is_some_and(|kept| protocol.is_idempotent(kept)),
            _ => false,
        };
        drop(unsent);
        let failed = Some(Error::Endpoint { endpoint, source, attempts: progress.attempts });
        let request = kept.filter(|_| again && progress.may_retry()).and_then(|kept| protocol.restore(kept));
        let Some(request) = request else { return Self::Failed { error: failed } };
        match pick(core, &request, &progress.excluded) {
            Ok(lease) if progress.take_retry() => Self::start(core, dispatch, progress, lease, request),
            // The others are full, and this one has nowhere to go: the dead look idle when all who live are busy.
            Err(error) if error.is_temporary() && patience(core, &request).is_some() && progress.take_retry() => {
                Self::Waiting { request: Some(request), failed }
            }
            _ => Self::Failed { error: failed },
        }
    }

    /// What comes after an attempt whose service is not ready: another one elsewhere, or, if there is no other endpoint,
    /// the same one for as long as it takes. Its service is kept until then, for its place in a queue.
    #[expect(clippy::too_many_arguments, reason = "it is all that the attempt held")]
    fn elsewhere(
        core: &Core<T, P>,
        dispatch: &D,
        progress: &mut Progress,
        lease: Lease<T>,
        kept: Option<P::Kept>,
        service: D::Service,
        sent: Req,
        waited: bool,
    ) -> Self {
        let protocol = &core.settings.protocol;
        let endpoint = lease.endpoint().id().clone();
        let failed = |attempts| {
            let source = NotSent::new(format!("its service was not ready within {:?}", core.settings.ready_timeout));
            Some(Error::Endpoint { endpoint: endpoint.clone(), source: source.into(), attempts })
        };
        if waited {
            core.unready.timed_out(&endpoint);
        }
        let request = match kept {
            Some(kept) => {
                // What was lent to the attempt comes back.
                drop(sent);
                protocol.restore(kept)
            }
            None => D::LEAVES_REQUESTS.then_some(sent),
        };
        let Some(request) = request else {
            lease.finish(verdict(waited));
            return Self::Failed { error: failed(progress.attempts) };
        };
        progress.excluded.push(endpoint.clone());
        match pick(core, &request, &progress.excluded) {
            Ok(next) if !waited || progress.take_retry() => {
                lease.finish(verdict(waited));
                if !waited {
                    progress.skip();
                }
                Self::start(core, dispatch, progress, next, request)
            }
            Err(error)
                if error.is_temporary() && patience(core, &request).is_some() && (!waited || progress.take_retry()) =>
            {
                lease.finish(verdict(waited));
                let failed = failed(progress.attempts);
                if !waited {
                    progress.skip();
                }
                Self::Waiting { request: Some(request), failed }
            }
            _ => {
                progress.excluded.pop();
                let (mut sent, kept) = protocol.keep(request);
                protocol.detach(&mut sent);
                match dispatch.point(&mut sent, lease.endpoint()) {
                    Ok(()) => {
                        protocol.on_attempt(&mut sent, progress.attempt(&endpoint));
                        let attempt = Attempt::new(service, sent, Wait::Unbounded);
                        Self::Trying { attempt, lease: Some(lease), kept, movable: false }
                    }
                    Err(PointError::Unsupported(reason)) => Self::Failed { error: Some(Error::Unsupported(reason)) },
                    Err(PointError::Address(source)) => {
                        let error = Error::Address { endpoint, source, attempts: progress.attempts };
                        Self::Failed { error: Some(error) }
                    }
                }
            }
        }
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let core = &**this.core;
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Trying { attempt, lease, kept, movable } => {
                    let Some(held) = lease.as_ref() else { return Poll::Pending };
                    let endpoint = held.endpoint().id();
                    let readiness = Readiness {
                        unready: &core.unready,
                        endpoint,
                        longest: movable.then_some(core.settings.ready_timeout),
                        may_skip: this.progress.may_skip(),
                    };
                    let failed = match ready!(attempt.poll(cx, &readiness)) {
                        Ok(response) => {
                            let protocol = &core.settings.protocol;
                            let attempt = this.progress.attempt(endpoint).of_response();
                            let Some(lease) = lease.take() else { return Poll::Pending };
                            let mut response = protocol.attach(response, lease.without_target());
                            protocol.on_response(&mut response, attempt);
                            return Poll::Ready(Ok(response));
                        }
                        Err(failed) => failed,
                    };
                    let Some(lease) = lease.take() else { return Poll::Pending };
                    let kept = kept.take();
                    // Some futures hold the request until they are dropped: its body comes back first.
                    this.state.set(State::Failed { error: None });
                    match failed {
                        Failed::Error { error, unsent } => {
                            State::after(core, this.dispatch, this.progress, lease, kept, error, unsent)
                        }
                        Failed::NotReady { service, request, waited } => {
                            State::elsewhere(core, this.dispatch, this.progress, lease, kept, service, request, waited)
                        }
                    }
                }
                StateProj::Waiting { request, failed } => {
                    let Some(held) = request.as_ref() else { return Poll::Pending };
                    // Made here and not in `call`: the timer belongs to the runtime that polls.
                    let waiting =
                        this.waiting.get_or_insert_with(|| Waiting::new(patience(core, held).unwrap_or_default()));
                    let excluded = &this.progress.excluded;
                    let picked = ready!(waiting.poll(cx, || acquire(core, held, excluded)));
                    match (picked, request.take()) {
                        (Ok(lease), Some(request)) => State::start(core, this.dispatch, this.progress, lease, request),
                        (Err(error), _) => return Poll::Ready(Err(failed.take().unwrap_or(error.into()))),
                        (Ok(_), None) => return Poll::Pending,
                    }
                }
                StateProj::Failed { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(error)),
                    // Polled after it has ended.
                    None => return Poll::Pending,
                },
            };
            this.state.set(next);
        }
    }
}

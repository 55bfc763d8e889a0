use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use equipoise_core::{EndpointId, Lease, PickError, PickRequest};
use pin_project_lite::pin_project;

use super::{
    Core,
    attempt::{Attempt, Failed, InnerError, InnerResponse},
    waiting::{Room, Waiting},
};
use crate::{
    dispatch::Dispatch,
    error::{BoxError, Error},
    protocol::Protocol,
    reach::Reach,
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
        // Who has failed this request.
        tried: Vec<EndpointId>,
        // From the first time that it has to wait.
        waiting: Option<Waiting>,
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
        let mut tried = Vec::new();
        let state = match pick(&core, &request, &tried) {
            Ok(lease) => State::start(&core, &dispatch, &mut tried, lease, request),
            Err(error) if error.is_temporary() && patience(&core, &request).is_some() => {
                State::Waiting { request: Some(request), failed: None }
            }
            Err(error) => State::Failed { error: Some(error.into()) },
        };
        Self { core, dispatch, tried, waiting: None, state }
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

/// Ends when there may be room for this request.
fn room<T, P, Req, Res>(core: &Core<T, P>, request: &Req, tried: &[EndpointId]) -> Room
where
    T: Send + Sync + 'static,
    P: Protocol<Req, Res>,
{
    about(core, request, tried, |about| Box::pin(core.pool.room_for(about, core.pool.revision())))
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
    fn start(
        core: &Core<T, P>,
        dispatch: &D,
        tried: &mut Vec<EndpointId>,
        mut lease: Lease<T>,
        mut request: Req,
    ) -> Self {
        let protocol = &core.settings.protocol;
        loop {
            let last = tried.len() + 1 >= core.settings.tries || !lease.has_alternatives();
            // Kept as it came, before it is pointed anywhere.
            let (mut sent, kept) = if last { (request, None) } else { protocol.keep(request) };
            protocol.detach(&mut sent);
            let Err(source) = dispatch.point(&mut sent, lease.endpoint()) else {
                let attempt = Attempt::new(dispatch, &lease, sent);
                return Self::Trying { attempt, lease: Some(lease), kept };
            };
            let endpoint = lease.endpoint().id().clone();
            lease.finish(Reach::NotSent.verdict());
            tried.push(endpoint.clone());
            // The attempt's half of the request goes first: what was lent to it comes back to the other.
            drop(sent);
            let next = kept.and_then(|kept| protocol.restore(kept)).filter(|_| tried.len() < core.settings.tries);
            let next = next.and_then(|request| Some((pick(core, &request, tried).ok()?, request)));
            match next {
                Some(next) => (lease, request) = next,
                None => return Self::Failed { error: Some(Error::Address { endpoint, source }) },
            }
        }
    }

    /// What comes after a failed attempt: another one elsewhere, or the end.
    fn after(
        core: &Core<T, P>,
        dispatch: &D,
        tried: &mut Vec<EndpointId>,
        mut lease: Lease<T>,
        kept: Option<P::Kept>,
        failed: Failed<Req, InnerError<T, D, Req>>,
    ) -> Self
    where
        InnerError<T, D, Req>: Into<BoxError>,
    {
        let protocol = &core.settings.protocol;
        let source = failed.error.into();
        let unsent = failed.unsent.is_some();
        let reach = match Reach::of(&*source) {
            // What a service that never got ready says is hardly ever a sentence that `Reach` knows.
            Reach::Other if unsent => Reach::NotSent,
            reach => reach,
        };
        lease.record(reach.verdict());
        let endpoint = lease.endpoint().id().clone();
        drop(lease);
        tried.push(endpoint.clone());
        drop(failed.unsent);
        let again = match reach {
            _ if unsent || reach.is_unsent() => true,
            Reach::NoResponse => kept.as_ref().is_some_and(|kept| protocol.is_idempotent(kept)),
            _ => false,
        };
        let failed = Some(Error::Endpoint { endpoint, source });
        let kept = kept.filter(|_| again && tried.len() < core.settings.tries);
        let Some(request) = kept.and_then(|kept| protocol.restore(kept)) else { return Self::Failed { error: failed } };
        match pick(core, &request, tried) {
            Ok(lease) => Self::start(core, dispatch, tried, lease, request),
            // The others are full, and this one has nowhere to go: the dead look idle when all who live are busy.
            Err(error) if error.is_temporary() && patience(core, &request).is_some() => {
                Self::Waiting { request: Some(request), failed }
            }
            Err(_) => Self::Failed { error: failed },
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
                StateProj::Trying { attempt, lease, kept } => {
                    let outcome = ready!(attempt.poll(cx));
                    let Some(lease) = lease.take() else { return Poll::Pending };
                    match outcome {
                        Ok(response) => {
                            let protocol = &core.settings.protocol;
                            return Poll::Ready(Ok(protocol.attach(response, lease.without_target())));
                        }
                        Err(failed) => {
                            let kept = kept.take();
                            // Some futures hold the request until they are dropped: its body comes back first.
                            this.state.set(State::Failed { error: None });
                            State::after(core, this.dispatch, this.tried, lease, kept, failed)
                        }
                    }
                }
                StateProj::Waiting { request, failed } => {
                    let Some(held) = request.as_ref() else { return Poll::Pending };
                    // Made here and not in `call`: the timer belongs to the runtime that polls.
                    let waiting =
                        this.waiting.get_or_insert_with(|| Waiting::new(patience(core, held).unwrap_or_default()));
                    let picked =
                        ready!(waiting.poll(cx, || room(core, held, this.tried), || pick(core, held, this.tried)));
                    match (picked, request.take()) {
                        (Ok(lease), Some(request)) => State::start(core, this.dispatch, this.tried, lease, request),
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

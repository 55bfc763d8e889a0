use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::{RequestHead, TunnelLease};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{InFlightBody, gate::Gate, permits::Permit};
use crate::{Denial, ReplyBody};

/// A service that limits how many requests are in flight. Created by [`InFlightLayer`](super::InFlightLayer).
///
/// It is always ready. The inner service is cloned for each request that passes, and waited for then. A request is in
/// flight while it waits.
#[derive(Clone, Debug)]
pub struct InFlight<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> InFlight<S> {
    pub(super) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

impl<S, B, R> Service<Request<B>> for InFlight<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ReplyBody<InFlightBody<R>>>;
    type Error = S::Error;
    type Future = InFlightFuture<S, B>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> InFlightFuture<S, B> {
        InFlightFuture {
            state: match self.gate.admit(RequestHead::of(&request)) {
                Ok(permit) => State::Ready { service: self.inner.clone(), request: Some(request), permit },
                Err(denial) => State::Deny { response: Some(self.own_response(&denial, &request)) },
            },
        }
    }
}

impl<S> InFlight<S> {
    fn own_response<B>(&self, denial: &Denial, request: &Request<B>) -> Response<Bytes> {
        denial.respond::<B, ()>(request, &self.gate.errors).map(|body| body.into_own().unwrap_or_default())
    }
}

pin_project! {
    /// The response future of an [`InFlight`]. It gives back the permit if it is dropped.
    pub struct InFlightFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<S, B, F> {
        Deny { response: Option<Response<Bytes>> },
        Ready { service: S, request: Option<Request<B>>, permit: Option<Permit> },
        Call { #[pin] future: F, permit: Option<Permit> },
    }
}

impl<S, B, R> Future for InFlightFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ReplyBody<InFlightBody<R>>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProject::Deny { response } => {
                    return match response.take() {
                        Some(response) => Poll::Ready(Ok(response.map(ReplyBody::own))),
                        None => Poll::Pending,
                    };
                }
                StateProject::Ready { service, request, permit } => {
                    ready!(service.poll_ready(cx)).inspect_err(|_| *permit = None)?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    let (future, permit) = (service.call(request), permit.take());
                    this.state.set(State::Call { future, permit });
                }
                StateProject::Call { future, permit } => {
                    let mut response = ready!(future.poll(cx)).inspect_err(|_| *permit = None)?;
                    let mut permit = permit.take();
                    if let Some(tunnel) = response.extensions_mut().get_mut::<TunnelLease>()
                        && let Some(permit) = permit.take()
                    {
                        tunnel.hold(permit);
                    }
                    return Poll::Ready(Ok(response.map(|body| ReplyBody::inner(InFlightBody::new(body, permit)))));
                }
            }
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for InFlightFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightFuture").finish_non_exhaustive()
    }
}

use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use equipoise_tower::RequestHead;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower_service::Service;

use super::{
    Authenticated,
    any::{Decided, Decision},
    gate::{Denied, Gate},
};
use crate::ReplyBody;

/// The service of an [`AuthLayer`](super::AuthLayer). It is always ready: readiness of the inner service is awaited
/// when a request was accepted.
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> Auth<S> {
    pub(super) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }

    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for Auth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = AuthServiceFuture<S, B, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        self.gate.clean(&mut parts);
        let state = match self.gate.schemes().decide(RequestHead::of_parts(&parts)) {
            Decided::Now(decision) => State::decided(&self.gate, self.inner.clone(), parts, body, decision),
            Decided::Later(decision) => {
                let waiting = Waiting { gate: self.gate.clone(), inner: self.inner.clone(), parts, body };
                State::Deciding { decision, waiting: Some(waiting) }
            }
        };
        AuthServiceFuture { state, response: PhantomData }
    }
}

pin_project! {
    /// The future of [`Auth`].
    pub struct AuthServiceFuture<S: Service<Request<B>>, B, R> {
        #[pin]
        state: State<S, B>,
        response: PhantomData<fn() -> R>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<S: Service<Request<B>>, B> {
        Deciding { decision: Pin<Box<dyn Future<Output = Decision> + Send>>, waiting: Option<Waiting<S, B>> },
        Passed { #[pin] response: Oneshot<S, Request<B>>, authenticated: Option<Authenticated> },
        Denied { response: Option<Box<Response<ReplyBody<Infallible>>>> },
    }
}

/// A request that waits for a decision.
struct Waiting<S, B> {
    gate: Arc<Gate>,
    inner: S,
    parts: Parts,
    body: B,
}

impl<S: Service<Request<B>>, B> State<S, B> {
    fn decided(gate: &Gate, inner: S, mut parts: Parts, body: B, decision: Decision) -> Self {
        match gate.apply(&mut parts, decision) {
            Ok(authenticated) => {
                let response = Oneshot::new(inner, Request::from_parts(parts, body));
                Self::Passed { response, authenticated }
            }
            Err(Denied { denial, identity }) => {
                let mut response = denial.respond_to(&parts.method, &parts.headers, parts.version, gate.errors());
                if let Some(identity) = identity {
                    response.extensions_mut().insert(identity);
                }
                Self::Denied { response: Some(Box::new(response)) }
            }
        }
    }
}

impl<S, B, R> Future for AuthServiceFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ReplyBody<R>>, S::Error>;

    /// # Panics
    ///
    /// If it is polled after its end.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProject::Deciding { decision, waiting } => {
                    let decision = ready!(decision.as_mut().poll(cx));
                    let Waiting { gate, inner, parts, body } = waiting.take().expect("polled after its end");
                    State::decided(&gate, inner, parts, body, decision)
                }
                StateProject::Passed { response, authenticated } => {
                    let mut response = ready!(response.poll(cx))?.map(ReplyBody::inner);
                    if let Some(authenticated) = authenticated.take() {
                        for (name, value) in authenticated.response_fields() {
                            response.headers_mut().append(name, value.clone());
                        }
                        response.extensions_mut().insert(authenticated.identity().clone());
                    }
                    return Poll::Ready(Ok(response));
                }
                StateProject::Denied { response } => {
                    let (parts, body) = response.take().expect("polled after its end").into_parts();
                    let body = ReplyBody::own(body.into_own().unwrap_or_default());
                    return Poll::Ready(Ok(Response::from_parts(parts, body)));
                }
            };
            state.set(next);
        }
    }
}

impl<S: Service<Request<B>>, B, R> fmt::Debug for AuthServiceFuture<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthServiceFuture").finish_non_exhaustive()
    }
}

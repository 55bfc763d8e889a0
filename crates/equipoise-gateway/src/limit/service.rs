use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::RequestHead;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::{
    MissingKey,
    gate::{Gate, Outcome, Pending},
    verdict::{Action, Verdict},
};
use crate::{Denial, ReplyBody};

/// A service that limits how many requests reach the inner service. Created by
/// [`RateLimitLayer`](super::RateLimitLayer).
///
/// It is always ready. The inner service is cloned for each request that passes, and waited for then, so a denied or
/// delayed request takes no capacity of it. Delays need a Tokio runtime with a timer.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

impl<S: fmt::Debug> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).field("gate", &self.gate).finish()
    }
}

impl<S, B, R> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = RateLimitFuture<S, B>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> RateLimitFuture<S, B> {
        let gate = Arc::clone(&self.gate);
        let demands = match gate.demands(RequestHead::of(&request)) {
            Ok(demands) => demands,
            Err(_) => {
                let response = own_response(&MissingKey::denial(), &request, &gate);
                let state = State::Deny { response: Some(response) };
                return RateLimitFuture { gate, verdict: Verdict::default(), state };
            }
        };
        let decision = gate.ask_server(demands, RequestHead::of(&request));
        let waiting = Waiting { service: self.inner.clone(), request: Some(request) };
        if let Some(decision) = decision {
            let state = State::Decide { decision, waiting: Some(waiting) };
            return RateLimitFuture { gate, verdict: Verdict::default(), state };
        }
        let verdict = gate.decide(&demands);
        let state = act(&gate, &Ok(verdict), waiting);
        RateLimitFuture { gate, verdict, state }
    }
}

/// Does what a decision says.
fn act<S, B, F>(gate: &Gate, outcome: &Outcome, waiting: Waiting<S, B>) -> State<S, B, F> {
    let action = gate.conclude(outcome);
    if let (Some(denial), Some(request)) = (gate.denial(action), &waiting.request) {
        return State::Deny { response: Some(own_response(&denial, request, gate)) };
    }
    match action {
        Action::Pass { delay } if !delay.is_zero() => {
            State::Delay { sleep: Box::pin(sleep(delay)), waiting: Some(waiting) }
        }
        _ => State::Ready { waiting },
    }
}

fn own_response<B>(denial: &Denial, request: &Request<B>, gate: &Gate) -> Response<Bytes> {
    denial.respond::<B, ()>(request, gate.errors()).map(|body| body.into_own().unwrap_or_default())
}

/// A request that has not been passed on yet.
struct Waiting<S, B> {
    service: S,
    request: Option<Request<B>>,
}

pin_project! {
    /// The response future of a [`RateLimit`].
    pub struct RateLimitFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        gate: Arc<Gate>,
        verdict: Verdict,
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<S, B, F> {
        Deny { response: Option<Response<Bytes>> },
        Decide { decision: Pending, waiting: Option<Waiting<S, B>> },
        Delay { sleep: Pin<Box<Sleep>>, waiting: Option<Waiting<S, B>> },
        Ready { waiting: Waiting<S, B> },
        Call { #[pin] future: F },
    }
}

impl<S, B, R> Future for RateLimitFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ReplyBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut response = loop {
            match this.state.as_mut().project() {
                StateProject::Decide { decision, waiting } => {
                    let outcome = ready!(decision.as_mut().poll(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    *this.verdict = outcome.unwrap_or_default();
                    let state = act(this.gate, &outcome, waiting);
                    this.state.set(state);
                }
                StateProject::Deny { response } => match response.take() {
                    Some(response) => break response.map(ReplyBody::own),
                    None => return Poll::Pending,
                },
                StateProject::Delay { sleep, waiting } => {
                    ready!(sleep.as_mut().poll(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    this.state.set(State::Ready { waiting });
                }
                StateProject::Ready { waiting } => {
                    ready!(waiting.service.poll_ready(cx))?;
                    let Some(request) = waiting.request.take() else { return Poll::Pending };
                    let future = waiting.service.call(request);
                    this.state.set(State::Call { future });
                }
                StateProject::Call { future } => break ready!(future.poll(cx))?.map(ReplyBody::inner),
            }
        };
        this.gate.write_fields(this.verdict, response.headers_mut());
        Poll::Ready(Ok(response))
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for RateLimitFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitFuture").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

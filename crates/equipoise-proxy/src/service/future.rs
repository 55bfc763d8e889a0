use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::{BoxError, drop_late, poll_checked, refuse_response};
use http::{
    Request, Response,
    header::{EXPECT, TRANSFER_ENCODING},
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    exchange::{Exchange, Next},
    own_response::LateResponse,
    settings::Settings,
    unanswered::Failed,
};
use crate::{
    body::{Arrived, Elapsed, First, ProxyBody, RequestBody, ResponseWatch, Timer},
    check::InvalidResponse,
    error::ProxyError,
};

pin_project! {
    /// The response future of a [`ReverseProxy`](crate::ReverseProxy).
    pub struct ProxyFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        exchange: Exchange,
        timer: Timer,
        watch: Option<ResponseWatch>,
        // `None` if no layer inside completes responses of the proxy.
        late: Option<LateResponse>,
        #[pin]
        state: State<S, B, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<S, B, F, R> {
        /// The proxy itself answers.
        Respond { response: Option<Response<Bytes>> },
        /// The inner service has not got the request yet.
        Begin { service: S, request: Option<Request<RequestBody<B>>>, look: Look },
        /// The inner service has got the request.
        Call { #[pin] future: F },
        /// The inner service has responded with a chunked body. `asked` is whether it was asked for the first frame.
        Read { response: Option<R>, asked: bool },
        Done,
    }
}

/// Whether the frames of a chunked body that have arrived are read before the request is forwarded. If one of these
/// chunks is malformed, the client then gets its 400, and no endpoint sees the request. A body with a length cannot be
/// malformed.
///
/// A server such as hyper's reads each frame only after it was asked for it. The task is therefore run once more for
/// each. The request is not held back any longer, because a client may wait for the response before it sends more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// The server has not been asked yet.
    First,
    /// The server was asked for the next frame.
    Again,
    Done,
}

impl<S, B> ProxyFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(service: S, settings: Arc<Settings>, request: Request<B>) -> Self {
        // To read the body is to send `100 Continue`. The endpoint may want to refuse the body instead. A chunk that
        // has arrived cannot be read without this either, so a malformed one is noticed later.
        let is_looked_at = !request.body().is_end_stream()
            && request.headers().contains_key(TRANSFER_ENCODING)
            && !request.headers().contains_key(EXPECT);
        let (exchange, next) = Exchange::begin(settings, request);
        let timer = Timer::new(exchange.settings().timeouts.head, exchange.total);
        let mut late = None;
        let (watch, state) = match next {
            Next::Respond(response) => (None, State::Respond { response: Some(response) }),
            Next::Forward(mut request) => {
                let look = if is_looked_at { Look::First } else { Look::Done };
                if exchange.settings().complete.is_some() {
                    let place = LateResponse::new(request.body().failure_watch());
                    request.extensions_mut().insert(place.clone());
                    late = Some(place);
                }
                (request.body().watch(), State::Begin { service, request: Some(request), look })
            }
        };
        Self { exchange, timer, watch, late, state }
    }
}

impl<S, B, R> Future for ProxyFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ProxyBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = loop {
            match this.state.as_mut().project() {
                StateProject::Respond { response } => {
                    let response = response.take().map(|response| response.map(ProxyBody::from_bytes));
                    this.state.set(State::Done);
                    return match response {
                        Some(response) => Poll::Ready(Ok(response)),
                        None => Poll::Pending,
                    };
                }
                StateProject::Begin { service, request, look } => {
                    if *look != Look::Done
                        && let Some(request) = request.as_mut()
                    {
                        match (Pin::new(request.body_mut()).read_ahead(cx), *look) {
                            (Ok(Arrived::Frame), _) | (Ok(Arrived::Nothing), Look::First) => {
                                *look = Look::Again;
                                cx.waker().wake_by_ref();
                                return Poll::Pending;
                            }
                            (Ok(_), _) => *look = Look::Done,
                            (Err(error), _) => {
                                let response = this.exchange.failed(ProxyError::RequestBody(error));
                                break Answer::Own(this.exchange.completed(request, response));
                            }
                        }
                    }
                    match service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => break Answer::Failed(ProxyError::of_service(error.into())),
                        Poll::Pending => {
                            break Answer::Failed(endpoint_late(ready!(this.timer.poll_elapsed(cx, None))));
                        }
                    }
                    // The time of the head begins now. The next wait notices if the whole time has passed.
                    let _ = this.timer.progress();
                    // Polled again after it has returned its response.
                    let Some(request) = request.take() else { return Poll::Pending };
                    if let Some(watch) = this.watch.as_ref() {
                        watch.forward();
                    }
                    let future = service.call(request);
                    this.state.set(State::Call { future });
                }
                StateProject::Call { mut future } => match poll_checked(|| future.as_mut().poll(cx)) {
                    Poll::Ready(Ok(response)) if failed_to_deliver(&response) => {
                        // A layer between has answered, and does not know why.
                        break match this.watch.as_ref().and_then(|watch| watch.failure()) {
                            Some(failure) => Answer::Failed(ProxyError::RequestBody(failure)),
                            None => Answer::Forward(response, First::Unread),
                        };
                    }
                    Poll::Ready(Ok(response)) if this.exchange.reads_ahead(&response) => {
                        this.state.set(State::Read { response: Some(response), asked: false });
                    }
                    Poll::Ready(Ok(response)) => break Answer::Forward(response, First::Unread),
                    Poll::Ready(Err(error)) => {
                        let failure = this.watch.as_ref().and_then(|watch| watch.failure());
                        break Answer::Failed(match failure {
                            Some(failure) => ProxyError::RequestBody(failure),
                            None => ProxyError::of_service(error.into()),
                        });
                    }
                    Poll::Pending => {
                        let latest = this.watch.as_ref().map(|watch| watch.latest());
                        let elapsed = ready!(this.timer.poll_elapsed(cx, latest));
                        let error = match this.watch.as_ref() {
                            Some(watch) => match watch.failure() {
                                // The inner service has not noticed.
                                Some(failure) => ProxyError::RequestBody(failure),
                                None if watch.is_waiting() => ProxyError::RequestBody(watch.late(elapsed)),
                                None => endpoint_late(elapsed),
                            },
                            None => endpoint_late(elapsed),
                        };
                        let Some(late) = this.late.as_ref() else { break Answer::Failed(error) };
                        // A layer inside drops what it waits for, and takes the response.
                        let is_late = is_late(&error);
                        let own = this.exchange.failed(error);
                        late.leave(own.clone());
                        let mut polled = Poll::Pending;
                        let mut poll = || polled = future.as_mut().poll(cx);
                        if is_late {
                            drop_late(poll);
                        } else {
                            poll();
                        }
                        let is_taken = late.take().is_none();
                        break match polled {
                            Poll::Ready(Ok(response)) if is_taken => Answer::Completed(response),
                            _ if is_late => Answer::Late(own),
                            _ => Answer::Own(own),
                        };
                    }
                },
                StateProject::Read { response, asked } => {
                    // Polled again after it has returned its response.
                    let Some(mut read) = response.take() else { return Poll::Pending };
                    match Pin::new(read.body_mut()).poll_frame(cx) {
                        Poll::Pending if !*asked => {
                            *asked = true;
                            *response = Some(read);
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Poll::Pending => break Answer::Forward(read, First::Unread),
                        Poll::Ready(None) => break Answer::Forward(read, First::End),
                        Poll::Ready(Some(Ok(frame))) => break Answer::Forward(read, First::Frame(frame)),
                        Poll::Ready(Some(Err(error))) => {
                            tracing::debug!(error = %error.into(), "the body of a response could not be read");
                            refuse_response(read);
                            break Answer::Failed(ProxyError::InvalidResponse(InvalidResponse::Body));
                        }
                    }
                }
                // Polled again after it has returned its response.
                StateProject::Done => return Poll::Pending,
            }
        };
        // The inner future, and with it the connection to the endpoint, is dropped before the response is sent.
        match &answer {
            Answer::Failed(error) if is_late(error) => drop_late(|| this.state.set(State::Done)),
            Answer::Late(_) => drop_late(|| this.state.set(State::Done)),
            _ => this.state.set(State::Done),
        }
        Poll::Ready(Ok(match answer {
            Answer::Forward(response, first) => {
                if let Some(watch) = this.watch.as_ref() {
                    watch.respond();
                }
                this.exchange.finish(response, first, this.watch.take())
            }
            Answer::Completed(response) => response.map(ProxyBody::unlimited),
            Answer::Own(response) | Answer::Late(response) => response.map(ProxyBody::from_bytes),
            Answer::Failed(error) => this.exchange.fail(error),
        }))
    }
}

/// What the client gets.
enum Answer<R> {
    /// The response of the inner service, of whose body this has been read.
    Forward(Response<R>, First),
    /// The response of the proxy, which layers of the inner service have completed.
    Completed(Response<R>),
    /// The response of the proxy.
    Own(Response<Bytes>),
    /// The response of the proxy, because the endpoint was late.
    Late(Response<Bytes>),
    /// The response of the proxy for this error.
    Failed(ProxyError),
}

/// Returns whether the endpoint was late.
fn is_late(error: &ProxyError) -> bool {
    matches!(error, ProxyError::HeadTimeout | ProxyError::TotalTimeout)
}

/// Returns whether a layer inside of the proxy has made this response of the error of its service.
fn failed_to_deliver<R>(response: &Response<R>) -> bool {
    response.extensions().get().is_some_and(|Failed(error)| matches!(**error, ProxyError::Service(_)))
}

fn endpoint_late(elapsed: Elapsed) -> ProxyError {
    match elapsed {
        Elapsed::Idle => ProxyError::HeadTimeout,
        Elapsed::Total => ProxyError::TotalTimeout,
    }
}

impl<S: Service<Request<RequestBody<B>>>, B> fmt::Debug for ProxyFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyFuture").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

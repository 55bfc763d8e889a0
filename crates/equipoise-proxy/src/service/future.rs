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
    exchange::{Exchange, Next, Settings},
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
        let (watch, state) = match next {
            Next::Respond(response) => (None, State::Respond { response: Some(response) }),
            Next::Forward(request) => {
                let look = if is_looked_at { Look::First } else { Look::Done };
                (request.body().watch(), State::Begin { service, request: Some(request), look })
            }
        };
        Self { exchange, timer, watch, state }
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
        let result = loop {
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
                            (Err(error), _) => break Err(ProxyError::RequestBody(error)),
                        }
                    }
                    match service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => break Err(ProxyError::of_service(error.into())),
                        Poll::Pending => break Err(endpoint_late(ready!(this.timer.poll_elapsed(cx, None)))),
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
                StateProject::Call { future } => match poll_checked(|| future.poll(cx)) {
                    Poll::Ready(Ok(response)) if failed_to_deliver(&response) => {
                        // A layer between has answered, and does not know why.
                        break match this.watch.as_ref().and_then(|watch| watch.failure()) {
                            Some(failure) => Err(ProxyError::RequestBody(failure)),
                            None => Ok((response, First::Unread)),
                        };
                    }
                    Poll::Ready(Ok(response)) if this.exchange.reads_ahead(&response) => {
                        this.state.set(State::Read { response: Some(response), asked: false });
                    }
                    Poll::Ready(Ok(response)) => break Ok((response, First::Unread)),
                    Poll::Ready(Err(error)) => {
                        let failure = this.watch.as_ref().and_then(|watch| watch.failure());
                        break Err(match failure {
                            Some(failure) => ProxyError::RequestBody(failure),
                            None => ProxyError::of_service(error.into()),
                        });
                    }
                    Poll::Pending => {
                        let latest = this.watch.as_ref().map(|watch| watch.latest());
                        let elapsed = ready!(this.timer.poll_elapsed(cx, latest));
                        break Err(match this.watch.as_ref() {
                            Some(watch) => match watch.failure() {
                                // The inner service has not noticed.
                                Some(failure) => ProxyError::RequestBody(failure),
                                None if watch.is_waiting() => ProxyError::RequestBody(watch.late(elapsed)),
                                None => endpoint_late(elapsed),
                            },
                            None => endpoint_late(elapsed),
                        });
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
                        Poll::Pending => break Ok((read, First::Unread)),
                        Poll::Ready(None) => break Ok((read, First::End)),
                        Poll::Ready(Some(Ok(frame))) => break Ok((read, First::Frame(frame))),
                        Poll::Ready(Some(Err(error))) => {
                            tracing::debug!(error = %error.into(), "the body of a response could not be read");
                            refuse_response(read);
                            break Err(ProxyError::InvalidResponse(InvalidResponse::Body));
                        }
                    }
                }
                // Polled again after it has returned its response.
                StateProject::Done => return Poll::Pending,
            }
        };
        // The inner future, and with it the connection to the endpoint, is dropped before the response is sent.
        if matches!(result, Err(ProxyError::HeadTimeout | ProxyError::TotalTimeout)) {
            drop_late(|| this.state.set(State::Done));
        } else {
            this.state.set(State::Done);
        }
        Poll::Ready(Ok(match result {
            Ok((response, first)) => {
                if let Some(watch) = this.watch.as_ref() {
                    watch.respond();
                }
                this.exchange.finish(response, first, this.watch.take())
            }
            Err(error) => this.exchange.fail(error),
        }))
    }
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

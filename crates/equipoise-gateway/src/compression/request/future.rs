use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use equipoise_proxy::error::ErrorResponses;
use http::{HeaderMap, Method, Request, Response, Version};
use pin_project_lite::pin_project;

use super::body::Decoding;
use crate::{Denial, ReplyBody};

/// What the form of a refusal depends on.
#[derive(Debug)]
pub(super) struct Head {
    method: Method,
    headers: HeaderMap,
    version: Version,
}

impl Head {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self { method: request.method().clone(), headers: request.headers().clone(), version: request.version() }
    }

    pub(super) fn respond<R>(&self, denial: &Denial, errors: &ErrorResponses) -> Response<ReplyBody<R>> {
        denial.respond_to(&self.method, &self.headers, self.version, errors)
    }
}

pin_project! {
    /// The response future of a [`Decompression`](super::Decompression).
    pub struct DecompressionFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProject]
    enum State<F, R> {
        Denied { response: Option<Response<ReplyBody<R>>> },
        Untouched { #[pin] future: F },
        Decompressing { #[pin] future: F, decoding: Arc<Decoding>, head: Box<Head> },
    }
}

impl<F, R> DecompressionFuture<F, R> {
    pub(super) fn denied(response: Response<ReplyBody<R>>) -> Self {
        Self { state: State::Denied { response: Some(response) } }
    }

    pub(super) fn untouched(future: F) -> Self {
        Self { state: State::Untouched { future } }
    }

    pub(super) fn decompressing(future: F, decoding: Arc<Decoding>, head: Head) -> Self {
        Self { state: State::Decompressing { future, decoding, head: Box::new(head) } }
    }
}

impl<F, R, E> Future for DecompressionFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ReplyBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProject::Denied { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // Polled again after it has returned its response.
                None => Poll::Pending,
            },
            StateProject::Untouched { future } => future.poll(cx).map_ok(|response| response.map(ReplyBody::inner)),
            StateProject::Decompressing { future, decoding, head } => {
                let result = ready!(future.poll(cx));
                let is_error = result.as_ref().map_or(true, |response| response.status().is_server_error());
                if is_error && let Some(failure) = decoding.failure() {
                    return Poll::Ready(Ok(head.respond(&failure.denial(), &decoding.settings.errors)));
                }
                Poll::Ready(result.map(|response| response.map(ReplyBody::inner)))
            }
        }
    }
}

impl<F, R> fmt::Debug for DecompressionFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Denied { .. } => "denied",
            State::Untouched { .. } => "untouched",
            State::Decompressing { .. } => "decompressing",
        };
        f.debug_struct("DecompressionFuture").field("state", &state).finish_non_exhaustive()
    }
}

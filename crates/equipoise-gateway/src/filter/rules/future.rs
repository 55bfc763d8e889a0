use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use equipoise_proxy::error::ErrorResponses;
use http::{Response, StatusCode};
use pin_project_lite::pin_project;

use crate::{
    Denial, ReplyBody,
    filter::{
        reply_future::ReplyFuture,
        reply_head::{ReplyHead, is_failure},
    },
};

pin_project! {
    /// The response future of a [`Filter`](super::Filter).
    pub struct FilterFuture<F, R> {
        #[pin]
        inner: ReplyFuture<F, R>,
        watch: Option<Watch>,
    }
}

/// What is kept of a request whose body may become too long.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) passed: Arc<AtomicBool>,
    pub(super) errors: Arc<ErrorResponses>,
    /// Counts bodies that were too long.
    pub(super) too_large: Arc<AtomicU64>,
    pub(super) reply: ReplyHead,
}

/// The denial of a request whose body is longer than `max` bytes.
pub(super) fn too_large() -> Denial {
    Denial::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body of the request is too large")
}

impl<F, R> FilterFuture<F, R> {
    pub(super) fn new(inner: ReplyFuture<F, R>, watch: Option<Watch>) -> Self {
        Self { inner, watch }
    }
}

impl<F, R, E> Future for FilterFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ReplyBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let Some(watch) = this.watch.take().filter(|watch| watch.passed.load(Ordering::Relaxed)) else {
            return Poll::Ready(result);
        };
        watch.too_large.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(match result {
            // The inner service failed because its request did, so its error would mislead.
            Err(_) => Ok(watch.reply.respond(&too_large(), &watch.errors)),
            // A server error has the same reason, and so has the response for an error of the inner service. Any other
            // response was made before the limit was reached.
            Ok(response) if is_failure(&response) => Ok(watch.reply.respond(&too_large(), &watch.errors)),
            Ok(response) => Ok(response),
        })
    }
}

impl<F, R> fmt::Debug for FilterFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterFuture").field("inner", &self.inner).finish_non_exhaustive()
    }
}

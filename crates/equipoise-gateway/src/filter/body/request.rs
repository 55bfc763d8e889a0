use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{Method, Request, Response, header::CONTENT_LENGTH};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    filtered::{BodyFilterStats, Counts, FilteredBody, Outcome},
    traits::{BodyRejected, FilterRequest},
};
use crate::{
    ReplyBody,
    filter::{
        reply_future::ReplyFuture,
        reply_head::{ReplyHead, is_failure},
    },
};

/// A layer that gives the bodies of requests to [filters](super::BodyFilter).
///
/// Requests without a body are passed on as they are, and so are `CONNECT` requests. A body with `Content-Encoding` is
/// given to filters that change bodies only if [`encoded`](Self::encoded) is set. If the filter changes the body,
/// `Content-Length` and the digests of the body are removed.
///
/// If a filter ends the message, the body fails, and the response is the
/// [denial](super::BodyRejected::denial) of the filter, unless the inner service has responded before.
#[derive(Clone)]
pub struct RequestBodyFilterLayer {
    filters: Arc<dyn FilterRequest>,
    encoded: bool,
    errors: Arc<ErrorResponses>,
    counts: Arc<Counts>,
}

impl RequestBodyFilterLayer {
    /// Creates a layer with what creates the filters.
    #[must_use]
    pub fn new(filters: impl FilterRequest + 'static) -> Self {
        Self { filters: Arc::new(filters), encoded: false, errors: Arc::default(), counts: Arc::default() }
    }

    /// Sets whether filters that change bodies get encoded ones, such as those with `Content-Encoding: gzip`. Default:
    /// false.
    #[must_use]
    pub fn encoded(mut self, encoded: bool) -> Self {
        self.encoded = encoded;
        self
    }

    /// Sets the form of the responses to rejected requests. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = Arc::new(errors);
        self
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> BodyFilterStats {
        self.counts.stats()
    }
}

impl fmt::Debug for RequestBodyFilterLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBodyFilterLayer").field("encoded", &self.encoded).finish_non_exhaustive()
    }
}

/// The service of a [`RequestBodyFilterLayer`].
#[derive(Clone, Debug)]
pub struct RequestBodyFilters<S> {
    inner: S,
    layer: RequestBodyFilterLayer,
}

impl<S> Layer<S> for RequestBodyFilterLayer {
    type Service = RequestBodyFilters<S>;

    fn layer(&self, inner: S) -> RequestBodyFilters<S> {
        RequestBodyFilters { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for RequestBodyFilters<S>
where
    S: Service<Request<FilteredBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = RequestBodyFilterFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let has_body = !request.body().is_end_stream() && request.method() != Method::CONNECT;
        let is_encoded = super::response::is_encoded(request.headers());
        let filter = has_body.then(|| self.layer.filters.filter(RequestHead::of(&request))).flatten();
        let Some(filter) = filter.filter(|filter| !filter.changes_body() || !is_encoded || self.layer.encoded) else {
            let future = self.inner.call(request.map(FilteredBody::plain));
            return RequestBodyFilterFuture { inner: ReplyFuture::inner(future), watch: None };
        };
        if filter.changes_body() {
            request.headers_mut().remove(CONTENT_LENGTH);
            super::response::remove_digests(request.headers_mut());
        }
        let outcome = Outcome { counts: Arc::clone(&self.layer.counts), ..Outcome::default() };
        let watch = Watch {
            rejected: Arc::clone(&outcome.rejected),
            reply: ReplyHead::of(&request),
            errors: Arc::clone(&self.layer.errors),
        };
        let future = self.inner.call(request.map(|body| FilteredBody::new(body, filter, outcome)));
        RequestBodyFilterFuture { inner: ReplyFuture::inner(future), watch: Some(watch) }
    }
}

/// What is kept of a request that a filter may end.
struct Watch {
    rejected: Arc<OnceLock<BodyRejected>>,
    reply: ReplyHead,
    errors: Arc<ErrorResponses>,
}

pin_project! {
    /// The response future of [`RequestBodyFilters`].
    pub struct RequestBodyFilterFuture<F, R> {
        #[pin]
        inner: ReplyFuture<F, R>,
        watch: Option<Watch>,
    }
}

impl<F, R, E> Future for RequestBodyFilterFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ReplyBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let Some(watch) = this.watch.take() else { return Poll::Ready(result) };
        let Some(rejected) = watch.rejected.get() else { return Poll::Ready(result) };
        Poll::Ready(match result {
            Ok(response) if !is_failure(&response) => Ok(response),
            // The inner service failed because its request did.
            _ => Ok(watch.reply.respond(rejected.denial(), &watch.errors)),
        })
    }
}

impl<F, R> fmt::Debug for RequestBodyFilterFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBodyFilterFuture").field("inner", &self.inner).finish_non_exhaustive()
    }
}

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    filtered::{BodyFilterStats, Counts, FilteredBody, Outcome},
    traits::FilterRequest,
};
use crate::{Denial, ReplyBody, ReplyFuture, changed_content, reply_future::LateDenial};

/// A layer that gives the bodies of requests to [filters](super::BodyFilter).
///
/// The inner service gets requests with the body [`FilteredBody`](super::FilteredBody), whatever the body is that the layered service
/// gets. Write `Request<_>` for the request of a handler, not one type of body: otherwise, the layered service is no service.
///
/// Requests without a body are passed on as they are, and so are `CONNECT` requests. A body with `Content-Encoding` is
/// given only to filters that can [read it](super::BodyFilter::reads_encoded), or if [`encoded`](Self::encoded) is set.
/// Otherwise, it could hide from the filter what it looks for, so the response has status 415, `Accept-Encoding: identity`,
/// and the code `unsupported_content_encoding`. A `DecompressionLayer` (feature `compression`) around this one removes the
/// encoding before. If the filter changes the body, `Content-Length` and the digests of the body are removed.
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

    /// Sets whether all filters get encoded bodies, such as those with `Content-Encoding: gzip`, as they are. Default:
    /// false: requests with such bodies are refused, unless the filter can read them.
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
    type Future = ReplyFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let has_body = !request.body().is_end_stream() && request.method() != Method::CONNECT;
        let filter = has_body.then(|| self.layer.filters.filter(RequestHead::of(&request))).flatten();
        let Some(filter) = filter else {
            return ReplyFuture::inner(self.inner.call(request.map(FilteredBody::plain)));
        };
        if !self.layer.encoded && !filter.reads_encoded() && super::response::is_encoded(request.headers()) {
            self.layer.counts.on_rejected();
            return ReplyFuture::own(unreadable().respond(&request, &self.layer.errors));
        }
        if filter.changes_body() {
            changed_content::of_request(request.headers_mut());
        }
        let outcome = Outcome { counts: Arc::clone(&self.layer.counts), ..Outcome::default() };
        let late = LateDenial::new(&request, Arc::clone(&outcome.denial), Arc::clone(&self.layer.errors));
        let future = self.inner.call(request.map(|body| FilteredBody::new(body, filter, outcome)));
        ReplyFuture::inner_or_denied(future, late)
    }
}

/// The denial of a request whose body is encoded, so that the filter would not see its text (RFC 9110, section 15.5.16).
fn unreadable() -> Denial {
    Denial::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_content_encoding",
        "this Content-Encoding of a request is not supported",
    )
    .field(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

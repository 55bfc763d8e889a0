use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, IF_RANGE, RANGE},
};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    filtered::{BodyFilterStats, Counts, FilteredBody, Outcome},
    traits::{FilterResponse, FilteredResponse},
};
use crate::changed_content::{self, WeakTags};

/// A layer that gives the bodies of responses to [filters](super::BodyFilter).
///
/// Responses to `CONNECT`, and those with status 1xx, 204 and 304, have no body to filter. Those of other
/// [content types](Self::content_types) than the given ones are passed on as they are. A filter that changes bodies does not
/// get parts of a body (status 206), and encoded bodies (`Content-Encoding`) only if [`encoded`](Self::encoded) is set. So
/// that there are complete and plain bodies, `Range`, `If-Range` and `Accept-Encoding` are removed from requests unless
/// [`keep_request_fields`](Self::keep_request_fields) is set.
///
/// If a filter changes the body, `Content-Length`, `Accept-Ranges` and the digests of the body are removed, and a
/// strong `ETag` becomes a weak one (RFC 9110, section 8.8.1). The same is done for `HEAD`, and the `ETag` of a 304 becomes
/// weak if the client has sent the weak one.
///
/// In [`Functions`](crate::stack::Functions), the method `filter_response_bodies` takes this layer. It is inside of the cache
/// there, so a stored body is filtered once, and the cache asks the backend with the weak `ETag`.
///
/// If a filter ends the message, the body fails, so that clients see that it is not complete.
#[derive(Clone)]
pub struct ResponseBodyFilterLayer {
    settings: Arc<Settings>,
    counts: Arc<Counts>,
}

#[derive(Clone)]
struct Settings {
    filters: Arc<dyn FilterResponse>,
    content_types: Option<Vec<String>>,
    encoded: bool,
    keep_request_fields: bool,
}

impl ResponseBodyFilterLayer {
    /// Creates a layer with what creates the filters.
    #[must_use]
    pub fn new(filters: impl FilterResponse + 'static) -> Self {
        let settings =
            Settings { filters: Arc::new(filters), content_types: None, encoded: false, keep_request_fields: false };
        Self { settings: Arc::new(settings), counts: Arc::default() }
    }

    /// Sets the content types of responses that are filtered, without parameters, such as `text/html`. Default: all.
    #[must_use]
    pub fn content_types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        let types = types.into_iter().map(|kind| kind.as_ref().trim().to_ascii_lowercase()).collect();
        Arc::make_mut(&mut self.settings).content_types = Some(types);
        self
    }

    /// Sets whether filters that change bodies get encoded ones, such as those with `Content-Encoding: gzip`. Default:
    /// false.
    #[must_use]
    pub fn encoded(mut self, encoded: bool) -> Self {
        Arc::make_mut(&mut self.settings).encoded = encoded;
        self
    }

    /// Sets whether requests keep `Range`, `If-Range` and `Accept-Encoding`. Set it for filters that change no body.
    /// Default: false.
    #[must_use]
    pub fn keep_request_fields(mut self, keep: bool) -> Self {
        Arc::make_mut(&mut self.settings).keep_request_fields = keep;
        self
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> BodyFilterStats {
        self.counts.stats()
    }
}

impl fmt::Debug for ResponseBodyFilterLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBodyFilterLayer")
            .field("content_types", &self.settings.content_types)
            .field("encoded", &self.settings.encoded)
            .finish_non_exhaustive()
    }
}

/// The service of a [`ResponseBodyFilterLayer`].
#[derive(Clone)]
pub struct ResponseBodyFilters<S> {
    inner: S,
    layer: ResponseBodyFilterLayer,
}

impl<S: fmt::Debug> fmt::Debug for ResponseBodyFilters<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBodyFilters").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ResponseBodyFilterLayer {
    type Service = ResponseBodyFilters<S>;

    fn layer(&self, inner: S) -> ResponseBodyFilters<S> {
        ResponseBodyFilters { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for ResponseBodyFilters<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<FilteredBody<R>>;
    type Error = S::Error;
    type Future = ResponseBodyFilterFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let watch = (*request.method() != Method::CONNECT).then(|| Watch {
            weak_tags: WeakTags::of(request.headers()),
            layer: self.layer.clone(),
            method: request.method().clone(),
            uri: request.uri().clone(),
        });
        if !self.layer.settings.keep_request_fields {
            for name in [RANGE, IF_RANGE, ACCEPT_ENCODING] {
                request.headers_mut().remove(name);
            }
        }
        ResponseBodyFilterFuture { inner: self.inner.call(request), watch }
    }
}

/// What is kept of a request.
struct Watch {
    layer: ResponseBodyFilterLayer,
    method: Method,
    uri: Uri,
    weak_tags: WeakTags,
}

impl Watch {
    fn apply<R>(&self, response: Response<R>) -> Response<FilteredBody<R>> {
        let (mut parts, body) = response.into_parts();
        if parts.status == StatusCode::NOT_MODIFIED {
            self.weak_tags.weaken(&mut parts.headers);
        }
        let has_no_body = parts.status.is_informational()
            || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || !self.layer.settings.has_type(&parts.headers);
        let head =
            FilteredResponse { method: &self.method, uri: &self.uri, status: parts.status, headers: &parts.headers };
        let filter = if has_no_body { None } else { self.layer.settings.filters.filter(&head) };
        let is_whole =
            parts.status != StatusCode::PARTIAL_CONTENT && (self.layer.settings.encoded || !is_encoded(&parts.headers));
        let Some(mut filter) = filter.filter(|filter| !filter.changes_body() || is_whole) else {
            return Response::from_parts(parts, FilteredBody::plain(body));
        };
        if filter.changes_body() {
            changed_content::of_response(&mut parts.headers);
        }
        if self.method == Method::HEAD {
            filter.head_only();
            return Response::from_parts(parts, FilteredBody::plain(body));
        }
        let outcome = Outcome { counts: Arc::clone(&self.layer.counts), ..Outcome::default() };
        Response::from_parts(parts, FilteredBody::new(body, filter, outcome))
    }
}

impl Settings {
    fn has_type(&self, headers: &HeaderMap) -> bool {
        let Some(types) = &self.content_types else { return true };
        let Some(found) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
        let found = found.split(';').next().unwrap_or_default().trim();
        types.iter().any(|kind| kind.eq_ignore_ascii_case(found))
    }
}

/// Returns whether a body is encoded. `identity` is no encoding.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pin_project! {
    /// The response future of [`ResponseBodyFilters`].
    pub struct ResponseBodyFilterFuture<F> {
        #[pin]
        inner: F,
        watch: Option<Watch>,
    }
}

impl<F, R, E> Future for ResponseBodyFilterFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<FilteredBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(match this.watch.take() {
            Some(watch) => watch.apply(response),
            None => response.map(FilteredBody::plain),
        }))
    }
}

impl<F> fmt::Debug for ResponseBodyFilterFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBodyFilterFuture").finish_non_exhaustive()
    }
}

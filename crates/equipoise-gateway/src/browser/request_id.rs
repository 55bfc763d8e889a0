use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use equipoise_affinity::source::{PeerAddr, TrustedProxies};
use http::{HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// The extension of requests and responses with the id of the request.
pub use tower_http::request_id::RequestId;

/// A layer that gives each request an id: in a field for the inner service, in the extension [`RequestId`] of request
/// and response, and in the response for the client.
///
/// A new id has 128 random bits, as 32 hexadecimal digits. The id that a request has is kept only if its peer is a
/// [trusted proxy](Self::accept_from), and if it consists of 1 to [`max_bytes`](Self::max_bytes) letters, digits and
/// `-._:/+=@` in a single line. So a client cannot write ids that confuse logs.
///
/// ```
/// use equipoise_affinity::source::TrustedProxies;
/// use equipoise_gateway::browser::RequestIdLayer;
///
/// let ids = RequestIdLayer::new().accept_from(TrustedProxies::private());
/// # drop(ids);
/// ```
#[derive(Clone, Debug)]
pub struct RequestIdLayer {
    settings: Arc<Settings>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    kept: AtomicU64,
    created: AtomicU64,
}

/// What a [`RequestIdLayer`] has counted since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestIdStats {
    /// The number of requests whose id was kept.
    pub kept: u64,
    /// The number of requests that got a new id.
    pub created: u64,
}

#[derive(Clone, Debug)]
struct Settings {
    field: HeaderName,
    trusted: TrustedProxies,
    max_bytes: usize,
    in_response: bool,
}

impl RequestIdLayer {
    /// Creates a layer for the field `X-Request-Id` that trusts no proxy.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            field: HeaderName::from_static("x-request-id"),
            trusted: TrustedProxies::none(),
            max_bytes: 128,
            in_response: true,
        };
        Self { settings: Arc::new(settings), counts: Arc::default() }
    }

    /// Sets the field. Default: `X-Request-Id`.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        Arc::make_mut(&mut self.settings).field = name;
        self
    }

    /// Sets the proxies whose ids are kept. The address that counts is that of the connection's peer ([`PeerAddr`]).
    /// Default: none.
    #[must_use]
    pub fn accept_from(mut self, proxies: TrustedProxies) -> Self {
        Arc::make_mut(&mut self.settings).trusted = proxies;
        self
    }

    /// Sets the maximum length of an id that is kept, in bytes. A longer one is replaced. Default: 128.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.settings).max_bytes = bytes;
        self
    }

    /// Sets whether the response has the field. Default: true.
    #[must_use]
    pub fn in_response(mut self, in_response: bool) -> Self {
        Arc::make_mut(&mut self.settings).in_response = in_response;
        self
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> RequestIdStats {
        RequestIdStats {
            kept: self.counts.kept.load(Ordering::Relaxed),
            created: self.counts.created.load(Ordering::Relaxed),
        }
    }
}

impl Default for RequestIdLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// Returns the id that a request has, if it is kept.
    fn kept<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        let PeerAddr(peer) = request.extensions().get()?;
        if !self.trusted.contains(peer.ip()) {
            return None;
        }
        let mut lines = request.headers().get_all(&self.field).iter();
        let (id, None) = (lines.next()?, lines.next()) else { return None };
        let is_valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:/+=@".contains(byte);
        let fits = !id.is_empty() && id.len() <= self.max_bytes;
        (fits && id.as_bytes().iter().all(is_valid)).then(|| id.clone())
    }
}

/// Returns a new id.
fn random() -> HeaderValue {
    let text = format!("{:032x}", rand::random::<u128>());
    // Hexadecimal digits are a valid value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("invalid"))
}

/// The service of a [`RequestIdLayer`].
#[derive(Clone, Debug)]
pub struct RequestIds<S> {
    inner: S,
    layer: RequestIdLayer,
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIds<S>;

    fn layer(&self, inner: S) -> RequestIds<S> {
        RequestIds { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for RequestIds<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let RequestIdLayer { settings, counts } = &self.layer;
        let kept = settings.kept(&request);
        let count = if kept.is_some() { &counts.kept } else { &counts.created };
        count.fetch_add(1, Ordering::Relaxed);
        let id = kept.unwrap_or_else(random);
        request.headers_mut().insert(&settings.field, id.clone());
        request.extensions_mut().insert(RequestId::new(id.clone()));
        let field = settings.in_response.then(|| settings.field.clone());
        RequestIdFuture { inner: self.inner.call(request), id: Some((id, field)) }
    }
}

pin_project! {
    /// The response future of [`RequestIds`].
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        id: Option<(HeaderValue, Option<HeaderName>)>,
    }
}

impl<F, R, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some((id, field)) = this.id.take() {
            if let Some(field) = field {
                response.headers_mut().insert(field, id.clone());
            }
            response.extensions_mut().insert(RequestId::new(id));
        }
        Poll::Ready(Ok(response))
    }
}

impl<F> fmt::Debug for RequestIdFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIdFuture").finish_non_exhaustive()
    }
}

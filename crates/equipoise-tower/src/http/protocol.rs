use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use equipoise_core::{AnyTarget, BindingOutcome, EndpointId, Lease, Verdict};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body::Body;

use super::{
    body::{Ending, LeasedBody, TunnelLease},
    classify::{Classify, ClassifyHttp, RequestHead, ResponseHead},
};
use crate::{
    drop_reason::DropReason,
    error::BoxError,
    error_class::{ErrorClass, ErrorClassifier},
    guard::guarded,
    observe::BodyObserver,
    placement::Placement,
    protocol::{Attempt, Protocol},
    replay::Replay,
};

/// The [`Protocol`] of [`http`] requests and responses. It is the default of [`Balance`](crate::Balance).
///
/// - The lease of a request lasts until the response body has ended, has failed or was dropped.
/// - [`ClassifyHttp`] derives the verdict for the endpoint from each response: from status, `Retry-After` and gRPC
///   status. [`classify`](Self::classify) sets another classifier.
/// - GET, HEAD and OPTIONS count as idempotent. [`idempotent`](Self::idempotent) adds other requests.
/// - A request's [`Placement`] extension decides where the request goes. The placement may bind the request to an
///   endpoint. The response then has a [`BindingOutcome`] extension, which says whether this endpoint served the
///   request.
/// - A response that switches protocols has a [`TunnelLease`] extension, which holds the lease.
/// - Each response has a [`ServedBy`] extension. [`header`](Self::header) adds a header with the same information.
/// - If a request is retried, the requests of the later attempts and the response have an [`Attempt`] extension with the
///   attempt's number and endpoint.
///
/// ```
/// use equipoise_core::Verdict;
/// use equipoise_tower::{HttpProtocol, ResponseHead};
/// use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode};
///
/// let http = HttpProtocol::new()
///     // Clients of one user go to one endpoint (with a strategy that places by key).
///     .key(|request| Some(request.headers.get("x-user")?.as_bytes().into()))
///     // Here, 404 means that a shard is missing.
///     .classify(|response: ResponseHead<'_>| match response.status {
///         StatusCode::NOT_FOUND => Verdict::Failure(equipoise_core::Failure::Server),
///         _ => Verdict::Success,
///     })
///     .idempotent(|request| *request.method == Method::PUT)
///     .header(HeaderName::from_static("x-served-by"));
/// # let _ = http;
/// ```
#[derive(Clone)]
pub struct HttpProtocol {
    key: Option<Arc<KeyFn>>,
    classify: Arc<dyn Classify>,
    classify_error: Option<ErrorClassifier>,
    idempotent: Option<Arc<IdempotentFn>>,
    max_replay_bytes: usize,
    header: Option<HeaderName>,
}

type KeyFn = dyn for<'r> Fn(RequestHead<'r>) -> Option<Cow<'r, [u8]>> + Send + Sync;
type IdempotentFn = dyn Fn(RequestHead<'_>) -> bool + Send + Sync;

impl HttpProtocol {
    /// Creates the protocol with its defaults:
    ///
    /// - Requests have no key.
    /// - [`ClassifyHttp`] derives verdicts from responses.
    /// - Only GET, HEAD and OPTIONS requests are idempotent.
    /// - At most 64 KiB of a request body are kept.
    /// - No header is added to responses.
    pub fn new() -> Self {
        Self {
            key: None,
            classify: Arc::new(ClassifyHttp),
            classify_error: None,
            idempotent: None,
            // The same limit as in linkerd.
            max_replay_bytes: 64 * 1024,
            header: None,
        }
    }

    /// Sets a closure that returns the key of a request, or `None` if the request has no key. Hashing strategies send
    /// requests with the same key to the same endpoint. The closure is called once per request. If the closure panics,
    /// the request has no key. Default: no request has a key.
    #[must_use]
    pub fn key(
        mut self,
        key: impl for<'r> Fn(RequestHead<'r>) -> Option<Cow<'r, [u8]>> + Send + Sync + 'static,
    ) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Sets how responses and errors are classified. `classify` is a [`Classify`], or a closure that takes the head of
    /// a response and returns the verdict for the endpoint. Default: [`ClassifyHttp`].
    ///
    /// If `classify` panics for a response, the verdict is [`Verdict::Neutral`]. If it panics for an error,
    /// [`ErrorClass::of`] is used instead.
    #[must_use]
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.classify = Arc::new(classify);
        self
    }

    /// Sets a closure that returns what the error of an attempt means: the verdict for the endpoint, and whether the
    /// request may be sent to another endpoint. The closure is called instead of [`Classify::error`]. If the closure
    /// panics, [`ErrorClass::of`] is used instead. Default: [`Classify::error`]. See [`ErrorClass`] for an example.
    #[must_use]
    pub fn classify_error(
        mut self,
        classify: impl Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync + 'static,
    ) -> Self {
        self.classify_error = Some(ErrorClassifier::new(classify));
        self
    }

    /// Sets a closure that returns whether a request is idempotent. An idempotent request may be sent again although an
    /// endpoint may have processed it. GET, HEAD and OPTIONS are always idempotent; the closure decides for all other
    /// methods. If the closure panics, the request counts as not idempotent. Default: no request with another method is
    /// idempotent.
    #[must_use]
    pub fn idempotent(mut self, idempotent: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.idempotent = Some(Arc::new(idempotent));
        self
    }

    /// Sets how many bytes of a request body are kept during an attempt, so that the body can be sent again. Bodies
    /// that can be copied, such as [`Full`](http_body_util::Full), have no limit: see [`Replay`]. Default: 64 KiB. 0
    /// keeps no bytes.
    ///
    /// The balancer keeps the frames that an attempt takes from the body until the head of the response arrives. If the
    /// attempt fails, the body is sent again from its start. If the attempt has taken more bytes than the maximum, the
    /// body cannot be sent again, and the request fails.
    ///
    /// Frames of [`Bytes`](bytes::Bytes) are kept without copying: the balancer holds a second handle of the buffer.
    /// The handle keeps the whole buffer in memory, even if the frame is only a part of it. Each frame after the first
    /// uses about 100 bytes of the maximum in addition to its length.
    #[must_use]
    pub fn max_replay_bytes(mut self, max_bytes: usize) -> Self {
        self.max_replay_bytes = max_bytes;
        self
    }

    /// Sets the name of a response header that contains the id of the endpoint that served the request. A header of
    /// this name that the endpoint has sent is replaced. Default: no header.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = Some(name);
        self
    }
}

impl Default for HttpProtocol {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProtocol").field("header", &self.header).finish_non_exhaustive()
    }
}

/// A response extension: the id of the endpoint that served the request. [`HttpProtocol`] sets it on each response.
///
/// ```
/// use equipoise_tower::ServedBy;
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(ServedBy(endpoint)) = response.extensions().get() {
///         println!("{} from {endpoint}", response.status());
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy(pub EndpointId);

/// The part of a request that [`HttpProtocol`] keeps during an attempt: the head, and what is needed to send the body
/// again.
pub struct KeptRequest<B: Replay> {
    head: Parts,
    body: B::Kept,
}

/// Stores the value in the extensions. If there is none, removes the value that another balancer has stored.
fn store<E: Clone + Send + Sync + 'static>(extensions: &mut Extensions, value: Option<E>) {
    match value {
        Some(value) => drop(extensions.insert(value)),
        None => drop(extensions.remove::<E>()),
    }
}

/// Returns whether the connection no longer speaks HTTP after this response.
fn switches_protocols<R>(response: &Response<R>) -> bool {
    #[cfg(feature = "hyper")]
    if response.extensions().get::<hyper::upgrade::OnUpgrade>().is_some() {
        return true;
    }
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

impl<B, R> Protocol<Request<B>, Response<R>> for HttpProtocol
where
    B: Replay,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Kept = KeptRequest<B>;
    type Response = Response<LeasedBody<R>>;

    fn key<'r>(&self, request: &'r Request<B>) -> Option<Cow<'r, [u8]>> {
        let key = self.key.as_ref()?;
        guarded(|| key(RequestHead::of(request))).flatten()
    }

    fn take_placement(&self, request: &mut Request<B>) -> Option<Placement> {
        request.extensions_mut().remove()
    }

    fn outer_attempt<'r>(&self, request: &'r Request<B>) -> Option<&'r Attempt> {
        request.extensions().get()
    }

    fn on_attempt(&self, request: &mut Request<B>, attempt: Option<Attempt>) {
        store(request.extensions_mut(), attempt);
    }

    fn on_response(&self, response: &mut Response<R>, attempt: Option<Attempt>) {
        store(response.extensions_mut(), attempt);
    }

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<KeptRequest<B>>) {
        let (head, body) = request.into_parts();
        let (body, kept) = body.replay(self.max_replay_bytes);
        let kept = KeptRequest { head: head.clone(), body: kept };
        (Request::from_parts(head, body), Some(kept))
    }

    fn is_idempotent(&self, kept: &KeptRequest<B>) -> bool {
        let head = &kept.head;
        matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS)
            || self
                .idempotent
                .as_ref()
                .is_some_and(|idempotent| guarded(|| idempotent(RequestHead::of_parts(head))).unwrap_or(false))
    }

    fn restore(&self, kept: KeptRequest<B>) -> Option<Request<B>> {
        Some(Request::from_parts(kept.head, B::restore(kept.body)?))
    }

    fn classify_error(&self, error: &(dyn Error + 'static)) -> ErrorClass {
        match &self.classify_error {
            Some(classifier) => classifier.class(error),
            None => guarded(|| self.classify.error(error)).unwrap_or_else(|| ErrorClass::of(error)),
        }
    }

    fn verdict(&self, response: &Response<R>) -> Option<Verdict> {
        guarded(|| self.classify.response(ResponseHead::of(response))).unwrap_or(Some(Verdict::Neutral))
    }

    fn attach(
        &self,
        mut response: Response<R>,
        mut lease: Lease<AnyTarget>,
        verdict: Option<Verdict>,
    ) -> Response<LeasedBody<R>> {
        let id = lease.endpoint().id();
        if let Some(name) = &self.header
            && let Ok(value) = HeaderValue::from_bytes(id.as_str().as_bytes())
        {
            response.headers_mut().insert(name.clone(), value);
        }
        response.extensions_mut().insert(ServedBy(id.clone()));
        let outcome = lease.binding_outcome();
        store(response.extensions_mut(), (outcome != BindingOutcome::Unbound).then_some(outcome));
        // The caller may still refuse a response whose head looks like a success.
        let is_open = DropReason::current() == DropReason::Checking;
        if switches_protocols(&response) {
            lease.response_head(Some(verdict.unwrap_or(Verdict::Success)), is_open);
            response.extensions_mut().insert(TunnelLease::new(lease));
            return response.map(LeasedBody::unleased);
        }
        let has_body = !response.body().is_end_stream() || is_open && verdict == Some(Verdict::Success);
        lease.response_head(verdict, has_body);
        let ending = match verdict {
            None => Ending::Trailers(Arc::clone(&self.classify)),
            Some(_) => Ending::Success,
        };
        response.map(|body| LeasedBody::new(body, lease, ending, has_body))
    }

    #[cold]
    fn observe_response(&self, response: &mut Response<LeasedBody<R>>, observer: BodyObserver) {
        response.body_mut().observe(observer);
    }

    fn request_head<'r>(&self, request: &'r Request<B>) -> Option<RequestHead<'r>> {
        Some(RequestHead::of(request))
    }

    fn headers_mut<'r>(&self, request: &'r mut Request<B>) -> Option<&'r mut HeaderMap> {
        Some(request.headers_mut())
    }

    fn response_head<'r>(&self, response: &'r Response<R>) -> Option<ResponseHead<'r>> {
        Some(ResponseHead::of(response))
    }
}

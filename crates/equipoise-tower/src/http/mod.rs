//! HTTP: what to read off requests and responses, and the body that carries the lease.

mod body;
mod classify;
mod head;
mod served_by;
mod tunnel;

use std::{borrow::Cow, fmt, sync::Arc};

use equipoise_core::{AnyTarget, BindingOutcome, Lease, Verdict};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body::Body;

use self::body::Ending;
pub use self::{
    body::LeasedBody,
    classify::{Classify, ClassifyHttp},
    head::{RequestHead, ResponseHead},
    served_by::ServedBy,
    tunnel::TunnelLease,
};
use crate::{
    attempt::Attempt, error::BoxError, guard::guarded, placement::Placement, protocol::Protocol, replay::Replay,
};

/// The protocol of [`http`] requests and responses, the default.
///
/// - The lease lasts until the response body has ended, failed or been dropped.
/// - Responses are judged by [`ClassifyHttp`]: status, `Retry-After`, gRPC status. Set another with
///   [`classify`](Self::classify).
/// - GET, HEAD and OPTIONS count as idempotent; say what else does with [`idempotent`](Self::idempotent).
/// - A request's [`Placement`] extension is heeded, and answered by a [`BindingOutcome`] extension.
/// - Where the protocol is switched, the lease is a [`TunnelLease`] extension.
/// - Every response has a [`ServedBy`] extension, and a header of that sense [if asked](Self::header).
/// - The request of each attempt and the response have an [`Attempt`] extension: the attempt's number and endpoint.
///
/// ```
/// use equipoise_core::Verdict;
/// use equipoise_tower::{Http, ResponseHead};
/// use http::{HeaderName, Method, StatusCode};
///
/// let http = Http::new()
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
pub struct Http {
    key: Option<Arc<KeyFn>>,
    classify: Arc<dyn Classify>,
    idempotent: Option<Arc<IdempotentFn>>,
    header: Option<HeaderName>,
}

type KeyFn = dyn for<'r> Fn(RequestHead<'r>) -> Option<Cow<'r, [u8]>> + Send + Sync;
type IdempotentFn = dyn Fn(RequestHead<'_>) -> bool + Send + Sync;

impl Http {
    /// The defaults.
    pub fn new() -> Self {
        Self { key: None, classify: Arc::new(ClassifyHttp), idempotent: None, header: None }
    }

    /// What strategies that place by key place a request by. A panic in it counts as no key.
    #[must_use]
    pub fn key(
        mut self,
        key: impl for<'r> Fn(RequestHead<'r>) -> Option<Cow<'r, [u8]>> + Send + Sync + 'static,
    ) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Which responses count against the endpoint: a [`Classify`], or a closure from the response's head to a verdict.
    /// A panic in it counts as [`Verdict::Neutral`].
    #[must_use]
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.classify = Arc::new(classify);
        self
    }

    /// Which requests, beside GET, HEAD and OPTIONS, may be sent again although an endpoint may have acted on them.
    #[must_use]
    pub fn idempotent(mut self, idempotent: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.idempotent = Some(Arc::new(idempotent));
        self
    }

    /// Names the endpoint in this response header too, in place of what the endpoint put there.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = Some(name);
        self
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("header", &self.header).finish_non_exhaustive()
    }
}

/// What is kept of a request while it is tried.
pub struct KeptRequest<B: Replay> {
    head: Parts,
    body: B::Kept,
}

/// Whether what follows the head is not HTTP any more.
fn switches_protocols<R>(response: &Response<R>) -> bool {
    #[cfg(feature = "hyper")]
    if response.extensions().get::<hyper::upgrade::OnUpgrade>().is_some() {
        return true;
    }
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

impl<B, R> Protocol<Request<B>, Response<R>> for Http
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

    fn placement<'r>(&self, request: &'r Request<B>) -> Option<&'r Placement> {
        request.extensions().get()
    }

    fn detach(&self, request: &mut Request<B>) {
        request.extensions_mut().remove::<Placement>();
    }

    fn outer_attempt<'r>(&self, request: &'r Request<B>) -> Option<&'r Attempt> {
        request.extensions().get()
    }

    fn on_attempt(&self, request: &mut Request<B>, attempt: Attempt) {
        request.extensions_mut().insert(attempt);
    }

    fn on_response(&self, response: &mut Response<LeasedBody<R>>, attempt: Attempt) {
        response.extensions_mut().insert(attempt);
    }

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<KeptRequest<B>>) {
        let (head, body) = request.into_parts();
        let (body, kept) = body.replay();
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

    fn attach(&self, mut response: Response<R>, mut lease: Lease<AnyTarget>) -> Response<LeasedBody<R>> {
        let verdict = guarded(|| self.classify.response(ResponseHead::of(&response))).unwrap_or(Some(Verdict::Neutral));
        let id = lease.endpoint().id();
        if let Some(name) = &self.header
            && let Ok(value) = HeaderValue::from_bytes(id.as_str().as_bytes())
        {
            response.headers_mut().insert(name.clone(), value);
        }
        response.extensions_mut().insert(ServedBy(id.clone()));
        // What a balancer within has said of its own is not this one's.
        match lease.binding_outcome() {
            BindingOutcome::Unbound => drop(response.extensions_mut().remove::<BindingOutcome>()),
            preference => drop(response.extensions_mut().insert(preference)),
        }
        if switches_protocols(&response) {
            lease.first_byte();
            lease.record(verdict.unwrap_or(Verdict::Success));
            response.extensions_mut().insert(TunnelLease::new(lease));
            return response.map(LeasedBody::unleased);
        }
        let ending = match verdict {
            None => Ending::Trailers(Arc::clone(&self.classify)),
            Some(Verdict::Success) => Ending::Success,
            Some(verdict) => {
                // Before the first byte: the latency of a failure is not the latency of work.
                lease.record(verdict);
                Ending::Success
            }
        };
        response.map(|body| LeasedBody::new(body, lease, ending))
    }
}

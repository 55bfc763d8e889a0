//! The trait [`Protocol`]: how a balancer handles a type of requests and responses. The type [`Attempt`]: the number
//! and the endpoint of an attempt, which the balancer passes to the protocol.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use equipoise_core::{AnyTarget, EndpointId, Lease, Verdict};
use http::HeaderMap;

use crate::{
    error_class::ErrorClass,
    http::{RequestHead, ResponseHead},
    observe::BodyObserver,
    placement::Placement,
};

/// How a balancer handles a type of requests and responses: how it reads keys, how it keeps requests for failover, and
/// which verdict follows from a response. [`HttpProtocol`](crate::HttpProtocol) and
/// [`PlainProtocol`](crate::PlainProtocol) implement this trait. Implement it for your own protocols.
pub trait Protocol<Req, Res> {
    /// The type of what is kept of a request during an attempt, so that the request can be sent again.
    type Kept;

    /// The type of the response that the caller of the balancer gets. If the endpoint still works on the request after
    /// the response has begun, the response holds the lease of the request.
    type Response;

    /// Returns the key of a request, or `None` if the request has no key. Hashing strategies send requests with the
    /// same key to the same endpoint. Called once per request.
    fn key<'r>(&self, request: &'r Req) -> Option<Cow<'r, [u8]>>;

    /// Removes the [`Placement`] from the request and returns it. A layer above the balancer sets a placement to decide
    /// where the request goes. `None` if the request has no placement. Default: `None`.
    ///
    /// Called once per request, after [`key`](Self::key) and before all other methods. The placement must be removed so
    /// that it does not reach an endpoint that is a balancer itself.
    fn take_placement(&self, request: &mut Req) -> Option<Placement> {
        let _ = request;
        None
    }

    /// Returns the [`Attempt`] that another balancer, above this one, has stored in the request. `None` if no balancer
    /// has stored one. Nested balancers use the `Attempt` to share their retries: see
    /// [`Balance::max_attempts`](crate::Balance::max_attempts). Default: `None`.
    fn outer_attempt<'r>(&self, request: &'r Req) -> Option<&'r Attempt> {
        let _ = request;
        None
    }

    /// Called with each request before it goes to the service of an endpoint. `attempt` describes the attempt. `None` if
    /// it is the first attempt of the request, and no balancer above this one has made an earlier attempt. The
    /// implementation can store `attempt` in `request`. If it is `None`, the implementation removes an [`Attempt`] that
    /// the request already has. Does nothing by default.
    fn on_attempt(&self, request: &mut Req, attempt: Option<Attempt>) {
        let _ = (request, attempt);
    }

    /// Called with the response of an endpoint, after [`verdict`](Self::verdict) and before [`attach`](Self::attach).
    /// `attempt` describes the attempt that got the response. `None` if it was the first attempt of the request. The
    /// implementation can store `attempt` in `response`. If it is `None`, the implementation removes an [`Attempt`] that
    /// a balancer below this one has stored. Does nothing by default.
    fn on_response(&self, response: &mut Res, attempt: Option<Attempt>) {
        let _ = (response, attempt);
    }

    /// Prepares a request for an attempt. Called only if the request may go to another endpoint after this attempt.
    /// Returns two values:
    ///
    /// - the request to send,
    /// - what [`restore`](Self::restore) needs to build the request again; `None` if the request cannot be sent again.
    fn keep(&self, request: Req) -> (Req, Option<Self::Kept>);

    /// Returns whether a request is idempotent: sending it twice has the same effect as sending it once. `kept` is what
    /// [`keep`](Self::keep) has kept of the request. If true, the request may be sent again although an endpoint may
    /// have processed it.
    fn is_idempotent(&self, kept: &Self::Kept) -> bool;

    /// Builds a request again, as it was before [`keep`](Self::keep). `kept` is what `keep` has kept of the request.
    /// `None` if this is not possible, for example because a part of the request's body was consumed and not kept.
    fn restore(&self, kept: Self::Kept) -> Option<Req>;

    /// Returns what the error of an attempt means: the verdict for the endpoint, and whether the request may be sent to
    /// another endpoint. Default: [`ErrorClass::of`].
    fn classify_error(&self, error: &(dyn std::error::Error + 'static)) -> ErrorClass {
        ErrorClass::of(error)
    }

    /// Returns the verdict for the endpoint that follows from the head of its response. `None` if the verdict is known
    /// only at the end of the response, for example from the trailers of gRPC.
    fn verdict(&self, response: &Res) -> Option<Verdict>;

    /// Returns the response for the caller of the balancer, and takes over the lease of the request. `verdict` is what
    /// the method [`verdict`](Self::verdict) has returned for this response.
    ///
    /// If the endpoint has finished its work, the implementation reports the verdict with [`Lease::finish`]. Otherwise
    /// it stores the lease in the response, and the response reports the latency and the verdict later.
    fn attach(&self, response: Res, lease: Lease<AnyTarget>, verdict: Option<Verdict>) -> Self::Response;

    /// Called with what [`attach`](Self::attach) has returned, if an [observer](crate::ObserveRequest::on_body_end) wants
    /// to know when the response has ended. An implementation stores `observer` in the response, and reports the end of
    /// the response body to it. Default: reports that the response has ended.
    fn observe_response(&self, response: &mut Self::Response, observer: BodyObserver) {
        let _ = response;
        observer.complete(None, None);
    }

    /// Returns the head of a request, for [observers](crate::Observe). `None` if requests of this protocol have no such
    /// head. Called once for each request of a balancer with an observer, before all other methods. Default: `None`.
    fn request_head<'r>(&self, request: &'r Req) -> Option<RequestHead<'r>> {
        let _ = request;
        None
    }

    /// Returns the headers of a request, which [observers](crate::ObserveRequest::before_send) may change before the
    /// request is sent. `None` if requests of this protocol have no such headers. Default: `None`.
    fn headers_mut<'r>(&self, request: &'r mut Req) -> Option<&'r mut HeaderMap> {
        let _ = request;
        None
    }

    /// Returns the head of a response, for [observers](crate::Observe). `None` if responses of this protocol have no
    /// such head. Default: `None`.
    fn response_head<'r>(&self, response: &'r Res) -> Option<ResponseHead<'r>> {
        let _ = response;
        None
    }
}

/// An extension of requests and responses: the number of an attempt and its endpoint. Requests and responses of a first
/// attempt do not have this extension.
///
/// From the second attempt of a request on, [`HttpProtocol`](crate::HttpProtocol) sets the extension on the request that
/// the service of an endpoint receives, and on the response that the balancer returns. The endpoint of each response,
/// also that of a first attempt, is in the extension [`ServedBy`](crate::ServedBy). If the balancer returns an error
/// instead, see [`Error::attempts`](crate::Error::attempts) and [`Error::endpoint`](crate::Error::endpoint).
///
/// If the endpoints of a balancer are balancers themselves:
///
/// - The server's request has the extension of the innermost balancer. It has one also at the first attempt of this
///   balancer, if a balancer above it has made an earlier attempt.
/// - The client's response has the extension of the outermost balancer.
/// - An inner balancer learns from the extension on its request that an outer balancer retries. It then limits its own
///   retries, so that attempts do not multiply: see [`Balance::max_attempts`](crate::Balance::max_attempts).
///
/// ```
/// use equipoise_tower::Attempt;
///
/// fn attempts<B>(response: &http::Response<B>) -> usize {
///     response.extensions().get().map_or(1, |attempt: &Attempt| attempt.number)
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of the attempt: 1 for the first attempt of the request, 2 for its first retry, and so on.
    pub number: usize,
    /// The id of the endpoint of this attempt.
    pub endpoint: EndpointId,
    pub(crate) retries: Option<NestedRetries>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The retries that all balancers below the outermost retrying balancer share, from the second attempt of the outermost
/// balancer on.
///
/// The outermost balancer creates it without a number. The first balancer below it sets the number: its own retries,
/// without those that the balancers below have made during the first attempt.
#[derive(Clone)]
pub(crate) struct NestedRetries(Arc<Shared>);

struct Shared {
    made: usize,
    left: OnceLock<AtomicUsize>,
}

impl NestedRetries {
    /// Creates the retries. `made` is the number of retries that balancers below have made during the first attempt.
    pub(crate) fn new(made: usize) -> Self {
        Self(Arc::new(Shared { made, left: OnceLock::new() }))
    }

    fn left(&self, max_attempts: usize) -> &AtomicUsize {
        let Shared { made, left } = &*self.0;
        left.get_or_init(|| AtomicUsize::new(max_attempts.saturating_sub(1).saturating_sub(*made)))
    }

    /// Returns whether a balancer that makes at most `max_attempts` attempts may retry.
    pub(crate) fn any_left(&self, max_attempts: usize) -> bool {
        self.left(max_attempts).load(Ordering::Relaxed) > 0
    }

    /// Takes one retry. Returns false if no retry is left.
    pub(crate) fn take(&self, max_attempts: usize) -> bool {
        self.left(max_attempts).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

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

use crate::{error_class::ErrorClass, placement::Placement};

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

    /// Called with each request before it goes to the service of an endpoint. `attempt` creates the [`Attempt`], which
    /// the implementation can store in `request`. Does nothing by default. `attempt` is a closure, so that protocols
    /// that do not need the `Attempt` do not pay for it.
    fn on_attempt(&self, request: &mut Req, attempt: impl FnOnce() -> Attempt) {
        let _ = (request, attempt);
    }

    /// Called with the response of an endpoint, after [`verdict`](Self::verdict) and before [`attach`](Self::attach).
    /// `attempt` creates the [`Attempt`] that got the response. The implementation can store it in `response`. Does
    /// nothing by default.
    fn on_response(&self, response: &mut Res, attempt: impl FnOnce() -> Attempt) {
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
}

/// An extension of requests and responses: the number of an attempt and its endpoint.
///
/// [`HttpProtocol`](crate::HttpProtocol) sets it on the request that the service of an endpoint receives, and on the
/// response that the balancer returns. If the balancer returns an error instead, see
/// [`Error::attempts`](crate::Error::attempts) and [`Error::endpoint`](crate::Error::endpoint).
///
/// If the endpoints of a balancer are balancers themselves:
///
/// - The server's request has the extension of the innermost balancer.
/// - The client's response has the extension of the outermost balancer.
/// - An inner balancer learns from the extension on its request that an outer balancer retries. It then limits its own
///   retries, so that attempts do not multiply: see [`Balance::max_attempts`](crate::Balance::max_attempts).
///
/// ```
/// use equipoise_tower::Attempt;
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(Attempt { number, endpoint, .. }) = response.extensions().get() {
///         println!("{} from {endpoint} at attempt {number}", response.status());
///     }
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

/// The retries of one request that all balancers below the outermost retrying balancer share.
///
/// The outermost balancer creates it without a number. The first balancer below it sets the number to that of its own
/// retries.
#[derive(Clone, Debug, Default)]
pub(crate) struct NestedRetries(Arc<OnceLock<AtomicUsize>>);

impl NestedRetries {
    fn cell(&self, max_attempts: usize) -> &AtomicUsize {
        self.0.get_or_init(|| AtomicUsize::new(max_attempts.saturating_sub(1)))
    }

    /// Returns whether a balancer that makes at most `max_attempts` attempts may retry.
    pub(crate) fn any_left(&self, max_attempts: usize) -> bool {
        self.cell(max_attempts).load(Ordering::Relaxed) > 0
    }

    /// Takes one retry. Returns false if no retry is left.
    pub(crate) fn take(&self, max_attempts: usize) -> bool {
        self.cell(max_attempts).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

//! What a balancer must know of a type of requests and responses, and what it notes in them.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use equipoise_core::{AnyTarget, EndpointId, Lease};

use crate::{error_class::ErrorClass, placement::Placement};

/// How a balancer handles a type of requests and responses: their keys, copies for failover, and verdicts. Implemented by
/// [`HttpProtocol`](crate::HttpProtocol) and [`PlainProtocol`](crate::PlainProtocol); implement it for protocols of your
/// own.
pub trait Protocol<Req, Res> {
    /// What is kept of a request during an attempt, to send it again.
    type Kept;

    /// The response as the caller gets it. It holds the lease for as long as the endpoint works on it.
    type Response;

    /// What strategies that place by key place the request by. Called once per request.
    fn key<'r>(&self, request: &'r Req) -> Option<Cow<'r, [u8]>>;

    /// Takes the request's placement out of it: where the request is to go, if an earlier layer has decided that. Called once
    /// per request, before anything else but [`key`](Self::key), so that the placement does not reach an endpoint that is a
    /// balancer too. `None` by default.
    fn take_placement(&self, request: &mut Req) -> Option<Placement> {
        let _ = request;
        None
    }

    /// If this balancer is an endpoint of another one: the attempt of the outer balancer that this request is. It limits the
    /// retries of nested balancers: see [`Balance::max_attempts`](crate::Balance::max_attempts). `None` by default.
    fn outer_attempt<'r>(&self, request: &'r Req) -> Option<&'r Attempt> {
        let _ = request;
        None
    }

    /// Called with each request before it goes to an endpoint's service, so that the attempt can be noted in it. Does
    /// nothing by default.
    fn on_attempt(&self, request: &mut Req, attempt: Attempt) {
        let _ = (request, attempt);
    }

    /// Called with the response of the last attempt, after [`attach`](Self::attach), so that the attempt can be noted in
    /// it. Does nothing by default.
    fn on_response(&self, response: &mut Self::Response, attempt: Attempt) {
        let _ = (response, attempt);
    }

    /// Prepares a request that may have to be sent again: returns the request to send, and what is needed to make it again.
    /// Called only if there is another endpoint for it.
    fn keep(&self, request: Req) -> (Req, Option<Self::Kept>);

    /// Whether sending the request twice has the same effect as sending it once. Then it may be sent again although an
    /// endpoint may have processed it.
    fn is_idempotent(&self, kept: &Self::Kept) -> bool;

    /// Makes the request again. `None` if that is not possible, because part of its body was consumed and cannot be
    /// repeated.
    fn restore(&self, kept: Self::Kept) -> Option<Req>;

    /// What the error of an attempt means: what counts against the endpoint, and whether the request may be sent to another
    /// one. By default [`ErrorClass::of`].
    fn classify_error(&self, error: &(dyn std::error::Error + 'static)) -> ErrorClass {
        ErrorClass::of(error)
    }

    /// Ends or passes on the lease of a request that got a response: records the latency and the verdict, now or later, and
    /// stores the lease in the response if the endpoint still works on it.
    fn attach(&self, response: Res, lease: Lease<AnyTarget>) -> Self::Response;
}

/// An extension of requests and responses: the number of the balancer's attempt, and its endpoint.
///
/// [`HttpProtocol`](crate::HttpProtocol) sets it on the request that an endpoint's service receives, and on the response
/// that the balancer returns. For failed requests see [`Error::attempts`](crate::Error::attempts) and
/// [`Error::endpoint`](crate::Error::endpoint).
///
/// If a balancer is the endpoint of another balancer, the inner one replaces the request's extension by its own, and the
/// outer one replaces the response's. The request's extension also tells the inner balancer that the outer one retries,
/// so that their attempts do not multiply: see [`Balance::max_attempts`](crate::Balance::max_attempts).
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
    /// The attempt's number: 1 for the first attempt of the request, 2 for its first retry, and so on.
    pub number: usize,
    /// The endpoint that the attempt goes to.
    pub endpoint: EndpointId,
    pub(crate) retries: Option<NestedRetries>,
}

impl Attempt {
    /// The same attempt as an extension of the response, without the retries of balancers below.
    pub(crate) fn of_response(self) -> Self {
        Self { retries: None, ..self }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The retries that all balancers below the outermost retrying balancer share for one request.
///
/// The outermost balancer creates it empty, and the first balancer below fills it with its own number of retries.
#[derive(Clone, Debug, Default)]
pub(crate) struct NestedRetries(Arc<OnceLock<AtomicUsize>>);

impl NestedRetries {
    fn cell(&self, max_attempts: usize) -> &AtomicUsize {
        self.0.get_or_init(|| AtomicUsize::new(max_attempts.saturating_sub(1)))
    }

    /// Whether a balancer that makes at most `max_attempts` attempts may retry.
    pub(crate) fn any_left(&self, max_attempts: usize) -> bool {
        self.cell(max_attempts).load(Ordering::Relaxed) > 0
    }

    /// Takes one retry; false if none is left.
    pub(crate) fn take(&self, max_attempts: usize) -> bool {
        self.cell(max_attempts).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

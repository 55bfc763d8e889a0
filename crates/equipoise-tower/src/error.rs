pub use equipoise_core::InvalidAddress;

use std::fmt;

use equipoise_core::{EndpointId, Failure, PickError, Verdict};
use http::StatusCode;

/// A boxed error of any type. It is the same type as `tower::BoxError`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a balanced request got no response.
///
/// Log both the message (`Display`) and the [`source`](std::error::Error::source). The message names the endpoint by
/// its id, which is often an address. The source says what failed at the endpoint.
///
/// Do not send the message or the source to clients. [`status`](Self::status) and
/// [`public_message`](Self::public_message) are meant for clients. With the feature `tonic`, the error converts into a
/// `tonic::Status`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No endpoint could be picked for the request. The value says why. A request that waits in the queue fails with
    /// this error when the [queue timeout](crate::Balance::queue_timeout) has passed.
    Pick(PickError),
    /// The request is invalid, so it was not sent to any endpoint. For example, the URL of a request of
    /// `BalancedClient` (feature `reqwest`) has no host. Correct the request; a retry fails in the same way.
    Request {
        /// What is wrong with the request.
        source: BoxError,
    },
    /// The request cannot be sent to the address of the endpoint, for example because HTTP cannot use the address.
    Address {
        /// The endpoint with the address that cannot be used.
        endpoint: EndpointId,
        /// What is wrong with the endpoint's address.
        source: InvalidAddress,
        /// The number of attempts that this balancer made for the request, including the attempt at `endpoint`.
        attempts: usize,
        /// Whether an endpoint may have processed the request in an earlier attempt of this balancer.
        maybe_processed: bool,
    },
    /// The request cannot be sent to any endpoint, because all endpoints share one client that cannot send it. See
    /// [`PointError::Unsupported`].
    Unsupported(UnsupportedRequest),
    /// The final attempt of the request failed: the endpoint's service returned an error, the attempt timed out, or the
    /// service was not ready.
    Endpoint {
        /// The endpoint of the final attempt.
        endpoint: EndpointId,
        /// What failed in the final attempt:
        ///
        /// - the error that the endpoint's service returned,
        /// - [`AttemptTimedOut`] after the [attempt timeout](crate::Balance::attempt_timeout), or
        /// - [`NotSent`] if the service was not ready within the [ready timeout](crate::Balance::ready_timeout) or the
        ///   attempt timeout.
        source: BoxError,
        /// How far the request got in the final attempt.
        stage: FailureStage,
        /// The number of attempts that this balancer made for the request, including the final one.
        attempts: usize,
        /// Whether an endpoint may have processed the request in any attempt of this balancer, including the final one.
        /// If true, a balancer above this one sends the request to another endpoint only if the request is idempotent.
        maybe_processed: bool,
    },
}

impl Error {
    /// Returns the name of this kind of error, for metrics and logs: `pick`, `request`, `address`, `unsupported` or
    /// `endpoint`. The name never changes. For [`Error::Endpoint`], see also [`FailureStage::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pick(_) => "pick",
            Self::Request { .. } => "request",
            Self::Address { .. } => "address",
            Self::Unsupported(_) => "unsupported",
            Self::Endpoint { .. } => "endpoint",
        }
    }

    /// Returns the HTTP status that a gateway should send to its client:
    ///
    /// | status | error |
    /// | --- | --- |
    /// | 400 | [`Error::Request`], or [`Error::Endpoint`] with the stage [`Caller`](FailureStage::Caller) |
    /// | 501 | [`Error::Unsupported`] |
    /// | 502 | [`Error::Address`], or [`Error::Endpoint`] with any other stage |
    /// | 503 | [`Error::Pick`], or [`Error::Endpoint`] with the stage [`Overloaded`](FailureStage::Overloaded) or a [`NotSent::unresolved`] |
    /// | 504 | [`Error::Endpoint`] with the stage [`TimedOut`](FailureStage::TimedOut) |
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Pick(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Request { .. } => StatusCode::BAD_REQUEST,
            Self::Address { .. } => StatusCode::BAD_GATEWAY,
            Self::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Endpoint { stage, .. } => match stage {
                FailureStage::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                FailureStage::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                FailureStage::Caller => StatusCode::BAD_REQUEST,
                FailureStage::NotSent if self.is_unresolved() => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// Returns whether the host name of the final endpoint could not be resolved.
    fn is_unresolved(&self) -> bool {
        let first: &(dyn std::error::Error + 'static) = self;
        let mut causes = std::iter::successors(Some(first), |error| error.source());
        causes.any(|error| error.downcast_ref().is_some_and(NotSent::is_unresolved))
    }

    /// Returns a short text for clients that explains the [`status`](Self::status). It contains no endpoint id, no
    /// address and no cause.
    pub fn public_message(&self) -> &'static str {
        match self.status() {
            StatusCode::BAD_REQUEST => "the request could not be forwarded",
            StatusCode::SERVICE_UNAVAILABLE if self.is_unresolved() => "the name of the backend cannot be resolved",
            StatusCode::SERVICE_UNAVAILABLE => "no backend can take the request now",
            StatusCode::NOT_IMPLEMENTED => "such a request is not supported",
            StatusCode::GATEWAY_TIMEOUT => "the backend did not answer in time",
            _ => "the backend could not be reached or failed",
        }
    }

    /// Returns the endpoint of the final attempt. `None` for [`Error::Pick`], [`Error::Request`] and
    /// [`Error::Unsupported`], which concern no single endpoint.
    pub fn endpoint(&self) -> Option<&EndpointId> {
        match self {
            Self::Pick(_) | Self::Request { .. } | Self::Unsupported(_) => None,
            Self::Address { endpoint, .. } | Self::Endpoint { endpoint, .. } => Some(endpoint),
        }
    }

    /// Returns the number of attempts that this balancer made for the request. An attempt at an endpoint with an
    /// address that cannot be used is included. Attempts of balancers below this one are not included. 0 for
    /// [`Error::Pick`], [`Error::Request`] and [`Error::Unsupported`].
    pub fn attempts(&self) -> usize {
        match self {
            Self::Pick(_) | Self::Request { .. } | Self::Unsupported(_) => 0,
            Self::Address { attempts, .. } | Self::Endpoint { attempts, .. } => *attempts,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pick(error) => error.fmt(f),
            Self::Unsupported(error) => error.fmt(f),
            Self::Request { .. } => f.write_str("the request cannot be sent"),
            Self::Address { endpoint, .. } => write!(f, "endpoint {endpoint} cannot be reached at its address"),
            Self::Endpoint { endpoint, .. } => write!(f, "endpoint {endpoint} failed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // tonic's clients look for a status among the causes, and return `Unknown` if there is none.
            #[cfg(feature = "tonic")]
            Self::Pick(_) => Some(unavailable()),
            #[cfg(not(feature = "tonic"))]
            Self::Pick(error) => error.source(),
            Self::Unsupported(error) => error.source(),
            Self::Request { source } | Self::Endpoint { source, .. } => Some(&**source),
            Self::Address { source, .. } => Some(source),
        }
    }
}

impl From<PickError> for Error {
    fn from(error: PickError) -> Self {
        Self::Pick(error)
    }
}

/// How far a failed request got. The stage decides whether the request may be sent to another endpoint.
///
/// A stage is correct only if the service below the balancer sends each request once. Put layers that send further
/// requests **above** the balancer: redirects (tower-http's `FollowRedirect`) and retries (`tower::retry`). Below the
/// balancer, such a layer returns only the error of its final request, which says nothing about its earlier requests.
/// Example: the endpoint processes a request and redirects it to a host that does not exist. The layer then returns
/// "not connected", although the endpoint has processed the request.
///
/// `ReqwestService` (feature `reqwest`) turns off the redirects and retries of reqwest. hyper-util's client needs no
/// change, because it repeats only requests that were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureStage {
    /// The endpoint has not processed the request, for one of these reasons:
    ///
    /// - The request did not reach the endpoint: the connection was refused, the name was not found, or the handshake
    ///   failed.
    /// - The endpoint reported that it did not process the request. It refused the HTTP/2 stream (RFC 9113, 8.7), or
    ///   the stream has a higher id than the last stream id in a GOAWAY frame (RFC 9113, 6.8).
    ///
    /// The balancer retries the request, whatever its method, if the request's body can be [sent again](crate::Replay).
    NotSent,
    /// A limit below the balancer, such as `tower::load_shed`, rejected the request before it was sent. The balancer
    /// retries the request, whatever its method, if the request's body can be [sent again](crate::Replay).
    ///
    /// The endpoint gets the verdict [`Verdict::Overloaded`]. Outlier detection does not eject an endpoint for this
    /// verdict.
    Overloaded,
    /// The connection was lost before a response began. The endpoint may have processed the request, so only an
    /// idempotent request is retried.
    NoResponse,
    /// A timeout has passed. The endpoint may still be working on the request, so the request is not retried.
    ///
    /// There are two exceptions. After the [attempt timeout](crate::Balance::attempt_timeout) of the balancer, an
    /// idempotent request is retried. (If the service was not ready at that time, the stage is
    /// [`NotSent`](Self::NotSent).) The same happens if a timeout layer below the balancer returns an I/O error of
    /// the kind [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted), because this error has the stage
    /// [`NoResponse`](Self::NoResponse).
    TimedOut,
    /// The request itself caused the failure: its body failed, or the client cannot send this kind of request. The
    /// endpoint gets the verdict [`Verdict::Neutral`], and the request is not retried.
    Caller,
    /// Any other error. It is not known how far the request got, and the endpoint may have processed it. The request is
    /// therefore not retried.
    Other,
}

impl FailureStage {
    /// Returns the name of this stage, for metrics and logs, such as `not_sent`. The name never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Overloaded => "overloaded",
            Self::NoResponse => "no_response",
            Self::TimedOut => "timed_out",
            Self::Caller => "caller",
            Self::Other => "other",
        }
    }

    /// Returns the verdict for an endpoint whose request failed at this stage.
    pub(crate) fn verdict(self) -> Verdict {
        Verdict::Failure(match self {
            Self::NotSent => Failure::Connect,
            Self::TimedOut => Failure::Timeout,
            Self::NoResponse | Self::Other => Failure::Transport,
            Self::Overloaded => return Verdict::Overloaded { retry_after: None },
            Self::Caller => return Verdict::Neutral,
        })
    }

    /// Returns whether it is certain that the endpoint has not processed the request.
    pub(crate) fn is_unsent(self) -> bool {
        matches!(self, Self::NotSent | Self::Overloaded)
    }
}

/// Why [`PointAt::point_at`](crate::PointAt::point_at) could not change a request so that a client sends it to an
/// endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointError {
    /// The request cannot be sent to the address of the picked endpoint. The balancer tries another endpoint.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The request cannot be sent to any endpoint, whatever its address. The balancer tries no other endpoint. The
    /// picked endpoint gets the verdict [`Verdict::Neutral`].
    #[error(transparent)]
    Unsupported(#[from] UnsupportedRequest),
}

impl PointError {
    /// Returns the name of this kind of error, for metrics and logs: `address` or `unsupported`. The name never
    /// changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Unsupported(_) => "unsupported",
        }
    }

    /// Returns the verdict for the endpoint that was picked for the request.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Address(_) => FailureStage::NotSent.verdict(),
            // No endpoint could have served the request, so this says nothing about the endpoint.
            Self::Unsupported(_) => Verdict::Neutral,
        }
    }
}

/// The error for a kind of request, such as HTTP `CONNECT`, that [`BalanceLayer`](crate::BalanceLayer) cannot send. The
/// reason is that one client serves all endpoints. The message says why the request cannot be sent, and what to use
/// instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UnsupportedRequest {
    reason: std::borrow::Cow<'static, str>,
}

impl UnsupportedRequest {
    /// Creates an error with the message `reason`. The message should say why the request cannot be sent, and what to
    /// use instead.
    pub fn new(reason: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }
}

/// An error that tells the balancer that a request was not sent. The balancer may then send the request to another
/// endpoint. Return this error from services that you write for use below the balancer.
///
/// ```
/// use equipoise_tower::{FailureStage, NotSent};
///
/// let error = NotSent::new("the circuit is open");
/// assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the request was not sent")]
pub struct NotSent {
    source: BoxError,
    unresolved: bool,
}

impl NotSent {
    /// Creates an error for a request that was not sent. `source` is the cause: why the request was not sent.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self { source: source.into(), unresolved: false }
    }

    /// Creates an error for a request that was not sent because the host name of the endpoint has no IP address, or
    /// could not be resolved. If it is the error of the final attempt, [`Error::status`] is 503.
    pub fn unresolved(source: impl Into<BoxError>) -> Self {
        Self { source: source.into(), unresolved: true }
    }

    /// Returns whether the host name of the endpoint could not be resolved.
    pub fn is_unresolved(&self) -> bool {
        self.unresolved
    }
}

/// The error of an attempt that got no response within the [attempt timeout](crate::Balance::attempt_timeout) of the
/// balancer. If the endpoint's service was not ready, so that the request was not sent, this error is the source of a
/// [`NotSent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no response within the attempt timeout of {timeout:?}")]
#[non_exhaustive]
pub struct AttemptTimedOut {
    /// The attempt timeout that has passed.
    pub timeout: std::time::Duration,
}

impl AttemptTimedOut {
    pub(crate) fn after(timeout: std::time::Duration) -> Self {
        Self { timeout }
    }
}

/// The error of [`ReqwestService`](crate::ReqwestService). It contains the [`reqwest::Error`] of a request that was
/// sent at most once, because `ReqwestService` follows no redirects and makes no retries.
///
/// Therefore, [`FailureStage::of`] can tell from this error whether the request was sent. A plain [`reqwest::Error`]
/// may come from a request after a redirect, so it does not show whether the original request was sent.
#[cfg(feature = "reqwest")]
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReqwestError(#[from] reqwest::Error);

#[cfg(feature = "reqwest")]
impl ReqwestError {
    /// Returns a reference to the [`reqwest::Error`] inside.
    pub fn get_ref(&self) -> &reqwest::Error {
        &self.0
    }

    /// Returns the [`reqwest::Error`] inside.
    pub fn into_inner(self) -> reqwest::Error {
        self.0
    }
}

/// The cause that tonic's clients find in the error of a [`Balance`] that could pick no endpoint.
#[cfg(feature = "tonic")]
fn unavailable() -> &'static tonic::Status {
    static UNAVAILABLE: std::sync::LazyLock<tonic::Status> =
        std::sync::LazyLock::new(|| tonic::Status::unavailable("no endpoint can take the call"));
    &UNAVAILABLE
}

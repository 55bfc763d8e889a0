pub use equipoise_core::InvalidAddress;

use std::fmt;

use equipoise_core::{EndpointId, Failure, PickError, Verdict};
use http::StatusCode;

/// A boxed error of any type, as in tower.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a balanced request got no response.
///
/// The message names the endpoint, whose id is often its address, and the [`source`](std::error::Error::source) says what
/// happened there: both belong in a log. What a client may be told is [`status`](Self::status) and
/// [`public_message`](Self::public_message). With the feature `tonic` it converts into a `tonic::Status`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No endpoint could be picked, not even after the [wait](crate::Balance::queue_timeout) that was allowed.
    Pick(PickError),
    /// The request is invalid and cannot be sent.
    Request {
        /// What is wrong with it.
        source: BoxError,
    },
    /// The request cannot be sent to the endpoint's address.
    Address {
        /// The endpoint with that address.
        endpoint: EndpointId,
        /// What is wrong with it.
        source: InvalidAddress,
        /// The number of attempts made, this one included.
        attempts: usize,
        /// Whether an endpoint may have processed the request in an earlier attempt of this balancer.
        maybe_processed: bool,
    },
    /// The request cannot be sent through a client that all endpoints share, whatever endpoint is picked.
    Unsupported(UnsupportedRequest),
    /// The last endpoint that was tried has failed.
    Endpoint {
        /// The endpoint that failed.
        endpoint: EndpointId,
        /// The error of the endpoint's service.
        source: BoxError,
        /// How far the request got in the last attempt.
        stage: FailureStage,
        /// The number of attempts made, this one included.
        attempts: usize,
        /// Whether an endpoint may have processed the request in any attempt of this balancer, the last one included. An
        /// outer balancer then sends the request elsewhere only if it is idempotent.
        maybe_processed: bool,
    },
}

impl Error {
    /// The kind of error as a stable label for metrics and logs. For endpoints that failed, see also
    /// [`FailureStage::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pick(_) => "pick",
            Self::Request { .. } => "request",
            Self::Address { .. } => "address",
            Self::Unsupported(_) => "unsupported",
            Self::Endpoint { .. } => "endpoint",
        }
    }

    /// Returns the status that a gateway should send to its client:
    ///
    /// - 503 if no endpoint could be picked or the last one was overloaded; the client may retry later,
    /// - 504 if the endpoint took too long,
    /// - 400 if the client's request body failed or the request is invalid,
    /// - 501 if the request cannot be sent to any endpoint,
    /// - 502 if the endpoint failed otherwise.
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
                _ => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// Returns a message for clients that matches [`status`](Self::status). It contains no id, no address and no cause.
    pub fn public_message(&self) -> &'static str {
        match self.status() {
            StatusCode::BAD_REQUEST => "the request could not be forwarded",
            StatusCode::SERVICE_UNAVAILABLE => "no backend can take the request now",
            StatusCode::NOT_IMPLEMENTED => "such a request is not supported",
            StatusCode::GATEWAY_TIMEOUT => "the backend did not answer in time",
            _ => "the backend could not be reached or failed",
        }
    }

    /// Returns the endpoint that failed; `None` if no endpoint was picked.
    pub fn endpoint(&self) -> Option<&EndpointId> {
        match self {
            Self::Pick(_) | Self::Request { .. } | Self::Unsupported(_) => None,
            Self::Address { endpoint, .. } | Self::Endpoint { endpoint, .. } => Some(endpoint),
        }
    }

    /// Returns the number of attempts that this balancer made, including those at endpoints whose address cannot be used. 0
    /// if no endpoint was picked. Attempts of balancers below are not included.
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
            // tonic's clients look for a status among the causes, and say `Unknown` if there is none.
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

/// How far a failed request got. It decides whether the request may be sent to another endpoint.
///
/// The stage is about one request to one endpoint. So put layers that send further requests **above** the balancer:
/// redirects (tower-http's `FollowRedirect`) and retries (`tower::retry`). Below the balancer, such a layer returns the error
/// of its last request, which says nothing about the requests before it. For example, a redirect to a host that does not
/// exist ends with "not connected", although the endpoint has processed the first request. `ReqwestService` (feature
/// `reqwest`) turns off the redirects and retries of reqwest. hyper-util's client can be used as it is: it repeats only
/// requests that were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureStage {
    /// The request did not reach the endpoint, or the endpoint says that it did not process it: connection refused, name
    /// not found, handshake failed, HTTP/2 stream refused or above the last stream of a GOAWAY (RFC 9113, 6.8 and 8.7).
    /// A request with any method is retried, if its body can be [sent again](crate::Replay).
    NotSent,
    /// A limit below the balancer rejected the request before it was sent (`tower::load_shed`). A request with any method is
    /// retried, if its body can be [sent again](crate::Replay). The verdict is [`Verdict::Overloaded`], which does not eject the endpoint.
    Overloaded,
    /// The connection was lost before a response began. The endpoint may have processed the request, so only idempotent
    /// requests are retried.
    NoResponse,
    /// A time-out has passed. The request is not retried: the endpoint may still be working on it. (An
    /// [attempt timeout](crate::Balance::attempt_timeout) is an exception.) A time-out layer below the balancer after which
    /// idempotent requests are to be retried, as nginx does, can return an I/O error of the kind
    /// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted).
    TimedOut,
    /// The request itself is at fault: its body failed, or the client refuses to send such a request. The verdict for the
    /// endpoint is neutral, and the request is not retried.
    Caller,
    /// Any other error. The request is not retried.
    Other,
}

impl FailureStage {
    /// The stage as a stable label for metrics and logs.
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

    /// The verdict for an endpoint that failed a request so.
    pub(crate) fn verdict(self) -> Verdict {
        Verdict::Failure(match self {
            Self::NotSent => Failure::Connect,
            Self::TimedOut => Failure::Timeout,
            Self::NoResponse | Self::Other => Failure::Transport,
            Self::Overloaded => return Verdict::Overloaded { retry_after: None },
            Self::Caller => return Verdict::Neutral,
        })
    }

    /// Whether the endpoint has not processed the request.
    pub(crate) fn is_unsent(self) -> bool {
        matches!(self, Self::NotSent | Self::Overloaded)
    }
}

/// Why a request could not be [pointed](crate::PointAt) at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointError {
    /// Such a request cannot be sent to the endpoint's address. Other endpoints are tried.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The request cannot be pointed at any endpoint. No other endpoint is tried, and no verdict is recorded.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedRequest),
}

/// A request that cannot be sent through a client that all endpoints share. The message says why, and what to use
/// instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UnsupportedRequest {
    reason: std::borrow::Cow<'static, str>,
}

impl UnsupportedRequest {
    /// An error with this message.
    pub fn new(reason: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }
}

/// An error of a request that was not sent, so that the balancer may send it to another endpoint. For services of your
/// own.
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
}

impl NotSent {
    /// An error with `source` as its cause.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self { source: source.into() }
    }
}

/// The error of an attempt that got no response within [`Balance::attempt_timeout`](crate::Balance::attempt_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no response within the attempt timeout of {timeout:?}")]
#[non_exhaustive]
pub struct AttemptTimedOut {
    /// The timeout.
    pub timeout: std::time::Duration,
}

impl AttemptTimedOut {
    pub(crate) fn after(timeout: std::time::Duration) -> Self {
        Self { timeout }
    }
}

/// The error of [`ReqwestService`](crate::ReqwestService): a [`reqwest::Error`] of a request that was sent once, without
/// redirects.
///
/// [`FailureStage::of`] recognises from it that a request was not sent. A bare [`reqwest::Error`] does not tell, since it may
/// be about a redirect.
#[cfg(feature = "reqwest")]
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReqwestError(#[from] reqwest::Error);

#[cfg(feature = "reqwest")]
impl ReqwestError {
    /// Returns a reference to reqwest's error.
    pub fn get_ref(&self) -> &reqwest::Error {
        &self.0
    }

    /// Returns reqwest's error.
    pub fn into_inner(self) -> reqwest::Error {
        self.0
    }
}

/// The cause that tonic's clients find in an error of a plain [`Balance`] that had no endpoint to pick.
#[cfg(feature = "tonic")]
fn unavailable() -> &'static tonic::Status {
    static UNAVAILABLE: std::sync::LazyLock<tonic::Status> =
        std::sync::LazyLock::new(|| tonic::Status::unavailable("no endpoint can take the call"));
    &UNAVAILABLE
}

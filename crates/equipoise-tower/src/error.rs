pub use equipoise_core::InvalidAddress;

use std::fmt;

use equipoise_core::{EndpointId, PickError};
use http::StatusCode;

use crate::failure_stage::FailureStage;

/// Any error: tower's convention.
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
    /// The request is not one that can be sent.
    Request {
        /// What is wrong with it.
        source: BoxError,
    },
    /// The endpoint's address is not what the request needs.
    Address {
        /// The endpoint with that address.
        endpoint: EndpointId,
        /// What is wrong with it.
        source: InvalidAddress,
        /// The number of attempts made, this one included.
        attempts: usize,
    },
    /// The request cannot be sent through a client that all endpoints share, whichever endpoint is picked.
    Unsupported(UnsupportedRequest),
    /// The last endpoint tried failed; this is its own error.
    Endpoint {
        /// The endpoint that failed.
        endpoint: EndpointId,
        /// The inner service's error.
        source: BoxError,
        /// The number of attempts made, this one included.
        attempts: usize,
    },
}

impl Error {
    /// The status with which a gateway answers its client: 503 where no endpoint could be picked or all were overloaded
    /// (the request may be tried again, later), 504 where the endpoint took too long, 400 where the client's own body
    /// failed, 501 where the request cannot be sent to any endpoint, and 502 where the endpoint failed otherwise.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Pick(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Request { .. } => StatusCode::BAD_REQUEST,
            Self::Address { .. } => StatusCode::BAD_GATEWAY,
            Self::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Endpoint { source, .. } => match FailureStage::of(&**source) {
                FailureStage::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                FailureStage::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                FailureStage::Caller => StatusCode::BAD_REQUEST,
                _ => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// A sentence for clients that goes with [`status`](Self::status). It contains no id, no address and no cause.
    pub fn public_message(&self) -> &'static str {
        match self.status() {
            StatusCode::BAD_REQUEST => "the request could not be forwarded",
            StatusCode::SERVICE_UNAVAILABLE => "no backend can take the request now",
            StatusCode::GATEWAY_TIMEOUT => "the backend did not answer in time",
            _ => "the backend could not be reached or failed",
        }
    }

    /// The endpoint that failed, if the request got as far as one.
    pub fn endpoint(&self) -> Option<&EndpointId> {
        match self {
            Self::Pick(_) | Self::Request { .. } | Self::Unsupported(_) => None,
            Self::Address { endpoint, .. } | Self::Endpoint { endpoint, .. } => Some(endpoint),
        }
    }

    /// The number of attempts that this balancer made, including those at endpoints whose address cannot be used. 0 if
    /// no endpoint was picked. The attempts of a balancer further in are not included.
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
            Self::Pick(_) => Some(crate::grpc::unavailable()),
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

/// Why a request could not be [pointed](crate::PointAt) at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointError {
    /// The endpoint's address is not one that such a request can go to. Another endpoint may do.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The request cannot be pointed at any endpoint. No other endpoint is tried, and none is held responsible.
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
    /// For this reason, which is the error's message.
    pub fn new(reason: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }
}

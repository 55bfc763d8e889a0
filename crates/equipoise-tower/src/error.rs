pub use equipoise_core::InvalidAddress;
use equipoise_core::{EndpointId, PickError};
use http::StatusCode;

use crate::reach::Reach;

/// Any error: tower's convention.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a balanced request got no response.
///
/// Its own message names the endpoint; what happened there is the [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody could be picked, not even after the [wait](crate::Balance::wait) that was allowed.
    #[error(transparent)]
    Pick(#[from] PickError),
    /// The endpoint's address is not what the request needs.
    #[error("endpoint {endpoint} cannot be reached at its address")]
    Address {
        /// Whose address.
        endpoint: EndpointId,
        /// What is wrong with it.
        source: InvalidAddress,
    },
    /// The last endpoint tried failed; this is its own error.
    #[error("endpoint {endpoint} failed")]
    Endpoint {
        /// Who failed.
        endpoint: EndpointId,
        /// The inner service's error.
        source: BoxError,
    },
}

impl Error {
    /// What a gateway tells its client: 503 where nobody could be picked (the request may be tried again, later), 504
    /// where the endpoint took too long, 400 where the client's own body failed, and 502 where the endpoint failed
    /// otherwise.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Pick(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Address { .. } => StatusCode::BAD_GATEWAY,
            Self::Endpoint { source, .. } => match Reach::of(&**source) {
                Reach::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                Reach::Caller => StatusCode::BAD_REQUEST,
                _ => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// The endpoint that failed, if one was reached for.
    pub fn endpoint(&self) -> Option<&EndpointId> {
        match self {
            Self::Pick(_) => None,
            Self::Address { endpoint, .. } | Self::Endpoint { endpoint, .. } => Some(endpoint),
        }
    }
}

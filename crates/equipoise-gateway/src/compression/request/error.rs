use equipoise_tower::BoxError;
use http::StatusCode;

use crate::Denial;

/// Why the decompressed body of a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressionError {
    /// The decompressed body is longer than [`DecompressionLayer::max_bytes`](super::DecompressionLayer::max_bytes).
    #[error("the decompressed body of the request is longer than {max} bytes")]
    TooLarge {
        /// The maximum length in bytes.
        max: u64,
    },
    /// The body grows by more than [`DecompressionLayer::max_ratio`](super::DecompressionLayer::max_ratio).
    #[error("the body of the request is compressed by more than a factor of {max}")]
    Ratio {
        /// The maximum factor.
        max: u32,
    },
    /// The body needs a window of more than 8 MiB with `zstd` (RFC 9659), or of more than 16 MiB with `br` (RFC 7932).
    #[error("the body of the request needs a larger window than 8 MiB with zstd, or 16 MiB with br")]
    Window,
    /// The body does not have the encoding that `Content-Encoding` states, or is incomplete.
    #[error("the body of the request cannot be decompressed")]
    Malformed(#[source] BoxError),
    /// The compressed body could not be read, for example because the client has closed its connection.
    #[error("the body of the request could not be read")]
    Client(#[source] BoxError),
}

/// The kinds of errors for which the layer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    TooLarge,
    Ratio,
    Window,
    Malformed,
}

impl Failure {
    pub(super) fn of(error: &DecompressionError) -> Option<Self> {
        match error {
            DecompressionError::TooLarge { .. } => Some(Self::TooLarge),
            DecompressionError::Ratio { .. } => Some(Self::Ratio),
            DecompressionError::Window => Some(Self::Window),
            DecompressionError::Malformed(_) => Some(Self::Malformed),
            // A body has failed that is not of this layer, and another layer may know more.
            DecompressionError::Client(_) => None,
        }
    }

    pub(super) fn denial(self) -> Denial {
        match self {
            Self::TooLarge => Denial::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "the decompressed body of the request is too large",
            ),
            Self::Ratio => Denial::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "the body of the request is compressed too much",
            ),
            Self::Window => Denial::new(
                StatusCode::BAD_REQUEST,
                "malformed_body",
                "the body of the request needs a larger window than 8 MiB with zstd, or 16 MiB with br",
            ),
            Self::Malformed => Denial::new(
                StatusCode::BAD_REQUEST,
                "malformed_body",
                "the body of the request does not have its Content-Encoding",
            ),
        }
    }
}

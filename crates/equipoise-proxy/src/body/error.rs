use equipoise_tower::BoxError;
use http::StatusCode;

use super::timer::Elapsed;

/// Why the body of a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// The body is longer than the maximum. Status 413.
    #[error("the body of the request is too large")]
    TooLarge,
    /// The client sent nothing for longer than [`Timeouts::idle`](crate::Timeouts::idle), or for longer than
    /// [`Timeouts::head`](crate::Timeouts::head) while the endpoint waited for the rest of the body. Status 408.
    #[error("the body of the request did not arrive in time")]
    Idle,
    /// Neither the client nor the endpoint sent anything for longer than [`Timeouts::idle`](crate::Timeouts::idle) or
    /// [`Timeouts::head`](crate::Timeouts::head), while the body was open and its length not known. The proxy cannot tell
    /// which side is late: in a call with streams in both directions, each may wait for the other one. Status 408.
    #[error("neither the client nor the backend sent anything in time")]
    Silent,
    /// The whole request took longer than [`Timeouts::total`](crate::Timeouts::total). Status 408.
    #[error("the request was not completed in time")]
    Total,
    /// The connection to the client broke, or the body is malformed. Status 400.
    #[error("the body of the request could not be read")]
    Client(#[source] BoxError),
}

impl RequestBodyError {
    /// Returns the status that the client should get.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Idle | Self::Silent | Self::Total => StatusCode::REQUEST_TIMEOUT,
            Self::Client(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns this error as a stable label for metrics and logs, such as `body_idle`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge => "body_too_large",
            Self::Idle => "body_idle",
            Self::Silent => "body_silent",
            Self::Total => "body_total",
            Self::Client(_) => "body_client",
        }
    }
}

impl From<Elapsed> for RequestBodyError {
    fn from(elapsed: Elapsed) -> Self {
        match elapsed {
            Elapsed::Idle => Self::Idle,
            Elapsed::Total => Self::Total,
        }
    }
}

use std::time::Duration;

/// How a request ended, as its endpoint's doing.
///
/// A verdict, not a duration: a backend that fails in a tenth of a millisecond must not look fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The endpoint did its work. An answer that tells the client it was wrong (HTTP 404) is one too.
    Success,
    /// The endpoint failed.
    Failure(Failure),
    /// The endpoint asks for less (HTTP 429). It works: the limit may be that of one client. Outlier detection does not
    /// count it as a failure, and an endpoint on trial passes with it.
    Overloaded {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The endpoint could not serve the request and says that it will later (HTTP 503 with Retry-After). Strategies treat
    /// it as [`Overloaded`](Self::Overloaded). Outlier detection counts it as [`Failure::Gateway`] unless it heeds
    /// `retry_after`, and an endpoint on trial fails with it.
    Unavailable {
        /// How long it asks to be left alone; `None` if it said so in a form that is not understood.
        retry_after: Option<Duration>,
    },
    /// Says nothing about the endpoint.
    Neutral,
}

impl Verdict {
    /// Whether strategies should hold it against the endpoint.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure(_) | Self::Overloaded { .. } | Self::Unavailable { .. })
    }
}

/// In what way an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// No connection: refused, unreachable, handshake failed. The endpoint never saw the request.
    Connect,
    /// The connection broke while it was in use.
    Transport,
    /// No answer in time.
    Timeout,
    /// It answered for something behind it that failed (HTTP 502, 503, 504; gRPC `UNAVAILABLE`).
    Gateway,
    /// It answered that it failed (other HTTP 5xx; gRPC `INTERNAL`, `UNKNOWN`, `DATA_LOSS`).
    Server,
}

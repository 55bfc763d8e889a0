use std::time::Duration;

/// What the result of a request says about the endpoint that served it. Callers report it with
/// [`Lease::record`](crate::Lease::record).
///
/// Strategies and outlier detection use the verdict in addition to the latency: an endpoint that fails within a
/// millisecond must not count as a fast endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The endpoint works. Responses that report an error of the client, such as HTTP 404, are also successes.
    Success,
    /// The endpoint failed. The value says how.
    Failure(Failure),
    /// The endpoint works but asks for fewer requests, as with HTTP 429. The endpoint may ask only this client for
    /// fewer requests, and not other clients.
    ///
    /// Strategies count this verdict as a failure. Outlier detection does not count it as a failure. If the endpoint is
    /// on [probation](crate::Availability::Probation), this verdict ends the probation successfully.
    Overloaded {
        /// How long the endpoint asks the client to wait before the next request, from its `Retry-After` header. `None`
        /// if there is no such header, or if its value is not a number of seconds.
        retry_after: Option<Duration>,
    },
    /// The endpoint could not serve the request and says that it will serve requests later, as with HTTP 503 and a
    /// `Retry-After` header.
    ///
    /// - Strategies treat this verdict like [`Overloaded`](Self::Overloaded): it counts as a failure.
    /// - Outlier detection counts this verdict as [`Failure::Gateway`]. If outlier detection is configured to obey
    ///   `retry_after`, it pauses the endpoint instead.
    /// - If the endpoint is on [probation](crate::Availability::Probation), this verdict ends the probation without
    ///   success.
    Unavailable {
        /// How long the endpoint asks the client to wait before the next request. `None` if the value of its
        /// `Retry-After` header is not a number of seconds.
        retry_after: Option<Duration>,
    },
    /// The result says nothing about the endpoint, for example because the client closed the connection.
    Neutral,
}

impl Verdict {
    /// Returns the kind of the verdict as a stable label for metrics and logs, such as `success`. The label of a
    /// failure includes the kind of failure, as in `failure_timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure(Failure::Connect) => "failure_connect",
            Self::Failure(Failure::Transport) => "failure_transport",
            Self::Failure(Failure::Timeout) => "failure_timeout",
            Self::Failure(Failure::Gateway) => "failure_gateway",
            Self::Failure(Failure::Server) => "failure_server",
            Self::Overloaded { .. } => "overloaded",
            Self::Unavailable { .. } => "unavailable",
            Self::Neutral => "neutral",
        }
    }

    /// Returns whether strategies should count the verdict as a failure: true for `Failure`, `Overloaded` and
    /// `Unavailable`.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure(_) | Self::Overloaded { .. } | Self::Unavailable { .. })
    }
}

/// How an endpoint failed to serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// No connection to the endpoint could be made: it was refused, the endpoint was unreachable, or the handshake
    /// failed. The endpoint did not get the request.
    Connect,
    /// The connection to the endpoint broke while the request was sent or while the response was received.
    Transport,
    /// The endpoint did not respond before the timeout of the request.
    Timeout,
    /// The endpoint reported that a server behind it failed: HTTP 502, 503 or 504, or gRPC `UNAVAILABLE`.
    Gateway,
    /// The endpoint reported that it failed itself: an HTTP status 5xx other than 502, 503 and 504, or gRPC `INTERNAL`,
    /// `UNKNOWN` or `DATA_LOSS`.
    Server,
}

impl Failure {
    /// Returns the kind of failure as a stable label for metrics and logs, such as `timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Transport => "transport",
            Self::Timeout => "timeout",
            Self::Gateway => "gateway",
            Self::Server => "server",
        }
    }
}

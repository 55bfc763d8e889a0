use std::time::Duration;

/// What the result of a request says about its endpoint: reported with [`Lease::record`](crate::Lease::record).
///
/// Strategies and outlier detection use it besides the latency, because an endpoint that fails within a millisecond
/// must not look fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The endpoint works. This includes responses that report an error of the client, such as HTTP 404.
    Success,
    /// The endpoint failed, in this way.
    Failure(Failure),
    /// The endpoint works but asks for fewer requests, as with HTTP 429. The limit may concern a single client.
    /// Strategies count it as a failure, outlier detection does not. It ends a probation successfully.
    Overloaded {
        /// How long the endpoint asks to wait, from its `Retry-After`. `None` if it does not say.
        retry_after: Option<Duration>,
    },
    /// The endpoint could not serve the request and says that it will later, as with HTTP 503 and `Retry-After`.
    /// Strategies treat it like [`Overloaded`](Self::Overloaded). Outlier detection counts it as [`Failure::Gateway`],
    /// unless it is set to obey `retry_after`. It ends a probation without success.
    Unavailable {
        /// How long the endpoint asks to wait. `None` if its `Retry-After` cannot be parsed.
        retry_after: Option<Duration>,
    },
    /// The result says nothing about the endpoint, for example because the client closed the connection.
    Neutral,
}

impl Verdict {
    /// The kind of verdict as a stable label for metrics and logs. A failure's label names its kind: `failure_timeout`.
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

    /// Returns whether strategies should count it as a failure: true for `Failure`, `Overloaded` and `Unavailable`.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure(_) | Self::Overloaded { .. } | Self::Unavailable { .. })
    }
}

/// In which way an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// No connection could be made: refused, unreachable, or failed in the handshake. The endpoint did not get the
    /// request.
    Connect,
    /// The connection broke while the request was sent or its response received.
    Transport,
    /// There was no response in time.
    Timeout,
    /// The endpoint reported the failure of a server behind it: HTTP 502, 503 or 504, or gRPC `UNAVAILABLE`.
    Gateway,
    /// The endpoint reported its own failure: any other HTTP 5xx, or gRPC `INTERNAL`, `UNKNOWN` or `DATA_LOSS`.
    Server,
}

impl Failure {
    /// The kind of failure as a stable label for metrics and logs.
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

mod of;

use equipoise_core::{Failure, Verdict};

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

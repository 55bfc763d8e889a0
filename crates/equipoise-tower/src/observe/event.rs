//! The events that observers receive.

use std::{fmt, time::Duration};

use equipoise_core::{BindingOutcome, EndpointId, Explanation, PickError, Verdict};
use http::HeaderMap;

use crate::{
    error::{Error, PointError},
    error_class::ErrorClass,
    http::ResponseHead,
};

/// Something that happened to a request in a balancer. An [`Observe`](crate::Observe) receives it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestEvent<'a> {
    /// The number of the request. All events of this request in this balancer have the same number.
    pub request: RequestId,
    /// What happened to the request.
    pub kind: EventKind<'a>,
}

/// The number of a request in the events of an observer. No two requests in this process have the same number. If
/// balancers are nested, each of them gives the request another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

impl RequestId {
    /// Returns the number as an integer. The numbers in a process start at 1. Only requests of balancers with an
    /// observer get a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened to a request in a balancer: the kind of a [`RequestEvent`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum EventKind<'a> {
    /// The balancer was called with the request. This is the first event of each request.
    Started,
    /// An endpoint was picked for the request. [`AttemptStarted`](Self::AttemptStarted) for this endpoint follows at
    /// once.
    #[non_exhaustive]
    Picked {
        /// The endpoint that was picked.
        endpoint: &'a EndpointId,
        /// Whether the picked endpoint is the one that the request is bound to, for example by a session.
        /// [`BindingOutcome::Unbound`] if the request is not bound to an endpoint.
        binding_outcome: BindingOutcome,
        /// Why this endpoint was picked, and not another one. `None` unless the observer has asked for it: see
        /// [`ObserveRequest::wants_explanation`](crate::ObserveRequest::wants_explanation).
        ///
        /// The explanation was made just before the pick, and [`Explanation::picked`] is `endpoint`. If the pick has chosen
        /// another endpoint than its explanation, because another request was picked for in between or because the
        /// [entropy](equipoise_core::Entropy) of the pool is not the default one, there is no explanation.
        explanation: Option<&'a Explanation>,
    },
    /// An attempt to send the request to an endpoint has started. The attempt includes the wait until the endpoint's
    /// service is ready.
    #[non_exhaustive]
    AttemptStarted {
        /// The endpoint of the attempt.
        endpoint: &'a EndpointId,
        /// The number of the attempt: 1 for the first attempt of the request. Some attempts that end with
        /// [`AttemptEnd::NotReady`] are not counted. The attempt after an uncounted attempt has the same number as the
        /// uncounted one.
        attempt: usize,
    },
    /// An attempt to send the request to an endpoint has ended.
    #[non_exhaustive]
    AttemptEnded {
        /// The endpoint of the attempt.
        endpoint: &'a EndpointId,
        /// The number of the attempt, as in [`EventKind::AttemptStarted`]: 1 for the first attempt of the request.
        attempt: usize,
        /// How the attempt ended.
        end: AttemptEnd<'a>,
        /// The time since the attempt started.
        elapsed: Duration,
    },
    /// The request leaves the endpoint of an attempt, because the attempt failed or the endpoint's service was not
    /// ready. The request goes to another endpoint, or waits in the queue for one.
    #[non_exhaustive]
    Failover {
        /// The endpoint that the request leaves.
        from: &'a EndpointId,
        /// The endpoint of the next attempt. `None` if no other endpoint can take the request now. The request then
        /// waits in the pool's queue.
        to: Option<&'a EndpointId>,
    },
    /// The request begins to wait in the pool's queue, because no endpoint can take it now.
    QueueEntered,
    /// The request no longer waits in the pool's queue.
    #[non_exhaustive]
    QueueLeft {
        /// How the wait in the queue ended.
        end: QueueEnd<'a>,
        /// The time since the request entered the queue.
        waited: Duration,
    },
    /// The request has ended: the response future has returned a response or an error, or was dropped. This is the last
    /// event of each request. The response's body may still be read afterwards.
    #[non_exhaustive]
    Finished {
        /// How the request ended: with a response, with an error, or cancelled.
        outcome: RequestOutcome<'a>,
        /// The number of attempts of the request in this balancer.
        attempts: usize,
        /// The time since the balancer was called with the request.
        elapsed: Duration,
    },
}

impl EventKind<'_> {
    /// Returns the name of this kind of event, for metrics and logs, such as `attempt_started`. The name never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Picked { .. } => "picked",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::Failover { .. } => "failover",
            Self::QueueEntered => "queue_entered",
            Self::QueueLeft { .. } => "queue_left",
            Self::Finished { .. } => "finished",
        }
    }
}

/// How an attempt to send a request to an endpoint ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum AttemptEnd<'a> {
    /// The head of a response was received. For HTTP, the response may have any status.
    #[non_exhaustive]
    Response {
        /// The verdict that follows from the head of the response, for example a failure for status 503. `None` if the
        /// verdict is known only at the end of the response, for example from the trailers of gRPC.
        verdict: Option<Verdict>,
        /// The head of the response. `None` if the protocol's responses have no such head: see
        /// [`Protocol::response_head`](crate::Protocol::response_head).
        head: Option<ResponseHead<'a>>,
    },
    /// The endpoint's service returned an error, or the attempt timed out.
    #[non_exhaustive]
    Error {
        /// The error of the endpoint's service, an [`AttemptTimedOut`](crate::AttemptTimedOut), or a
        /// [`NotSent`](crate::NotSent) that contains an `AttemptTimedOut`.
        error: &'a (dyn std::error::Error + Send + Sync + 'static),
        /// What the error means: how far the request got, the verdict for the endpoint, and whether the request may be
        /// retried.
        class: ErrorClass,
    },
    /// The endpoint's service was not ready, so the request was not sent to the endpoint. The request goes to another
    /// endpoint, waits in the queue, or fails.
    #[non_exhaustive]
    NotReady {
        /// Whether the request waited for the whole [`ready_timeout`](crate::Balance::ready_timeout).
        ///
        /// If false, the request did not wait for the service, because of another request to the same endpoint. The
        /// other request was still waiting for the service, or its wait had ended without success less than a second
        /// ago. If the request that did not wait leaves the endpoint, this attempt is not counted.
        waited: bool,
    },
    /// The request could not be changed so that the client sends it to the endpoint, so it was not sent there. The
    /// value says why.
    Refused(&'a PointError),
    /// The response future was dropped during the attempt.
    Cancelled,
}

impl AttemptEnd<'_> {
    /// Returns the name of this kind of end, for metrics and logs, such as `not_ready`. The name never changes. For
    /// errors, see also [`FailureStage::as_str`](crate::FailureStage::as_str).
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Response { .. } => "response",
            Self::Error { .. } => "error",
            Self::NotReady { .. } => "not_ready",
            Self::Refused(_) => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a request's wait in the pool's queue ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum QueueEnd<'a> {
    /// An endpoint could take the request, so the request is sent to it.
    Served,
    /// The wait ended without an endpoint: the [queue timeout](crate::Balance::queue_timeout) has passed, or an error
    /// occurred that waiting cannot solve. The value says why no endpoint could be picked at the end of the wait.
    Failed(&'a PickError),
    /// The response future was dropped while the request waited in the queue.
    Cancelled,
}

impl QueueEnd<'_> {
    /// Returns the name of this kind of end, for metrics and logs: `served`, `failed` or `cancelled`. The name never
    /// changes. For failures, see also [`PickError::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a request to a balancer ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RequestOutcome<'a> {
    /// The balancer returned a response. For HTTP, the response may have any status.
    #[non_exhaustive]
    Response {
        /// The endpoint that sent the response.
        endpoint: &'a EndpointId,
        /// The verdict that follows from the head of the response. `None` if the verdict is known only at the end of
        /// the response.
        verdict: Option<Verdict>,
        /// The head of the response, as the endpoint's service has returned it. `None` if the protocol's responses have
        /// no such head: see [`Protocol::response_head`](crate::Protocol::response_head).
        head: Option<ResponseHead<'a>>,
    },
    /// The balancer returned an error.
    Error(&'a Error),
    /// The response future was dropped before it ended.
    Cancelled,
}

impl RequestOutcome<'_> {
    /// Returns the name of this kind of outcome, for metrics and logs: `response`, `error` or `cancelled`. The name
    /// never changes. For errors, see also [`Error::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Response { .. } => "response",
            Self::Error(_) => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a response ended after its head: the end of its body. An [`ObserveRequest`](crate::ObserveRequest) receives it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BodyEnd<'a> {
    /// The body has ended without an error, or there is no body. A response without a body to wait for ends at its head,
    /// for example one that switches protocols.
    #[non_exhaustive]
    Complete {
        /// The verdict of the trailers, if the head of the response did not decide the verdict. `None` if the head has
        /// decided it, or if the protocol has no body.
        verdict: Option<Verdict>,
        /// The trailers of the response. `None` if there are none.
        trailers: Option<&'a HeaderMap>,
    },
    /// The body has failed because the connection broke, or the response was [refused](crate::refuse_response).
    Failed,
    /// The body was dropped before its end.
    Cancelled,
}

impl BodyEnd<'_> {
    /// Returns the name of this kind of end, for metrics and logs: `complete`, `failed` or `cancelled`. The name never
    /// changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Complete { .. } => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{FailureStage, UnsupportedRequest};

    // The tests of the workspace compare the labels of the other enums. They cannot build these variants.
    #[test]
    fn labels_of_events_are_stable() {
        let (endpoint, attempt, attempts) = (&EndpointId::from("a"), 1, 1);
        let (elapsed, waited) = (Duration::ZERO, Duration::ZERO);
        let error = &io::Error::other("broken");
        let refused = PointError::Unsupported(UnsupportedRequest::new("no"));
        let ends = [
            AttemptEnd::Response { verdict: None, head: None },
            AttemptEnd::Error { error, class: ErrorClass::new(FailureStage::NotSent) },
            AttemptEnd::NotReady { waited: true },
            AttemptEnd::Refused(&refused),
            AttemptEnd::Cancelled,
        ];
        assert_eq!(ends.map(|end| end.as_str()), ["response", "error", "not_ready", "refused", "cancelled"]);
        let queue = [QueueEnd::Served, QueueEnd::Failed(&PickError::Empty), QueueEnd::Cancelled];
        assert_eq!(queue.map(|end| end.as_str()), ["served", "failed", "cancelled"]);
        let pick = Error::Pick(PickError::Empty);
        let response = RequestOutcome::Response { endpoint, verdict: None, head: None };
        let outcomes = [response, RequestOutcome::Error(&pick), RequestOutcome::Cancelled];
        assert_eq!(outcomes.map(|outcome| outcome.as_str()), ["response", "error", "cancelled"]);
        let bodies = [BodyEnd::Complete { verdict: None, trailers: None }, BodyEnd::Failed, BodyEnd::Cancelled];
        assert_eq!(bodies.map(|end| end.as_str()), ["complete", "failed", "cancelled"]);
        let kinds = [
            EventKind::Started,
            EventKind::Picked { endpoint, binding_outcome: BindingOutcome::Unbound, explanation: None },
            EventKind::AttemptStarted { endpoint, attempt },
            EventKind::AttemptEnded { endpoint, attempt, end: ends[0], elapsed },
            EventKind::Failover { from: endpoint, to: None },
            EventKind::QueueEntered,
            EventKind::QueueLeft { end: queue[0], waited },
            EventKind::Finished { outcome: outcomes[0], attempts, elapsed },
        ];
        let labels = [
            "started",
            "picked",
            "attempt_started",
            "attempt_ended",
            "failover",
            "queue_entered",
            "queue_left",
            "finished",
        ];
        assert_eq!(kinds.map(|kind| kind.as_str()), labels);
    }
}

use std::{io, time::Duration};

use equipoise::{
    Address, BindingOutcome, EndpointId, PickError,
    tower::{
        AttemptEnd, Error, ErrorClass, EventKind, FailureStage, InvalidAddress, PointError, QueueEnd, RequestOutcome,
        Retryable, UnsupportedRequest,
    },
};

use super::check;

#[test]
fn labels_of_attempts_and_events_are_unique_and_snake_case() {
    use FailureStage::{Caller, NoResponse, NotSent, Other, Overloaded, TimedOut};
    check([NotSent, Overloaded, NoResponse, TimedOut, Caller, Other].map(FailureStage::as_str));
    check([Retryable::Never, Retryable::IfIdempotent, Retryable::Always].map(Retryable::as_str));
    let (endpoint, attempt, attempts) = (&EndpointId::from("a"), 1, 1);
    let (elapsed, waited) = (Duration::ZERO, Duration::ZERO);
    let source = io::Error::other("broken");
    let refused = PointError::Unsupported(UnsupportedRequest::new("no"));
    let ends = [
        AttemptEnd::Response { verdict: None },
        AttemptEnd::Error { error: &source, class: ErrorClass::new(NotSent) },
        AttemptEnd::NotReady { waited: true },
        AttemptEnd::Refused(&refused),
        AttemptEnd::Cancelled,
    ];
    check(ends.iter().map(AttemptEnd::as_str));
    let queue = [QueueEnd::Served, QueueEnd::Failed(&PickError::Empty), QueueEnd::Cancelled];
    check(queue.iter().map(QueueEnd::as_str));
    let pick = Error::Pick(PickError::Empty);
    let outcomes =
        [RequestOutcome::Response { endpoint, verdict: None }, RequestOutcome::Error(&pick), RequestOutcome::Cancelled];
    check(outcomes.iter().map(RequestOutcome::as_str));
    let kinds = [
        EventKind::Started,
        EventKind::Picked { endpoint, binding: BindingOutcome::Unbound },
        EventKind::AttemptStarted { endpoint, attempt },
        EventKind::AttemptEnded { endpoint, attempt, end: ends[0], elapsed },
        EventKind::Failover { from: endpoint, to: None },
        EventKind::QueueEntered,
        EventKind::QueueLeft { end: queue[0], waited },
        EventKind::Finished { outcome: outcomes[0], attempts, elapsed },
    ];
    check(kinds.iter().map(EventKind::as_str));
    let errors = [
        Error::Pick(PickError::Empty),
        Error::Request { source: "no".into() },
        Error::Address { endpoint: endpoint.clone(), source: address(), attempts, maybe_processed: false },
        Error::Unsupported(UnsupportedRequest::new("no")),
        Error::Endpoint {
            endpoint: endpoint.clone(),
            source: "broken".into(),
            stage: Other,
            attempts,
            maybe_processed: true,
        },
    ];
    check(errors.iter().map(Error::as_str));
}

fn address() -> InvalidAddress {
    Address::parse("").err().unwrap_or_else(|| unreachable!("an empty address is refused"))
}

use equipoise::{
    Address, EndpointId, PickError,
    tower::{Error, FailureStage, InvalidAddress, PointError, Retryable, UnsupportedRequest},
};

use super::check;

#[test]
fn labels_of_errors_are_unique_and_snake_case() {
    use FailureStage::{Caller, NoResponse, NotSent, Other, Overloaded, TimedOut};
    check([NotSent, Overloaded, NoResponse, TimedOut, Caller, Other].map(FailureStage::as_str));
    check([Retryable::Never, Retryable::IfIdempotent, Retryable::Always].map(Retryable::as_str));
    let (endpoint, attempts) = (&EndpointId::from("a"), 1);
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
    let errors = [PointError::Address(address()), PointError::Unsupported(UnsupportedRequest::new("no"))];
    check(errors.iter().map(PointError::as_str));
}

fn address() -> InvalidAddress {
    Address::parse("").err().unwrap_or_else(|| unreachable!("an empty address is refused"))
}

use equipoise::proxy::{
    ProxyBodyError, ProxyError, RequestBodyError, TunnelEnd,
    check::{InvalidResponse, Refusal},
    route::{Missed, RouteBodyError},
};

use super::check;

#[test]
fn labels_of_refusals_and_errors_are_unique_and_snake_case() {
    use InvalidResponse::{Body, ContentLength, Interim, NotSwitched, TransferEncoding, Unrequested};
    use Refusal as R;
    let refusals = [
        R::Method,
        R::Connect,
        R::Trace,
        R::Target,
        R::AmbiguousPath,
        R::Scheme,
        R::UriTooLong,
        R::TooManyFields,
        R::FieldsTooLarge,
        R::HostMissing,
        R::HostRepeated,
        R::HostInvalid,
        R::HostConflict,
        R::ContentLength,
        R::BodyLength,
        R::TwoLengths,
        R::TransferEncoding,
        R::TransferCoding,
        R::ConnectionField,
        R::FieldValue,
        R::FieldName,
        R::Expectation,
        R::MaxForwards,
        R::Loop,
        R::BodyTooLarge,
    ];
    let errors = [
        ProxyError::InvalidResponse(Interim),
        ProxyError::HeadTimeout,
        ProxyError::TotalTimeout,
        ProxyError::NoHost,
        ProxyError::NoRoute,
        ProxyError::Service("broken".into()),
    ];
    let bodies = [
        RequestBodyError::Idle,
        RequestBodyError::Silent,
        RequestBodyError::Total,
        RequestBodyError::Client("broken".into()),
    ];
    // Errors have the labels of the refusals and failures that they contain.
    check(
        refusals
            .map(Refusal::as_str)
            .into_iter()
            .chain(errors.iter().map(ProxyError::as_str))
            .chain(bodies.iter().map(RequestBodyError::as_str)),
    );
    check([Body, ContentLength, Interim, NotSwitched, TransferEncoding, Unrequested].map(InvalidResponse::as_str));
    let bodies = [ProxyBodyError::Idle, ProxyBodyError::Total, ProxyBodyError::Endpoint("broken".into())];
    check(bodies.iter().map(ProxyBodyError::as_str));
    let bodies = [RouteBodyError::Client("broken".into()), RouteBodyError::Incomplete];
    check(bodies.iter().map(RouteBodyError::as_str));
    check([Missed::Host, Missed::Route, Missed::AmbiguousPath].map(Missed::as_str));
    let broken = TunnelEnd::Broken(std::io::ErrorKind::BrokenPipe.into());
    let ends = [TunnelEnd::Idle, TunnelEnd::Closed, TunnelEnd::EndpointClosing, broken];
    check(ends.iter().map(TunnelEnd::as_str));
}

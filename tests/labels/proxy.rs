use std::time::Duration;

use equipoise::proxy::{
    ProxyBodyError, ProxyError, RequestBodyError, TunnelEnd,
    check::{InvalidResponse, Refusal},
    forward::{ForwardEnd, ForwardError, LimitReached},
    route::{Missed, RouteBodyError},
    tcp::TcpEnd,
    tls::HandshakeFailure,
};
use equipoise::{Address, PickError, http::ConnectError};
use http::StatusCode;

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
    let limits = [
        LimitReached::Tunnels,
        LimitReached::ClientTunnels,
        LimitReached::ClientRequests,
        LimitReached::ClientBytes { retry_after: Duration::ZERO },
        LimitReached::Clients,
        LimitReached::TunnelBytes,
        LimitReached::TunnelTime,
    ];
    let (timeout, address, status) = (Duration::ZERO, String::new(), StatusCode::BAD_GATEWAY);
    let forward = [
        ForwardError::NotAbsolute,
        ForwardError::Https,
        ForwardError::Unauthenticated,
        ForwardError::Unverified("broken".into()),
        ForwardError::ConnectTimeout { timeout },
        ForwardError::Connect { address: ([0; 4], 0).into(), source: std::io::ErrorKind::BrokenPipe.into() },
        ForwardError::NoUpstream(PickError::Empty),
        ForwardError::Upstream { address: address.clone(), source: "broken".into() },
        ForwardError::UpstreamRefused { address, status },
    ];
    // Errors have the labels of the refusals and failures that they contain.
    check(
        refusals
            .map(Refusal::as_str)
            .into_iter()
            .chain(errors.iter().map(ProxyError::as_str))
            .chain(forward.iter().map(ForwardError::as_str))
            .chain(limits.map(LimitReached::as_str))
            .chain(bodies.iter().map(RequestBodyError::as_str)),
    );
    check([Body, ContentLength, Interim, NotSwitched, TransferEncoding, Unrequested].map(InvalidResponse::as_str));
    let bodies = [ProxyBodyError::Idle, ProxyBodyError::Total, ProxyBodyError::Endpoint("broken".into())];
    check(bodies.iter().map(ProxyBodyError::as_str));
    let bodies = [RouteBodyError::Client("broken".into()), RouteBodyError::Incomplete];
    check(bodies.iter().map(RouteBodyError::as_str));
    check([Missed::Host, Missed::Route, Missed::AmbiguousPath].map(Missed::as_str));
    let broken = TunnelEnd::Broken(std::io::ErrorKind::BrokenPipe.into());
    let ends = [TunnelEnd::Idle, TunnelEnd::Closed, TunnelEnd::EndpointClosing, TunnelEnd::Limit, broken];
    check(ends.iter().map(TunnelEnd::as_str));
    let ends = ends.into_iter().map(ForwardEnd::Early);
    let ends: Vec<_> = ends.chain(limits.map(ForwardEnd::Limit)).chain([ForwardEnd::Complete]).collect();
    check(ends.iter().map(ForwardEnd::as_str));
    check(HandshakeFailure::ALL.map(HandshakeFailure::as_str));
    let error = || std::io::ErrorKind::BrokenPipe.into();
    let ends = [
        TcpEnd::Complete,
        TcpEnd::Client(error()),
        TcpEnd::Endpoint(error()),
        TcpEnd::Unused,
        TcpEnd::Idle,
        TcpEnd::Unanswered,
        TcpEnd::EndpointClosing,
        TcpEnd::Aborted,
        TcpEnd::SourceLimit,
        TcpEnd::Pick(PickError::Empty),
        TcpEnd::Connect(ConnectError::NoHttp2),
        TcpEnd::Address(Address::parse("").expect_err("not an address")),
    ];
    check(ends.iter().map(TcpEnd::as_str));
}

use std::time::Duration;

use equipoise_core::{Failure, Verdict};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request::Parts,
};

use crate::error_class::ErrorClass;

/// A request without its body, for closures.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The URI, before the request is pointed at an endpoint.
    pub uri: &'r Uri,
    /// The HTTP version.
    pub version: Version,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The request's extensions: what earlier layers noted, such as the peer's address.
    pub extensions: &'r Extensions,
}

impl<'r> RequestHead<'r> {
    /// The head of `request`.
    pub fn of<B>(request: &'r Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The head in `parts`.
    pub fn of_parts(parts: &'r Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

/// A response without its body, for closures and for [`Classify`](crate::Classify).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'r> {
    /// The status.
    pub status: StatusCode,
    /// The HTTP version.
    pub version: Version,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The response's extensions: what the inner services noted.
    pub extensions: &'r Extensions,
}

impl<'r> ResponseHead<'r> {
    /// The head of `response`.
    pub fn of<B>(response: &'r Response<B>) -> Self {
        Self {
            status: response.status(),
            version: response.version(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }
}

/// Judges responses and errors: what counts against the endpoint, and which errors may be retried.
///
/// Every closure from a response's head to a [`Verdict`] is one. For a closure from errors, see
/// [`HttpProtocol::classify_error`](crate::HttpProtocol::classify_error).
pub trait Classify: Send + Sync + 'static {
    /// Returns the verdict by the response's head; `None` if it is decided by the trailers.
    fn response(&self, head: ResponseHead<'_>) -> Option<Verdict>;

    /// Returns the verdict at the end of the body, if [`response`](Self::response) returned `None`. `trailers` is `None` if the
    /// body had none. By default [`Verdict::Success`].
    fn trailers(&self, _trailers: Option<&HeaderMap>) -> Verdict {
        Verdict::Success
    }

    /// Returns what the error of an attempt without a response means: what counts against the endpoint, and whether the request
    /// may be sent to another one. By default [`ErrorClass::of`].
    fn error(&self, error: &(dyn std::error::Error + 'static)) -> ErrorClass {
        ErrorClass::of(error)
    }
}

impl<F> Classify for F
where
    F: Fn(ResponseHead<'_>) -> Verdict + Send + Sync + 'static,
{
    fn response(&self, head: ResponseHead<'_>) -> Option<Verdict> {
        Some(self(head))
    }
}

/// The default: by HTTP status, and for gRPC by its status.
///
/// | response | verdict |
/// | --- | --- |
/// | 429 | overloaded, for as long as its `Retry-After` says (seconds; a date counts as not said) |
/// | 503 with `Retry-After` | unavailable, for as long as it says (the same) |
/// | 408 without any header field | time-out |
/// | any other 408 | neutral |
/// | 502, 503, 504 | failure of something behind the endpoint |
/// | 501, 505 | success: the request asked for what is not there |
/// | other 5xx | failure of the endpoint |
/// | any other | success |
///
/// An endpoint that sends 408 has not received the whole request in time (RFC 9110, 15.5.9): the client was too slow. A 408 without any header field was not sent by an endpoint, since servers with a clock send `Date` (RFC 9110,
/// 6.6.1): it is how tower-http's `TimeoutLayer` below the balancer says that the endpoint took too long. The client gets
/// that 408 as it is; with `TimeoutLayer::with_status_code` it gets 504, which counts as the failure of a gateway.
///
/// A response of type `application/grpc` with status 200 is judged by `grpc-status`, in the head or in the trailers:
///
/// | gRPC status | verdict |
/// | --- | --- |
/// | 14 `UNAVAILABLE` | failure of something behind the endpoint |
/// | 2 `UNKNOWN`, 13 `INTERNAL`, 15 `DATA_LOSS` | failure of the endpoint |
/// | 4 `DEADLINE_EXCEEDED` | time-out |
/// | 8 `RESOURCE_EXHAUSTED` | overloaded |
/// | 1 `CANCELLED` | neutral |
/// | no status at the end | broken connection |
/// | any other | success |
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassifyHttp;

impl Classify for ClassifyHttp {
    fn response(&self, head: ResponseHead<'_>) -> Option<Verdict> {
        let retry_after = head.headers.get(header::RETRY_AFTER);
        Some(match head.status {
            StatusCode::OK if is_grpc(head.headers) => return head.headers.get(GRPC_STATUS).map(grpc),
            StatusCode::TOO_MANY_REQUESTS => Verdict::Overloaded { retry_after: retry_after.and_then(seconds) },
            StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => {
                Verdict::Unavailable { retry_after: retry_after.and_then(seconds) }
            }
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Verdict::Failure(Failure::Gateway)
            }
            StatusCode::REQUEST_TIMEOUT if head.headers.is_empty() => Verdict::Failure(Failure::Timeout),
            StatusCode::REQUEST_TIMEOUT => Verdict::Neutral,
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Verdict::Success,
            status if status.is_server_error() => Verdict::Failure(Failure::Server),
            _ => Verdict::Success,
        })
    }

    fn trailers(&self, trailers: Option<&HeaderMap>) -> Verdict {
        let status = trailers.and_then(|trailers| trailers.get(GRPC_STATUS));
        status.map_or(Verdict::Failure(Failure::Transport), grpc)
    }
}

const GRPC_STATUS: &str = "grpc-status";

/// `application/grpc` or `application/grpc+…`, with or without parameters, in any case (RFC 9110, 8.3.1 and 5.6.6); not
/// `application/grpc-web`.
fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let media_type = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    match media_type.split_at_checked(GRPC.len()) {
        Some((grpc, rest)) => grpc.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+')),
        None => false,
    }
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    Some(Duration::from_secs(value.to_str().ok()?.trim().parse().ok()?))
}

fn grpc(status: &HeaderValue) -> Verdict {
    match status.as_bytes() {
        b"14" => Verdict::Failure(Failure::Gateway),
        b"2" | b"13" | b"15" => Verdict::Failure(Failure::Server),
        b"4" => Verdict::Failure(Failure::Timeout),
        b"8" => Verdict::Overloaded { retry_after: None },
        b"1" => Verdict::Neutral,
        _ => Verdict::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, headers: &[(&str, &str)]) -> Option<Verdict> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        ClassifyHttp.response(ResponseHead::of(&response.body(()).expect("a valid response")))
    }

    #[test]
    fn statuses_mean_what_the_table_says() {
        for status in [200, 204, 301, 404, 418, 501, 505] {
            assert_eq!(verdict(status, &[]), Some(Verdict::Success), "{status}");
        }
        for status in [502, 503, 504] {
            assert_eq!(verdict(status, &[]), Some(Verdict::Failure(Failure::Gateway)), "{status}");
        }
        assert_eq!(verdict(500, &[]), Some(Verdict::Failure(Failure::Server)));
        let minute = Some(Duration::from_secs(60));
        let busy = verdict(429, &[("retry-after", "60")]);
        assert_eq!(busy, Some(Verdict::Overloaded { retry_after: minute }));
        let down = verdict(503, &[("retry-after", "60")]);
        assert_eq!(down, Some(Verdict::Unavailable { retry_after: minute }), "a failure, which 429 is not");
        let date = verdict(503, &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]);
        assert_eq!(date, Some(Verdict::Unavailable { retry_after: None }));
    }

    #[test]
    fn a_408_is_the_clients_doing_unless_no_server_has_sent_it() {
        assert_eq!(verdict(408, &[("date", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(Verdict::Neutral));
        assert_eq!(verdict(408, &[("connection", "close")]), Some(Verdict::Neutral));
        assert_eq!(verdict(408, &[]), Some(Verdict::Failure(Failure::Timeout)));
    }

    #[test]
    fn a_media_type_is_read_in_any_case_and_with_spaces() {
        for grpc in [
            "application/grpc",
            "Application/gRPC",
            "APPLICATION/GRPC+PROTO",
            "application/grpc ; charset=utf-8",
            "application/grpc\t;x=1",
            " application/grpc+proto;x",
        ] {
            assert_eq!(verdict(200, &[("content-type", grpc)]), None, "{grpc:?}");
        }
        for other in ["application/grpc-web", "application/grpcx", "application/grp", "x;application/grpc", ""] {
            assert_eq!(verdict(200, &[("content-type", other)]), Some(Verdict::Success), "{other:?}");
        }
    }

    #[test]
    fn grpc_is_judged_by_its_status_wherever_it_stands() {
        let grpc = ("content-type", "application/grpc+proto");
        assert_eq!(verdict(200, &[grpc]), None);
        assert_eq!(verdict(200, &[grpc, ("grpc-status", "14")]), Some(Verdict::Failure(Failure::Gateway)));
        assert_eq!(verdict(200, &[("content-type", "application/grpc-web")]), Some(Verdict::Success));
        assert_eq!(verdict(503, &[grpc]), Some(Verdict::Failure(Failure::Gateway)));
        let trailers = |status: &'static str| {
            HeaderMap::from_iter([(http::HeaderName::from_static(GRPC_STATUS), HeaderValue::from_static(status))])
        };
        assert_eq!(ClassifyHttp.trailers(Some(&trailers("0"))), Verdict::Success);
        assert_eq!(ClassifyHttp.trailers(Some(&trailers("13"))), Verdict::Failure(Failure::Server));
        assert_eq!(ClassifyHttp.trailers(Some(&HeaderMap::new())), Verdict::Failure(Failure::Transport));
        assert_eq!(ClassifyHttp.trailers(None), Verdict::Failure(Failure::Transport));
    }
}

use std::time::Duration;

use equipoise_core::{Failure, Verdict};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request::Parts,
};

use crate::error_class::ErrorClass;

/// The head of an HTTP request: all of the request except its body. Closures of [`HttpProtocol`](crate::HttpProtocol),
/// such as the closure that returns the key of a request, get a `RequestHead` as their argument.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'r> {
    /// The method of the request.
    pub method: &'r Method,
    /// The URI of the request, before it is changed to the address of an endpoint.
    pub uri: &'r Uri,
    /// The HTTP version of the request.
    pub version: Version,
    /// The headers of the request.
    pub headers: &'r HeaderMap,
    /// The extensions of the request, in which earlier layers store values such as the address of the peer.
    pub extensions: &'r Extensions,
}

impl<'r> RequestHead<'r> {
    /// Returns the head of `request`.
    pub fn of<B>(request: &'r Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// Returns the request head that consists of `parts`.
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

/// The head of an HTTP response: all of the response except its body. [`Classify::response`](crate::Classify::response)
/// and closures that classify responses take it as their argument.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'r> {
    /// The status of the response.
    pub status: StatusCode,
    /// The HTTP version of the response.
    pub version: Version,
    /// The headers of the response.
    pub headers: &'r HeaderMap,
    /// The extensions of the response, in which the services below the balancer store values.
    pub extensions: &'r Extensions,
}

impl<'r> ResponseHead<'r> {
    /// Returns the head of `response`.
    pub fn of<B>(response: &'r Response<B>) -> Self {
        Self {
            status: response.status(),
            version: response.version(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }
}

/// Classifies HTTP responses and errors: which verdict the endpoint gets, and which errors may be retried.
///
/// A closure from a [`ResponseHead`] to a [`Verdict`] implements it. To classify errors with a closure, see
/// [`HttpProtocol::classify_error`](crate::HttpProtocol::classify_error).
pub trait Classify: Send + Sync + 'static {
    /// Returns the verdict for the endpoint that sent a response. `head` is the head of this response. `None` means
    /// that the verdict depends on the trailers: the balancer then calls [`trailers`](Self::trailers) at the end of the
    /// body.
    fn response(&self, head: ResponseHead<'_>) -> Option<Verdict>;

    /// Returns the verdict for the endpoint at the end of the body. This method is called only if
    /// [`response`](Self::response) returned `None`. `trailers` is `None` if the body had no trailers. Default:
    /// [`Verdict::Success`].
    fn trailers(&self, _trailers: Option<&HeaderMap>) -> Verdict {
        Verdict::Success
    }

    /// Returns what the error of an attempt without a response means: the verdict for the endpoint, and whether the
    /// request may be sent to another endpoint. Default: [`ErrorClass::of`].
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

/// The default [`Classify`]. The verdict for an endpoint follows from the HTTP status of its response, and for gRPC
/// from the gRPC status.
///
/// | HTTP response | verdict |
/// | --- | --- |
/// | 429 | `Overloaded`, for the time in `Retry-After` |
/// | 503 with `Retry-After` | `Unavailable`, for the time in `Retry-After` |
/// | 408 without any header field | `Failure(Timeout)` |
/// | any other 408 | `Neutral` |
/// | 502, 503, 504 | `Failure(Gateway)`: a server behind the endpoint failed |
/// | 501, 505 | `Success`: the endpoint works, but does not support the request |
/// | other 5xx | `Failure(Server)`: the endpoint failed |
/// | any other | `Success` |
///
/// `Retry-After` must be a number of seconds. If it is a date, the verdict has no time.
///
/// An endpoint sends 408 if it did not receive the whole request in time (RFC 9110, 15.5.9): the client was too slow,
/// so the verdict is `Neutral`. Such a response has header fields, because servers with a clock send `Date` (RFC 9110,
/// 6.6.1).
///
/// A 408 without any header field was not sent by an endpoint. tower-http's `TimeoutLayer` below the balancer returns
/// it if the endpoint took too long. The client gets this 408 unchanged. With `TimeoutLayer::with_status_code`, the
/// layer can return 504 instead, which counts as `Failure(Gateway)`.
///
/// If a response has the type `application/grpc` and HTTP status 200, its verdict follows from the field `grpc-status`
/// in its head or its trailers:
///
/// | gRPC status | verdict |
/// | --- | --- |
/// | 14 `UNAVAILABLE` | `Failure(Gateway)`: a server behind the endpoint failed |
/// | 2 `UNKNOWN`, 13 `INTERNAL`, 15 `DATA_LOSS` | `Failure(Server)`: the endpoint failed |
/// | 4 `DEADLINE_EXCEEDED` | `Failure(Timeout)` |
/// | 8 `RESOURCE_EXHAUSTED` | `Overloaded` |
/// | 1 `CANCELLED` | `Neutral` |
/// | no status at the end | `Failure(Transport)`: the connection broke |
/// | any other | `Success` |
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

/// Returns whether the content type is `application/grpc` or `application/grpc+…`, with or without parameters, in upper
/// or lower case (RFC 9110, 8.3.1 and 5.6.6). False for `application/grpc-web`.
pub fn is_grpc(headers: &HeaderMap) -> bool {
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

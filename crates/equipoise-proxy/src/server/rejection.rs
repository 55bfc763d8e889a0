use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER},
};

use crate::{
    check::Refusal,
    error::{ErrorFormat, WantedForm},
};

/// Why the server itself answers a request, and the service does not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It was not complete in time.
    Timeout,
    /// It is not valid HTTP, or other parsers could read it differently.
    Malformed,
    /// Its target is too long.
    TargetTooLong,
    /// Its fields are too large or too many.
    FieldsTooLarge,
    /// Too many requests are in flight.
    Overloaded,
    /// The certificate of the connection is not that of the host.
    Misdirected,
}

impl Rejection {
    /// Returns the reason why hyper answers a request with this status. hyper has one status for heads that are too
    /// large; `has_target` tells whether the first line of the head has ended.
    pub(super) fn of_hyper(status: StatusCode, has_target: bool) -> Self {
        match status {
            StatusCode::URI_TOO_LONG => Self::TargetTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if has_target => Self::FieldsTooLarge,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::TargetTooLong,
            _ => Self::Malformed,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => Refusal::UriTooLong.status(),
            Self::FieldsTooLarge => Refusal::FieldsTooLarge.status(),
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// Returns the stable label of the reason, for clients.
    fn code(self) -> &'static str {
        match self {
            Self::Timeout => "request_timeout",
            Self::Malformed => "malformed_request",
            Self::TargetTooLong => Refusal::UriTooLong.as_str(),
            Self::FieldsTooLarge => Refusal::FieldsTooLarge.as_str(),
            Self::Overloaded => "overloaded",
            Self::Misdirected => "misdirected",
        }
    }

    fn message(self) -> String {
        match self {
            Self::Timeout => "the request did not arrive in time".to_owned(),
            Self::Malformed => "the request is malformed, or its length is not certain".to_owned(),
            Self::TargetTooLong => Refusal::UriTooLong.to_string(),
            Self::FieldsTooLarge => Refusal::FieldsTooLarge.to_string(),
            Self::Overloaded => "too many requests are in flight".to_owned(),
            Self::Misdirected => "the host of the request has another certificate than this connection".to_owned(),
        }
    }

    /// Returns the response to a request with these headers.
    pub(super) fn response(self, request: &HeaderMap, version: Version) -> Response<Bytes> {
        let mut response = WantedForm::of(request, version).form(ErrorFormat::default()).response(
            self.status(),
            &self.message(),
            self.code(),
        );
        if self == Self::Overloaded {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// Returns the bytes of the last response of an HTTP/1.1 connection, to a request whose head is not known.
    pub(super) fn bytes(self) -> Vec<u8> {
        let (mut head, body) = self.response(&HeaderMap::new(), Version::HTTP_11).into_parts();
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        head.headers.insert(CONTENT_LENGTH, body.len().into());
        let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
        for (name, value) in &head.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_status_and_a_body() {
        for (rejection, first, last) in [
            (Rejection::Timeout, "HTTP/1.1 408 Request Timeout\r\n", "\"code\":\"request_timeout\"}\n"),
            (Rejection::TargetTooLong, "HTTP/1.1 414 URI Too Long\r\n", "\"code\":\"uri_too_long\"}\n"),
            (
                Rejection::FieldsTooLarge,
                "HTTP/1.1 431 Request Header Fields Too Large\r\n",
                "\"code\":\"fields_too_large\"}\n",
            ),
        ] {
            let text = String::from_utf8(rejection.bytes()).expect("text");
            assert!(text.starts_with(first) && text.ends_with(last), "{text}");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.contains("\r\nconnection: close"), "{head}");
            assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
        }
    }

    #[test]
    fn a_head_that_is_too_large_may_have_a_long_target_or_large_fields() {
        let large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        assert_eq!(Rejection::of_hyper(large, true), Rejection::FieldsTooLarge);
        assert_eq!(Rejection::of_hyper(large, false), Rejection::TargetTooLong);
        assert_eq!(Rejection::of_hyper(StatusCode::URI_TOO_LONG, true), Rejection::TargetTooLong);
        assert_eq!(Rejection::of_hyper(StatusCode::BAD_REQUEST, false), Rejection::Malformed);
    }
}

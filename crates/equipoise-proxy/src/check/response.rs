use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::request::content_length;
use crate::seen::Seen;

/// Why the response of an endpoint cannot be forwarded. The client gets status 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// The status is below 200 and not 101: an interim response instead of the final one.
    #[error("the response is an interim response")]
    Interim,
    /// The status is 101, but the request did not ask for the protocol to which the endpoint has switched.
    #[error("the endpoint has switched to a protocol that was not asked for")]
    Unrequested,
    /// The request opens a WebSocket on an HTTP/2 stream, and the endpoint answers with success without switching to
    /// it, or switches with a wrong `Sec-WebSocket-Accept`. The client would take the response for an open WebSocket.
    #[error("the endpoint has not switched to the WebSocket protocol")]
    NotSwitched,
    /// The fields `Content-Length` have different values, one is not a decimal number below 2^63, or the value is not
    /// the length of the body.
    #[error("the Content-Length is not one decimal number, or not the length of the body")]
    ContentLength,
    /// `Transfer-Encoding` is repeated, or has another value than `chunked`. The body would be forwarded with a coding
    /// that the client does not know of.
    #[error("the Transfer-Encoding is not chunked")]
    TransferEncoding,
    /// The first chunk of the body is malformed, or the connection broke before it was complete.
    #[error("the body is malformed")]
    Body,
}

impl InvalidResponse {
    /// Returns this reason as a stable label for metrics and logs, such as `content_length`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interim => "interim",
            Self::Unrequested => "unrequested",
            Self::NotSwitched => "not_switched",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::Body => "body",
        }
    }
}

/// Checks the head of a response, as the client of the endpoint received it. A response that is a switch of protocols
/// (status 101) is accepted here; only the request tells whether it was asked for.
///
/// Equal lengths that are repeated, and a length beside `Transfer-Encoding: chunked`, are accepted: nginx and HAProxy
/// do so too, and the response is forwarded with one length.
///
/// # Errors
///
/// Why the response must not be forwarded.
pub fn check_response<B>(response: &Response<B>) -> Result<(), InvalidResponse> {
    inspect_response(response).map(drop)
}

/// Checks the head of a response. Returns which fields it has, and the length that it states.
pub(crate) fn inspect_response<B>(response: &Response<B>) -> Result<(Seen, Option<u64>), InvalidResponse> {
    let (status, headers) = (response.status(), response.headers());
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(InvalidResponse::Interim);
    }
    let seen = Seen::of(headers);
    let length = if seen.content_length { Some(length(headers)?) } else { None };
    if seen.transfer_encoding {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        match (codings.next(), codings.next()) {
            (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
            _ => return Err(InvalidResponse::TransferEncoding),
        }
    }
    Ok((seen, length))
}

/// Returns the length that the response states. All of several lengths must be equal.
fn length(headers: &HeaderMap) -> Result<u64, InvalidResponse> {
    let lines = headers.get_all(CONTENT_LENGTH).iter();
    let mut lengths = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|text| content_length(text.trim_ascii()));
    let first = lengths.next().flatten().ok_or(InvalidResponse::ContentLength)?;
    if lengths.all(|other| other == Some(first)) { Ok(first) } else { Err(InvalidResponse::ContentLength) }
}

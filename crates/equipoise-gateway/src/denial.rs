use std::borrow::Cow;

use bytes::Bytes;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::__private::is_grpc;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use crate::ReplyBody;

/// Why a function of the gateway answers a request itself, instead of passing it on.
///
/// [`respond`](Self::respond) turns it into the response that the client gets. In JSON (a problem document, RFC 9457),
/// the response has the member `code`, with which a program can tell the reasons apart. The response has the extension
/// [`DenialCode`], for logs and metrics.
///
/// ```
/// use equipoise_gateway::{Denial, ReplyBody};
/// use equipoise_proxy::error::ErrorResponses;
/// use http::{Request, Response, StatusCode, header::ALLOW, header::HeaderValue};
///
/// let denial = Denial::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this resource can only be read")
///     .field(ALLOW, HeaderValue::from_static("GET, HEAD"));
/// let request = Request::post("/").body(())?;
/// let response: Response<ReplyBody<()>> = denial.respond(&request, &ErrorResponses::new());
/// assert_eq!(response.status(), 405);
/// assert_eq!(response.headers()["allow"], "GET, HEAD");
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Denial {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    fields: HeaderMap,
}

/// The extension of a response that a function of the gateway has made: the stable label of the reason, such as
/// `rate_limited`. The member `code` of problem documents has the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenialCode(pub &'static str);

impl Denial {
    /// Creates a reason. `code` is a stable label of lower-case letters, digits and `_`. `message` is a short text for
    /// clients, so it should contain nothing secret.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), fields: HeaderMap::new() }
    }

    /// Adds a field to the response, such as `Retry-After`. A field can be added several times.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.append(name, value);
        self
    }

    /// Returns the status of the response. A gRPC call gets status 200, with a gRPC status that means the same.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the stable label of the reason.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Returns the text for clients.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the fields that the response gets.
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    /// Returns the response for a request. `errors` decides its form: JSON, plain text, or a status of gRPC. The
    /// response to `HEAD` has no body. The fields of the denial are in every form. O(length of the message).
    pub fn respond<B, R>(&self, request: &Request<B>, errors: &ErrorResponses) -> Response<ReplyBody<R>> {
        self.respond_to(request.method(), request.headers(), request.version(), errors)
    }

    /// Returns the response as [`respond`](Self::respond) does, for a request of which only the head was kept.
    pub fn respond_to<R>(
        &self,
        method: &Method,
        headers: &HeaderMap,
        version: http::Version,
        errors: &ErrorResponses,
    ) -> Response<ReplyBody<R>> {
        // A proxy around the function has changed the version of the request. gRPC needs HTTP/2, so its clients have it.
        let version = if is_grpc(headers) { http::Version::HTTP_2 } else { version };
        let (mut parts, body) = errors.deny(self.status, self.code, &self.message, headers, version).into_parts();
        for (name, value) in &self.fields {
            parts.headers.append(name, value.clone());
        }
        parts.extensions.insert(DenialCode(self.code));
        let body = if method == Method::HEAD {
            parts.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
            Bytes::new()
        } else {
            body
        };
        Response::from_parts(parts, ReplyBody::own(body))
    }
}

#[cfg(test)]
mod tests {
    use http::{Version, header::CONTENT_LENGTH};

    use super::*;

    fn denial() -> Denial {
        Denial::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests")
            .field(http::header::RETRY_AFTER, HeaderValue::from_static("3"))
    }

    #[test]
    fn problem_documents_have_the_code() {
        let request = Request::get("/").body(()).expect("a request");
        let response: Response<ReplyBody<()>> = denial().respond(&request, &ErrorResponses::new());
        assert_eq!(response.headers()[http::header::RETRY_AFTER], "3");
        assert_eq!(response.extensions().get(), Some(&DenialCode("rate_limited")));
        let body = response.into_body().into_own().expect("an own body");
        let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((document["status"].as_u64(), document["code"].as_str()), (Some(429), Some("rate_limited")));
    }

    #[test]
    fn the_response_to_head_has_no_body_and_its_length() {
        let request = Request::head("/").header("accept", "text/plain").body(()).expect("a request");
        let response: Response<ReplyBody<()>> = denial().respond(&request, &ErrorResponses::new());
        assert_eq!(response.headers()[CONTENT_LENGTH], "18");
        assert_eq!(response.into_body().into_own().expect("an own body"), "");
    }

    #[test]
    fn grpc_calls_get_a_grpc_status_also_behind_a_proxy_that_has_changed_their_version() {
        for version in [Version::HTTP_2, Version::HTTP_11] {
            let request = Request::post("/").version(version).header("content-type", "application/grpc").body(());
            let response: Response<ReplyBody<()>> =
                denial().respond(&request.expect("a request"), &ErrorResponses::new());
            let status = (response.status(), &response.headers()["grpc-status"]);
            assert_eq!(status, (StatusCode::OK, &"8".parse().expect("8")));
        }
    }
}

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_core::__private::{guarded, seconds_rounded_up};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, CONTENT_LENGTH, RETRY_AFTER},
};

use super::{
    ProxyError,
    form::{ErrorFormat, WantedForm},
    proxy_status::ProxyStatus,
};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Makes of a response to GET the one to HEAD: without the body, and with its length. Over HTTP/2, hyper sends a body
/// whatever the method.
pub(crate) fn without_body(response: &mut Response<Bytes>) {
    let body = std::mem::take(response.body_mut());
    response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
}

/// Makes the responses that clients get for errors.
///
/// The body is a problem document (RFC 9457) in JSON. Its member `detail` has a text, such as `no backend can take the
/// request now`, and its member `code` the stable [label](ProxyError::code) of the reason. Clients that prefer text, such as
/// browsers, get the text alone, unless [`format`](Self::format) sets one form for all: see [`ErrorFormat`].
/// [`message`](Self::message) replaces the text. Responses are not cached (`Cache-Control: no-store`). After a malformed
/// HTTP/1 request, the connection is closed.
///
/// gRPC calls (HTTP/2 requests with the content type `application/grpc`) get a response without a body, with HTTP status
/// 200 and the text in `grpc-message`. `grpc-status` depends on the [status](ProxyError::status) of the error:
///
/// | status of the error | gRPC status |
/// | --- | --- |
/// | 404, 421, 501 | `UNIMPLEMENTED` |
/// | 408, 504 | `DEADLINE_EXCEEDED` |
/// | 502, 503 | `UNAVAILABLE` |
/// | 401 | `UNAUTHENTICATED` |
/// | 403 | `PERMISSION_DENIED` |
/// | 429 | `RESOURCE_EXHAUSTED` |
/// | any other below 500 | `INVALID_ARGUMENT` |
/// | any other | `INTERNAL` |
///
/// ```
/// use equipoise_proxy::error::{ErrorResponses, ProxyError};
/// use http::{HeaderMap, HeaderValue, Version, header::ACCEPT};
///
/// let browser = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/html, */*;q=0.8"))]);
/// let response = ErrorResponses::new().respond(&ProxyError::NoRoute, &browser, Version::HTTP_11);
/// assert_eq!(response.status(), 404);
/// assert_eq!(response.body(), "this server has no such resource\n");
///
/// let response = ErrorResponses::new().respond(&ProxyError::NoRoute, &HeaderMap::new(), Version::HTTP_11);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ErrorResponses {
    format: ErrorFormat,
    messages: BTreeMap<u16, String>,
    proxy_status: Option<ProxyStatus>,
    retry_after: RetryAfter,
}

/// When clients may try again after an error.
#[derive(Clone, Default)]
struct RetryAfter(Option<Arc<RetryAfterFn>>);

type RetryAfterFn = dyn Fn(&ProxyError) -> Option<Duration> + Send + Sync;

impl fmt::Debug for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

impl ErrorResponses {
    /// Creates the default responses: without `Proxy-Status` and `Retry-After`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether errors are explained in plain text or JSON. Default: [`ErrorFormat::Negotiated`].
    #[must_use]
    pub fn format(mut self, format: ErrorFormat) -> Self {
        self.format = format;
        self
    }

    /// Sets the text for all errors with this status. Default: [`ProxyError::public_message`]. A status that no error has
    /// changes nothing.
    ///
    /// ```
    /// use equipoise_proxy::error::{ErrorFormat, ErrorResponses};
    /// use http::StatusCode;
    ///
    /// let responses = ErrorResponses::new()
    ///     .format(ErrorFormat::Json)
    ///     .message(StatusCode::SERVICE_UNAVAILABLE, "We are busy. Please try again in a minute.");
    /// # drop(responses);
    /// ```
    #[must_use]
    pub fn message(mut self, status: StatusCode, text: impl Into<String>) -> Self {
        self.messages.insert(status.as_u16(), text.into());
        self
    }

    /// Adds `Proxy-Status` (RFC 9209) to the responses. Default: not added.
    #[must_use]
    pub fn proxy_status(mut self, status: ProxyStatus) -> Self {
        self.proxy_status = Some(status);
        self
    }

    /// Adds `Retry-After` with this time to responses with status 503 if a later attempt may succeed, for example
    /// because all endpoints are busy. The time is rounded up to seconds. Default: not added.
    ///
    /// A pool does not know when an ejected endpoint will come back, so the time cannot be derived from it. The
    /// `Retry-After` of an endpoint's own response is forwarded as it is.
    ///
    /// All clients get the same time, so many of them may come back together. If that matters, use
    /// [`retry_after_with`](Self::retry_after_with).
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        self.retry_after_with(move |_| Some(after))
    }

    /// Adds `Retry-After` with the time that a closure returns for each error, to the responses to which
    /// [`retry_after`](Self::retry_after) would add it. If the closure returns `None` or panics, the field is not
    /// added. Default: not added.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use equipoise_proxy::error::ErrorResponses;
    ///
    /// // 1 to 10 s, so that clients do not come back together.
    /// let responses = ErrorResponses::new().retry_after_with(|_| {
    ///     let nanos = SystemTime::UNIX_EPOCH.elapsed().ok()?.subsec_nanos();
    ///     Some(Duration::from_secs(u64::from(1 + nanos / 1_000 % 10)))
    /// });
    /// # drop(responses);
    /// ```
    #[must_use]
    pub fn retry_after_with(mut self, after: impl Fn(&ProxyError) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.retry_after = RetryAfter(Some(Arc::new(after)));
        self
    }

    /// Returns the response for an error. `request` are the headers of the request, of which `Accept` and
    /// `Content-Type` are read. `version` is the HTTP version of the request. To a `HEAD` request, send the response
    /// without its body: hyper's server removes it over HTTP/1 only. A [`ReverseProxy`](crate::ReverseProxy) does so.
    pub fn respond(&self, error: &ProxyError, request: &HeaderMap, version: Version) -> Response<Bytes> {
        self.respond_as(error, &WantedForm::of(request, version), version)
    }

    /// Returns the response for a request that a layer of the application denies, in the same form as the responses for
    /// errors. `code` is a stable label of the reason, with lower-case letters, digits and `_`. Problem documents have it
    /// as the member `code`. `message` explains the reason, unless [`message`](Self::message) has set another text for the
    /// status. `request` are the headers of the request, and `version` is its HTTP version. To a `HEAD` request, send
    /// the response without its body.
    pub fn deny(
        &self,
        status: StatusCode,
        code: &'static str,
        message: &str,
        request: &HeaderMap,
        version: Version,
    ) -> Response<Bytes> {
        let message = self.messages.get(&status.as_u16()).map_or(message, String::as_str);
        WantedForm::of(request, version).form(self.format).response(status, message, code)
    }

    pub(crate) fn respond_as(&self, error: &ProxyError, form: &WantedForm, version: Version) -> Response<Bytes> {
        let status = error.status();
        let form = form.form(self.format);
        let mut response = match self.messages.get(&status.as_u16()) {
            Some(message) => form.response(status, message, error.code()),
            None => form.response(status, &error.public_message(), error.code()),
        };
        let headers = response.headers_mut();
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
        }
        if error.closes(version) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(proxy_status) = &self.proxy_status {
            headers.insert(PROXY_STATUS, proxy_status.of(error));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE
            && error.is_temporary()
            && let Some(after) = &self.retry_after.0
            && let Some(after) = guarded(|| after(error)).flatten()
        {
            headers.insert(RETRY_AFTER, seconds_rounded_up(after).into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use equipoise_core::PickError;
    use equipoise_tower::{BoxError, Error};
    use http::header::ACCEPT;

    use super::*;
    use crate::check::Refusal;

    #[test]
    fn connections_are_closed_after_malformed_requests_only() {
        let respond = |error: ProxyError, version| {
            let response = ErrorResponses::new().respond(&error, &HeaderMap::new(), version);
            response.headers().contains_key(CONNECTION)
        };
        assert!(respond(Refusal::HostMissing.into(), Version::HTTP_11));
        assert!(!respond(Refusal::HostMissing.into(), Version::HTTP_2));
        assert!(!respond(ProxyError::HeadTimeout, Version::HTTP_11));
    }

    #[test]
    fn the_text_of_a_status_can_be_replaced() {
        let responses = ErrorResponses::new().message(StatusCode::NOT_FOUND, "nothing here");
        let text = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/plain"))]);
        let respond = |error| responses.respond(&error, &text, Version::HTTP_11).into_body();
        assert_eq!(respond(ProxyError::NoRoute), "nothing here\n");
        assert_eq!(respond(ProxyError::NoHost), "this server does not serve the host of the request\n");
    }

    #[test]
    fn clients_learn_when_to_try_again() {
        let responses = ErrorResponses::new().retry_after(Duration::from_millis(1500));
        let respond = |error: BoxError| {
            let response = responses.respond(&ProxyError::of_service(error), &HeaderMap::new(), Version::HTTP_11);
            (response.status().as_u16(), response.headers().get(RETRY_AFTER).cloned())
        };
        let saturated = Error::from(PickError::Saturated);
        assert_eq!(respond(saturated.into()), (503, Some(HeaderValue::from_static("2"))));
        assert_eq!(respond(Error::from(PickError::Unbound).into()), (503, None));
        assert_eq!(respond("unknown".into()), (502, None));
        assert_eq!(respond(ProxyError::NoHost.into()), (421, None));
    }

    #[test]
    fn the_time_to_try_again_may_depend_on_the_error() {
        let respond = |responses: ErrorResponses| {
            let error = ProxyError::of_service(Error::from(PickError::Saturated).into());
            let response = responses.respond(&error, &HeaderMap::new(), Version::HTTP_11);
            response.headers().get(RETRY_AFTER).cloned()
        };
        let by_label = |error: &ProxyError| (error.as_str() == "service").then_some(Duration::from_secs(7));
        let seven = Some(HeaderValue::from_static("7"));
        assert_eq!(respond(ErrorResponses::new().retry_after_with(by_label)), seven);
        assert_eq!(respond(ErrorResponses::new().retry_after_with(|_| None)), None);
        assert_eq!(respond(ErrorResponses::new()), None);
    }

    #[test]
    fn the_proxy_status_names_the_reason() {
        let status = ProxyStatus::new("edge").expect("a name");
        for (error, kind) in [
            (Refusal::Loop.into(), "proxy_loop_detected"),
            (ProxyError::NoHost, "destination_not_found"),
            (ProxyError::of_service(Error::from(PickError::Empty).into()), "destination_unavailable"),
            (
                ProxyError::of_service(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()),
                "connection_refused",
            ),
        ] {
            assert_eq!(status.of(&error), format!("edge; error={kind}"), "{error}");
        }
        assert_eq!(ProxyStatus::new("a b"), None);
        assert_eq!(ProxyStatus::new(""), None);
    }
}

use std::time::Duration;

use bytes::Bytes;
use equipoise_core::__private::seconds_rounded_up;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::__private::is_grpc;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY},
};

use crate::{Denial, DenialCode, ReplyBody};

/// The stable label of the response in maintenance.
const CODE: &str = "maintenance";

/// What clients get while a [`Maintenance`](super::Maintenance) is active.
///
/// The response has status 503 and `Cache-Control: no-store`. Browsers (`Accept` with `text/html`) get the
/// [HTML](Self::html) page if there is one. Other clients that prefer text get one line of text, and all others a problem
/// document, as for other errors; both have the [message](Self::message). gRPC calls get the status `UNAVAILABLE`.
#[derive(Clone, Debug)]
pub struct MaintenancePage {
    message: String,
    html: Option<Bytes>,
    retry_after: Option<HeaderValue>,
}

/// Why a page is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPage {
    /// The page is longer than 1 MiB.
    #[error("the page has {bytes} bytes; use at most 1048576, and refer to other files")]
    TooLong {
        /// The length of the page in bytes.
        bytes: usize,
    },
}

impl MaintenancePage {
    const MAX_BYTES: usize = 1 << 20;

    /// Creates the default page: the message `this service is in maintenance`, without HTML and `Retry-After`.
    #[must_use]
    pub fn new() -> Self {
        Self { message: "this service is in maintenance".to_owned(), html: None, retry_after: None }
    }

    /// Sets the text for clients. Default: `this service is in maintenance`.
    #[must_use]
    pub fn message(mut self, text: impl Into<String>) -> Self {
        self.message = text.into();
        self
    }

    /// Sets the page for browsers, in UTF-8. Default: none, so that browsers get the message.
    ///
    /// # Errors
    ///
    /// [`InvalidPage::TooLong`] if the page is longer than 1 MiB.
    pub fn html(mut self, html: impl Into<Bytes>) -> Result<Self, InvalidPage> {
        let html = html.into();
        if html.len() > Self::MAX_BYTES {
            return Err(InvalidPage::TooLong { bytes: html.len() });
        }
        self.html = Some(html);
        Ok(self)
    }

    /// Sets `Retry-After`, rounded up to seconds. Default: none.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(seconds_rounded_up(after).into());
        self
    }

    /// Returns the response for a request.
    pub(super) fn respond<B, R>(&self, request: &Request<B>, errors: &ErrorResponses) -> Response<ReplyBody<R>> {
        let mut response = match &self.html {
            Some(html) if !is_grpc(request.headers()) && accepts_html(request.headers()) => {
                let is_head = request.method() == http::Method::HEAD;
                let mut response = Response::new(ReplyBody::own(if is_head { Bytes::new() } else { html.clone() }));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.extensions_mut().insert(DenialCode(CODE));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.insert(CONTENT_LENGTH, html.len().into());
                response
            }
            _ => Denial::new(StatusCode::SERVICE_UNAVAILABLE, CODE, self.message.clone()).respond(request, errors),
        };
        if self.html.is_some() {
            response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        }
        if let Some(after) = &self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, after.clone());
        }
        response
    }
}

impl Default for MaintenancePage {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns whether a client names the type of HTML pages. API clients send `*/*`.
fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(|element| {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_html = parts.next().is_some_and(|kind| {
            kind.eq_ignore_ascii_case(b"text/html") || kind.eq_ignore_ascii_case(b"application/xhtml+xml")
        });
        is_html && !parts.any(|part| matches!(part, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"))
    })
}

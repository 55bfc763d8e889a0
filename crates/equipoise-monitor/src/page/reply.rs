use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::{body::PageBody, json::to_json};

/// The headers of every response of the page.
///
/// The policy allows only what the page itself serves: no inline script or style, no form that the browser sends, no
/// frame around the page, and no other host. `Cross-Origin-Resource-Policy` keeps pages of other hosts from loading the
/// data, and `nosniff` from reading it as a script.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A refusal: its status, and the text that says what would be right.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// A header that the status needs, such as `Allow`.
    pub(super) header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), header: None }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) fn into_response(self) -> Response<PageBody> {
        let mut response = text(self.text + "\n");
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.header);
        response
    }
}

/// Returns a response that no cache stores.
pub(super) fn data(content_type: &'static str, body: PageBody) -> Response<PageBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn text(text: String) -> Response<PageBody> {
    data("text/plain; charset=utf-8", PageBody::from(Bytes::from(text)))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Response<PageBody>, Problem> {
    let json = to_json(value).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(data("application/json", PageBody::from(json)))
}

/// Adds the headers of every response.
pub(super) fn secure(response: &mut Response<PageBody>) {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

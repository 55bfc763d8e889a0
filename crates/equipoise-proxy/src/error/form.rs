use bytes::Bytes;
use equipoise_tower::__private::is_grpc;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What is percent-encoded in `grpc-message`, besides bytes that are not ASCII.
const NOT_IN_GRPC: &AsciiSet = &CONTROLS.add(b'%');

/// In which form [`ErrorResponses`](super::ErrorResponses) explains an error to clients. gRPC calls always get a status of
/// gRPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorFormat {
    /// Clients that prefer text to JSON, such as browsers (`Accept: text/html, */*;q=0.8`), get plain text. All others get a
    /// problem document: those whose `Accept` prefers JSON, contains only `*/*`, or is missing. This is the default.
    #[default]
    Negotiated,
    /// One line of plain text.
    Text,
    /// A problem document (RFC 9457).
    Json,
}

/// The form of the response for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One line of plain text.
    Text,
    /// A problem document (RFC 9457).
    Json,
    /// A status of gRPC in the head, and no body ("Trailers-Only"). gRPC clients would try to read a text as a message.
    Grpc,
}

/// What a request says about the form of the response for an error. Most requests have no error, so their `Accept` is
/// kept, and not read.
#[derive(Debug)]
pub(crate) struct WantedForm {
    is_grpc: bool,
    /// The first line of `Accept`.
    accept: Option<HeaderValue>,
    more_accept: Vec<HeaderValue>,
}

impl WantedForm {
    pub(crate) fn of(request: &HeaderMap, version: Version) -> Self {
        let mut lines = request.get_all(ACCEPT).iter().cloned();
        let (accept, more_accept) = (lines.next(), lines.collect());
        Self { is_grpc: version >= Version::HTTP_2 && is_grpc(request), accept, more_accept }
    }

    pub(crate) fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// Returns the form of the response.
    pub(crate) fn form(&self, format: ErrorFormat) -> Form {
        match format {
            _ if self.is_grpc => Form::Grpc,
            ErrorFormat::Json => Form::Json,
            ErrorFormat::Negotiated if prefers_text(self.accept.iter().chain(&self.more_accept)) => Form::Text,
            ErrorFormat::Negotiated => Form::Json,
            ErrorFormat::Text => Form::Text,
        }
    }
}

impl Form {
    /// Returns a response that must not be cached. `code` is the stable label of the reason in JSON, of letters, digits and
    /// `_`.
    pub(crate) fn response(self, status: StatusCode, message: &str, code: &str) -> Response<Bytes> {
        let (kind, body) = match self {
            Self::Grpc => ("application/grpc", String::new()),
            Self::Json => {
                let title = status.canonical_reason().unwrap_or("Error");
                let document = format!(
                    "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{},\"detail\":\"{}\",\"code\":\"{}\"}}\n",
                    status.as_u16(),
                    escaped_for_json(message),
                    escaped_for_json(code),
                );
                ("application/problem+json", document)
            }
            Self::Text => ("text/plain; charset=utf-8", format!("{message}\n")),
        };
        let mut response = Response::new(Bytes::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self == Self::Grpc {
            headers.insert(GRPC_STATUS, grpc_status(status).into());
            if let Ok(message) = HeaderValue::try_from(utf8_percent_encode(message, NOT_IN_GRPC).to_string()) {
                headers.insert(GRPC_MESSAGE, message);
            }
        } else {
            *response.status_mut() = status;
        }
        response
    }
}

/// Escapes a text for a string in JSON.
fn escaped_for_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            '\0'..='\x1f' => escaped += &format!("\\u{:04x}", u32::from(character)),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Returns the number of the gRPC status that means the same as a status of HTTP.
fn grpc_status(status: StatusCode) -> u16 {
    const INVALID_ARGUMENT: u16 = 3;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status.as_u16() {
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        429 => RESOURCE_EXHAUSTED,
        404 | 421 | 501 => UNIMPLEMENTED,
        408 | 504 => DEADLINE_EXCEEDED,
        502 | 503 => UNAVAILABLE,
        400..=499 => INVALID_ARGUMENT,
        _ => INTERNAL,
    }
}

/// Returns whether a client prefers text to JSON: it refuses JSON, or names a type of text with a higher quality. Whether it
/// takes anything (`*/*`) counts for JSON only.
fn prefers_text<'a>(accept: impl Iterator<Item = &'a HeaderValue>) -> bool {
    let (mut json, mut any, mut text) = (None, None, None);
    for element in accept.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let Some(kind) = parts.next() else { continue };
        let quality = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
        let quality = Some(quality.map_or(1000, thousandths));
        match &*kind.to_ascii_lowercase() {
            b"application/problem+json" | b"application/json" => json = json.max(quality),
            b"text/plain" | b"text/html" | b"text/*" => text = text.max(quality),
            b"*/*" | b"application/*" => any = any.max(quality),
            _ => {}
        }
    }
    let json = json.or(any);
    json == Some(0) || text.unwrap_or(0) > json.unwrap_or(0)
}

/// Parses a quality such as `0.5` into thousandths. A quality that is invalid counts as 0.
fn thousandths(text: &[u8]) -> u32 {
    let quality = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f32>().ok());
    quality.filter(|quality| (0.0..=1.0).contains(quality)).map_or(0, |quality| (quality * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
    }

    fn form_of(request: &HeaderMap, version: Version) -> Form {
        WantedForm::of(request, version).form(ErrorFormat::default())
    }

    #[test]
    fn json_is_sent_unless_the_client_prefers_text() {
        for (accept, json) in [
            ("application/json", true),
            ("application/problem+json;q=0.1", true),
            ("text/html, application/json", true),
            ("text/html, application/json;q=0.9", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", false),
            ("Text/Plain", false),
            ("text/*, */*;q=0.1", false),
            ("*/*", true),
            ("text/css,*/*;q=0.1", true),
            ("application/*", true),
            ("image/png", true),
            ("application/json;q=0", false),
            ("application/json;q=0, */*", false),
            ("application/json;q=2", false),
            ("*/*;q=0", false),
            ("", true),
        ] {
            let form = if json { Form::Json } else { Form::Text };
            assert_eq!(form_of(&accepting(accept), Version::HTTP_11), form, "{accept}");
        }
        assert_eq!(form_of(&HeaderMap::new(), Version::HTTP_11), Form::Json);
        let mut lines = accepting("text/plain;q=0.5");
        lines.append(ACCEPT, HeaderValue::from_static("application/json"));
        assert_eq!(form_of(&lines, Version::HTTP_11), Form::Json);
        let response = Form::Json.response(StatusCode::BAD_REQUEST, "the request has no Host", "host_missing");
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let document: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(
            (document["status"].as_u64(), document["detail"].as_str(), document["code"].as_str()),
            (Some(400), Some("the request has no Host"), Some("host_missing"))
        );
    }

    #[test]
    fn a_fixed_format_does_not_depend_on_the_request() {
        let (json, html) = (accepting("application/json"), accepting("text/html"));
        assert_eq!(WantedForm::of(&html, Version::HTTP_11).form(ErrorFormat::Json), Form::Json);
        assert_eq!(WantedForm::of(&json, Version::HTTP_11).form(ErrorFormat::Text), Form::Text);
        let grpc = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
        assert_eq!(WantedForm::of(&grpc, Version::HTTP_2).form(ErrorFormat::Json), Form::Grpc);
    }

    #[test]
    fn any_text_can_be_written_into_json_and_grpc() {
        let text = "\"a\" \\ 50 %\r\nä";
        let response = Form::Json.response(StatusCode::BAD_GATEWAY, text, "service");
        let document: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(document["detail"], text);
        let response = Form::Grpc.response(StatusCode::BAD_GATEWAY, text, "service");
        assert_eq!(response.headers()[GRPC_MESSAGE], "\"a\" \\ 50 %25%0D%0A%C3%A4");
    }

    #[test]
    fn grpc_calls_get_a_status_in_the_head_and_no_body() {
        let grpc = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"))]);
        assert_eq!(form_of(&grpc, Version::HTTP_11), Form::Json);
        let web = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc-web"))]);
        assert_eq!(form_of(&web, Version::HTTP_2), Form::Json);
        assert_eq!(form_of(&grpc, Version::HTTP_2), Form::Grpc);
        for (status, grpc_status) in [(502, "14"), (503, "14"), (504, "4"), (404, "12"), (413, "3"), (508, "13")] {
            let status = StatusCode::from_u16(status).expect("a status");
            let response = Form::Grpc.response(status, "some text", "service");
            assert_eq!((response.status(), response.body().len()), (StatusCode::OK, 0));
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], "application/grpc");
            assert_eq!(headers[GRPC_MESSAGE], "some text");
            assert_eq!(headers[GRPC_STATUS], grpc_status);
        }
    }
}

//! `Cache-Status` (RFC 9211).

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request was forwarded, in the words of RFC 9211.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Request,
    Stale,
}

impl Forwarded {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// How the cache has handled a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handling {
    /// `None` if the response was stored before the request came.
    pub(crate) forwarded: Option<Forwarded>,
    /// The status of the backend, if it is not that of the response.
    pub(crate) status: Option<StatusCode>,
    pub(crate) ttl: Option<i64>,
    pub(crate) stored: bool,
    pub(crate) collapsed: bool,
    /// What the standard has no word for, as a token.
    pub(crate) detail: Option<&'static str>,
}

impl Handling {
    pub(crate) fn hit(ttl: i64) -> Self {
        Self { ttl: Some(ttl), ..Self::default() }
    }

    pub(crate) fn forwarded(why: Forwarded) -> Self {
        Self { forwarded: Some(why), ..Self::default() }
    }

    /// Adds the field. `name` is a token.
    pub(crate) fn write(&self, name: &str, key: Option<&str>, headers: &mut HeaderMap) {
        let mut text = String::with_capacity(64);
        text.push_str(name);
        match self.forwarded {
            None => text.push_str("; hit"),
            Some(why) => {
                text.push_str("; fwd=");
                text.push_str(why.as_str());
            }
        }
        if let Some(status) = self.status {
            text.push_str("; fwd-status=");
            text.push_str(status.as_str());
        }
        if let Some(ttl) = self.ttl {
            // A string takes all that is written.
            let _ = write!(text, "; ttl={ttl}");
        }
        if self.stored {
            text.push_str("; stored");
        }
        if self.collapsed {
            text.push_str("; collapsed");
        }
        if let Some(key) = key.filter(|key| key.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
            text.push_str("; key=\"");
            for char in key.chars() {
                if matches!(char, '"' | '\\') {
                    text.push('\\');
                }
                text.push(char);
            }
            text.push('"');
        }
        if let Some(detail) = self.detail {
            text.push_str("; detail=");
            text.push_str(detail);
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
            headers.append(CACHE_STATUS, value);
        }
    }
}

/// Whether a text can be the name of a cache: a token of Structured Fields, of few characters.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(handling: &Handling, key: Option<&str>) -> String {
        let mut headers = HeaderMap::new();
        handling.write("edge", key, &mut headers);
        headers[CACHE_STATUS].to_str().expect("text").to_owned()
    }

    #[test]
    fn the_field_names_the_handling() {
        assert_eq!(text(&Handling::hit(-3), None), "edge; hit; ttl=-3");
        let mut handling = Handling::forwarded(Forwarded::VaryMiss);
        handling.status = Some(StatusCode::NOT_MODIFIED);
        (handling.stored, handling.collapsed, handling.detail) = (true, true, Some("x"));
        let expected = r#"edge; fwd=vary-miss; fwd-status=304; stored; collapsed; key="a\"b"; detail=x"#;
        assert_eq!(text(&handling, Some("a\"b")), expected);
    }

    #[test]
    fn names_are_tokens() {
        assert!(is_name("edge-1.example"));
        for name in ["", "1a", "a b", "a;b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }
}

use http::{HeaderMap, header::CONTENT_TYPE};

use super::InvalidCompression;

/// The media types of responses that are compressed.
#[derive(Clone, Debug)]
pub(super) struct MediaTypes(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    /// All types that begin with this, such as `text/`.
    Prefix(String),
    /// All types that end with this, such as `+json`.
    Suffix(String),
    Exact(String),
}

/// Formats that are not compressed themselves. Images, audio, video, archives and WOFF fonts are.
const DEFAULT: [&str; 29] = [
    "text/*",
    "*+json",
    "*+xml",
    "*+text",
    "*+yaml",
    "application/json",
    "application/x-ndjson",
    "application/jsonl",
    "application/json-seq",
    "application/xml",
    "application/xml-dtd",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/typescript",
    "application/graphql",
    "application/graphql-response",
    "application/yaml",
    "application/toml",
    "application/rtf",
    "application/sql",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "font/collection",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

impl Default for MediaTypes {
    fn default() -> Self {
        Self(DEFAULT.iter().filter_map(|text| Pattern::parse(text)).collect())
    }
}

impl MediaTypes {
    pub(super) fn new(types: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, InvalidCompression> {
        let mut new = Self(Vec::new());
        for text in types {
            new.add(text.as_ref())?;
        }
        Ok(new)
    }

    pub(super) fn add(&mut self, text: &str) -> Result<(), InvalidCompression> {
        let pattern = Pattern::parse(text).ok_or_else(|| InvalidCompression::MediaType(text.to_owned()))?;
        self.0.push(pattern);
        Ok(())
    }

    /// Returns whether a response with these fields has such a type. Never true for gRPC, which compresses its messages
    /// itself, and for event streams, in which each event must arrive at once. False if the type is not stated.
    pub(super) fn contain(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(CONTENT_TYPE) else { return false };
        let media_type = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if starts_with(media_type, b"application/grpc") || media_type.eq_ignore_ascii_case(b"text/event-stream") {
            return false;
        }
        self.0.iter().any(|pattern| pattern.matches(media_type))
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" || text == "*/*" {
            return Some(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix('*') {
            let name = suffix.strip_prefix('+')?;
            return is_token(name).then(|| Self::Suffix(suffix.to_owned()));
        }
        let (kind, subtype) = text.split_once('/')?;
        if !is_token(kind) {
            return None;
        }
        match subtype {
            "*" => Some(Self::Prefix(format!("{kind}/"))),
            subtype if is_token(subtype) => Some(Self::Exact(text)),
            _ => None,
        }
    }

    fn matches(&self, media_type: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => starts_with(media_type, prefix.as_bytes()),
            Self::Suffix(suffix) => media_type
                .len()
                .checked_sub(suffix.len())
                .and_then(|start| media_type.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
            Self::Exact(exact) => media_type.eq_ignore_ascii_case(exact.as_bytes()),
        }
    }
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Returns whether a text is a token of HTTP without `*`.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn contains(types: &MediaTypes, media_type: &str) -> bool {
        let value = HeaderValue::from_str(media_type).expect("a value");
        types.contain(&HeaderMap::from_iter([(CONTENT_TYPE, value)]))
    }

    #[test]
    fn formats_that_are_compressed_already_are_left_out() {
        let types = MediaTypes::default();
        for media_type in [
            "text/html; charset=utf-8",
            "TEXT/CSS",
            "application/json",
            "application/problem+json",
            "application/atom+xml;type=feed",
            "image/svg+xml",
            "text/javascript",
            "application/wasm",
            "font/ttf",
        ] {
            assert!(contains(&types, media_type), "{media_type}");
        }
        for media_type in
            ["image/png", "video/mp4", "font/woff2", "application/zip", "application/octet-stream", "", "json"]
        {
            assert!(!contains(&types, media_type), "{media_type}");
        }
        assert!(!types.contain(&HeaderMap::new()));
    }

    #[test]
    fn grpc_and_event_streams_are_never_compressed() {
        let types = MediaTypes::new(["*/*", "text/event-stream", "application/grpc"]).expect("types");
        assert!(contains(&types, "image/png"));
        for media_type in
            ["application/grpc", "Application/gRPC+proto", "application/grpc-web", "text/event-stream;a=b"]
        {
            assert!(!contains(&types, media_type), "{media_type}");
        }
    }

    #[test]
    fn a_malformed_type_is_refused() {
        for text in ["", "text", "text/", "/html", "*json", "te*t/html", "text/html; charset=utf-8", "a/b/c", "*+"] {
            let result = MediaTypes::new([text]).map(|_| ());
            assert_eq!(result, Err(InvalidCompression::MediaType(text.to_owned())), "{text}");
        }
    }
}

//! The fields of a response that a compression reads and changes.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, VARY},
};

use super::Encoding;
use crate::changed_content;

/// Returns whether intermediaries must not change the content.
pub(super) fn has_no_transform(headers: &HeaderMap) -> bool {
    let mut directives =
        headers.get_all(CACHE_CONTROL).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Returns whether a response has a complete content without an encoding.
pub(super) fn is_complete(status: StatusCode, headers: &HeaderMap) -> bool {
    let has_content = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        );
    has_content && !headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(CONTENT_RANGE)
}

/// Returns the value of `Content-Length`.
pub(super) fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Adds `Vary: Accept-Encoding` if it is not there.
pub(super) fn vary(headers: &mut HeaderMap) {
    let mut names = headers.get_all(VARY).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_there = names.any(|name| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str().as_bytes())
    });
    if !is_there {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Changes the fields of a response whose content gets an encoding.
pub(super) fn encode(headers: &mut HeaderMap, encoding: Encoding) {
    headers.insert(CONTENT_ENCODING, encoding.value());
    changed_content::of_response(headers);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn vary_is_added_once() {
        for (value, count) in
            [("Origin", 2), ("Accept-Encoding", 1), ("origin, ACCEPT-ENCODING", 1), ("*", 1), ("x-accept-encoding", 2)]
        {
            let mut headers = map(VARY, value);
            vary(&mut headers);
            assert_eq!(headers.get_all(VARY).iter().count(), count, "{value}");
        }
    }

    #[test]
    fn no_transform_is_a_directive_of_its_own() {
        assert!(has_no_transform(&map(CACHE_CONTROL, "public, No-Transform")));
        assert!(!has_no_transform(&map(CACHE_CONTROL, "public, x-no-transform")));
    }
}

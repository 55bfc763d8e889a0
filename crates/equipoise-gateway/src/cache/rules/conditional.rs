//! Conditional requests (RFC 9110, 13; RFC 9111, 4.3.2).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    },
};

use super::date;

/// Returns whether a stored response has not changed for a client: it gets 304 instead. Without `Last-Modified`, the time
/// at which the response was generated counts (RFC 9111, 4.3.2).
pub(crate) fn is_not_modified(method: &Method, request: &HeaderMap, status: StatusCode, stored: &HeaderMap) -> bool {
    has_not_changed(method, request, status, stored, &[LAST_MODIFIED, DATE])
}

/// Returns the same for a response that has just been generated: `Date` tells nothing about its last change.
pub(crate) fn is_new_not_modified(method: &Method, request: &HeaderMap, status: StatusCode, new: &HeaderMap) -> bool {
    has_not_changed(method, request, status, new, &[LAST_MODIFIED])
}

fn has_not_changed(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    times: &[HeaderName],
) -> bool {
    if status != StatusCode::OK || !matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    if request.contains_key(IF_NONE_MATCH) {
        let etag = response.get(ETAG).map(|etag| opaque(etag.as_bytes()));
        return request.get_all(IF_NONE_MATCH).iter().any(|value| {
            value.as_bytes().trim_ascii() == b"*"
                || etag.is_some_and(|etag| Tags(value.as_bytes()).any(|tag| opaque(tag) == etag))
        });
    }
    let Some(since) = date::field(request, &IF_MODIFIED_SINCE) else { return false };
    let modified = times.iter().find_map(|name| date::field(response, name));
    modified.is_some_and(|modified| modified <= since)
}

/// Returns the fields of a 304 to the client that has the stored response (RFC 9110, 15.4.5).
pub(crate) fn not_modified_fields(headers: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE] {
        headers.remove(name);
    }
}

/// Returns whether a `Range` counts for the stored response (RFC 9110, 13.1.5): there is no `If-Range`, or its
/// validator is a strong one of the response.
pub(crate) fn range_applies(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(condition) = request.get(IF_RANGE) else { return true };
    let text = condition.as_bytes().trim_ascii();
    if text.starts_with(b"\"") || text.starts_with(b"W/") {
        return !text.starts_with(b"W/") && stored.get(ETAG).is_some_and(|etag| etag.as_bytes() == text);
    }
    let (Some(since), Some(modified)) = (date::parse(condition), date::field(stored, &LAST_MODIFIED)) else {
        return false;
    };
    // A date is a strong validator only if the response was generated later than the second of its change.
    let strong = date::field(stored, &DATE).is_some_and(|date| date > modified);
    strong && since == modified
}

/// Returns whether the response to a request may be a 304 (RFC 9110, 15.4.5).
pub(crate) fn asks_for_304(request: &HeaderMap) -> bool {
    request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE)
}

/// Removes the conditions and the range, so that the response is complete.
pub(crate) fn ask_for_all(request: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE] {
        request.remove(name);
    }
}

/// Adds the conditions of the cache to a request without conditions.
pub(crate) fn validate(request: &mut HeaderMap, stored: &HeaderMap) {
    let mut copy = |from: HeaderName, to: HeaderName| {
        if let Some(value) = stored.get(from) {
            request.insert(to, value.clone());
        }
    };
    copy(ETAG, IF_NONE_MATCH);
    copy(LAST_MODIFIED, IF_MODIFIED_SINCE);
}

/// Returns whether the 304 is about the stored response (RFC 9111, 4.3.4): it names no other validator.
pub(crate) fn selects(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    let same = |name: &HeaderName, equal: &dyn Fn(&HeaderValue, &HeaderValue) -> bool| {
        match (not_modified.get(name), stored.get(name)) {
            (Some(new), Some(old)) => equal(new, old),
            // A validator of a response that had none comes with the 304.
            _ => true,
        }
    };
    if not_modified.contains_key(ETAG) && stored.contains_key(ETAG) {
        return same(&ETAG, &|new, old| opaque(new.as_bytes()) == opaque(old.as_bytes()));
    }
    same(&LAST_MODIFIED, &|new, old| new == old || date::parse(new) == date::parse(old))
}

/// Whether the request has conditions that only the backend can decide (RFC 9111, 4.3.2).
pub(crate) fn is_for_backend(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// The part of an entity tag that a weak comparison compares.
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity tags of a list. A comma in a tag does not separate. O(length).
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        let rest = self.0.get(start..)?;
        let mut quoted = false;
        let end = rest.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let (tag, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.0 = rest;
        Some(tag.trim_ascii_end())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
            .collect()
    }

    fn not_modified(request: &[(&'static str, &str)], stored: &[(&'static str, &str)]) -> bool {
        is_not_modified(&Method::GET, &fields(request), StatusCode::OK, &fields(stored))
    }

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NEW: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    #[test]
    fn tags_are_compared_weakly_and_before_dates() {
        for list in ["\"a\"", "W/\"a\"", "\"x\", \"a\"", "\"x,y\",\"a\", \"z\"", "*", "\"a\",\"x\""] {
            assert!(not_modified(&[("if-none-match", list)], &[("etag", "\"a\"")]), "{list}");
            assert!(not_modified(&[("if-none-match", list)], &[("etag", "W/\"a\"")]), "{list}");
        }
        assert!(!not_modified(&[("if-none-match", "\"x,\"a\"")], &[("etag", "\"a\"")]));
        let both = [("if-none-match", "\"b\""), ("if-modified-since", NEW)];
        assert!(!not_modified(&both, &[("etag", "\"a\""), ("last-modified", OLD)]));
    }

    #[test]
    fn dates_are_compared_with_the_modification_or_the_response() {
        assert!(not_modified(&[("if-modified-since", OLD)], &[("last-modified", OLD)]));
        assert!(not_modified(&[("if-modified-since", NEW)], &[("last-modified", OLD)]));
        assert!(!not_modified(&[("if-modified-since", OLD)], &[("last-modified", NEW)]));
        assert!(not_modified(&[("if-modified-since", NEW)], &[("date", OLD)]));
        assert!(!not_modified(&[("if-modified-since", "yesterday")], &[("date", OLD)]));
        let new = |response: &[(&'static str, &str)]| {
            let request = fields(&[("if-modified-since", NEW)]);
            is_new_not_modified(&Method::GET, &request, StatusCode::OK, &fields(response))
        };
        assert!(new(&[("last-modified", OLD)]));
        assert!(!new(&[("date", OLD)]));
    }

    #[test]
    fn a_range_needs_a_strong_validator() {
        let applies = |condition, stored: &[_]| range_applies(&fields(&[("if-range", condition)]), &fields(stored));
        assert!(applies("\"a\"", &[("etag", "\"a\"")]));
        assert!(!applies("W/\"a\"", &[("etag", "W/\"a\"")]));
        assert!(applies(OLD, &[("last-modified", OLD), ("date", NEW)]));
        assert!(!applies(OLD, &[("last-modified", OLD), ("date", OLD)]));
        assert!(!applies(NEW, &[("last-modified", OLD), ("date", NEW)]));
    }

    #[test]
    fn a_304_with_another_tag_is_about_another_response() {
        assert!(selects(&fields(&[]), &fields(&[("etag", "\"a\"")])));
        assert!(selects(&fields(&[("etag", "W/\"a\"")]), &fields(&[("etag", "\"a\"")])));
        assert!(!selects(&fields(&[("etag", "\"b\"")]), &fields(&[("etag", "\"a\"")])));
        assert!(!selects(&fields(&[("last-modified", NEW)]), &fields(&[("last-modified", OLD)])));
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Tags(&bytes).count() <= bytes.len());
        }
    }
}

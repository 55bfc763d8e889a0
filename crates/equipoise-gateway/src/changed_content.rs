//! The fields of a message whose content is changed on its way.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, ETAG, IF_NONE_MATCH},
};

/// Digests of the content or of the representation: RFC 1864, RFC 3230, RFC 9530.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Removes the fields of a request that are wrong for another content: the length and the digests.
pub(crate) fn of_request(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    for name in &DIGESTS {
        headers.remove(name);
    }
}

/// Removes the fields of a response that are wrong for another content, and makes its `ETag` weak.
pub(crate) fn of_response(headers: &mut HeaderMap) {
    of_request(headers);
    headers.remove(ACCEPT_RANGES);
    weaken(headers);
}

/// Makes a strong `ETag` weak. One that is malformed is removed.
fn weaken(headers: &mut HeaderMap) {
    let weak = match headers.get(ETAG).map(HeaderValue::as_bytes) {
        None => return,
        Some(tag) if tag.starts_with(b"W/\"") => return,
        Some(tag) if is_strong(tag) => HeaderValue::from_bytes(&[b"W/", tag].concat()).ok(),
        Some(_) => None,
    };
    match weak {
        Some(weak) => headers.insert(ETAG, weak),
        None => headers.remove(ETAG),
    };
}

/// The values of `If-None-Match` of a request that may contain weak tags.
pub(crate) struct WeakTags(Vec<HeaderValue>);

impl WeakTags {
    pub(crate) fn of(request: &HeaderMap) -> Self {
        let values = request.get_all(IF_NONE_MATCH).iter();
        Self(values.filter(|value| value.as_bytes().windows(2).any(|pair| pair == b"W/")).cloned().collect())
    }

    /// Makes the strong `ETag` of a 304 weak if the request lists its weak form, because then the client has the changed
    /// content. Returns whether it was so.
    pub(crate) fn weaken(&self, response: &mut HeaderMap) -> bool {
        let tag = response.get(ETAG).map(HeaderValue::as_bytes).unwrap_or_default();
        let mut listed = self.0.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let is_listed = is_strong(tag) && listed.any(|listed| listed.trim_ascii().strip_prefix(b"W/") == Some(tag));
        if is_listed {
            weaken(response);
        }
        is_listed
    }
}

/// Returns whether the value of `ETag` is a strong one.
fn is_strong(tag: &[u8]) -> bool {
    matches!(tag, [b'"', .., b'"'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strong_tag_becomes_weak_and_a_malformed_one_is_removed() {
        for (tag, weak) in [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None), ("\"", None)] {
            let mut headers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]);
            weaken(&mut headers);
            assert_eq!(headers.get(ETAG).map(|tag| tag.to_str().expect("text")), weak, "{tag}");
        }
    }

    #[test]
    fn a_tag_becomes_weak_if_its_weak_form_is_listed() {
        let request = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("\"b\", W/\"a\""))]);
        for (tag, expected) in [("\"a\"", "W/\"a\""), ("\"b\"", "\"b\""), ("W/\"a\"", "W/\"a\"")] {
            let mut response = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]);
            assert_eq!(WeakTags::of(&request).weaken(&mut response), tag != expected);
            assert_eq!(response[ETAG], expected);
        }
    }

    #[test]
    fn fields_about_the_old_content_are_removed() {
        let fields =
            ["content-length", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest", "x-a"];
        let headers =
            || HeaderMap::from_iter(fields.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1"))));
        let (mut request, mut response) = (headers(), headers());
        of_request(&mut request);
        of_response(&mut response);
        assert_eq!(
            request.keys().map(HeaderName::as_str).collect::<std::collections::BTreeSet<_>>(),
            ["accept-ranges", "x-a"].into()
        );
        assert_eq!(response.keys().collect::<Vec<_>>(), ["x-a"]);
    }
}

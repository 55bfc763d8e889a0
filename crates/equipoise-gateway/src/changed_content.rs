//! The fields of a message whose content is changed on its way.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, ETAG},
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
pub(crate) fn weaken(headers: &mut HeaderMap) {
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

/// Returns whether the value of `ETag` is a strong one.
pub(crate) fn is_strong(tag: &[u8]) -> bool {
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

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING},
};

use super::known::{is_head_only, is_unusual};
use crate::check::Refusal;

/// Sets the fields that tell the endpoint how long the body is, after [`remove_hop_by_hop`](super::remove_hop_by_hop).
/// `has_body` is false if the body has ended already. `exact` is the length of the body, if it is known.
///
/// A layer between the server and this proxy may have replaced the body and left the field. The endpoint would then
/// wait for bytes that do not come, or read the next request as the rest of this one.
pub(crate) fn normalize_request(
    method: &Method,
    headers: &mut HeaderMap,
    has_body: bool,
    exact: Option<u64>,
) -> Result<(), Refusal> {
    if let Some(length) = headers.get(CONTENT_LENGTH) {
        if !has_body {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            return Ok(());
        }
        let stated = first_length(length);
        make_canonical(headers);
        if is_contradicted(stated, exact) {
            return Err(Refusal::BodyLength);
        }
    } else if has_body && matches!(*method, Method::GET | Method::HEAD) {
        // hyper's client sends a body of unknown length with these methods only if the field asks for it.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(())
}

/// Returns whether the length that a message states is another one than the length of its body.
pub(crate) fn is_contradicted(stated: Option<u64>, exact: Option<u64>) -> bool {
    matches!((stated, exact), (Some(stated), Some(exact)) if stated != exact)
}

/// Parses the first element of a `Content-Length`.
fn first_length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.split(',').next()?.trim().parse().ok()
}

/// Leaves at most one `Content-Length`, after [`check_response`](crate::check::check_response) has accepted the
/// response. `is_chunked` tells whether the endpoint sent `Transfer-Encoding`, which overrides the length.
pub(crate) fn normalize_response(status: StatusCode, headers: &mut HeaderMap, is_chunked: bool) {
    let has_no_length = is_chunked || status.is_informational() || status == StatusCode::NO_CONTENT;
    if has_no_length {
        headers.remove(CONTENT_LENGTH);
    } else {
        make_canonical(headers);
    }
}

/// Replaces lengths such as `5, 5` and `0005`, and several lines, with the one that they mean.
fn make_canonical(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lines.next() else { return };
    let bytes = length.as_bytes();
    let is_canonical = bytes.iter().all(u8::is_ascii_digit) && (bytes.len() == 1 || !bytes.starts_with(b"0"));
    if is_canonical && lines.next().is_none() {
        return;
    }
    match first_length(length) {
        Some(number) => drop(headers.insert(CONTENT_LENGTH, number.into())),
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
}

/// Joins the `Cookie` fields of an HTTP/2 request, which HTTP/1.1 requires (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Removes all fields whose names contain a character other than a letter, a digit or `-`.
pub(crate) fn remove_unusual_names(headers: &mut HeaderMap) {
    remove_where(headers, |name| is_unusual(name.as_str()));
}

/// Removes the fields whose names fulfil a condition.
pub(crate) fn remove_where(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_removed(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Removes the fields from trailers that must not be there (RFC 9110, section 6.5.1), and, with `unusual`, those with
/// unusual names. A server could merge them into the head.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap, unusual: bool) {
    remove_where(trailers, |name| is_head_only(name) || unusual && is_unusual(name.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (CONTENT_LENGTH, HeaderValue::from_static(line))).collect()
    }

    fn of(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(CONTENT_LENGTH).iter().map(|line| line.to_str().expect("ASCII")).collect()
    }

    #[test]
    fn one_canonical_length_is_forwarded() {
        for (lines, length) in
            [(&["5"][..], "5"), (&["0005"], "5"), (&["5", "5"], "5"), (&["5, 5"], "5"), (&["0"], "0")]
        {
            let mut headers = lengths(lines);
            normalize_response(StatusCode::OK, &mut headers, false);
            assert_eq!(of(&headers), [length], "{lines:?}");
            let mut headers = lengths(&lines[..1]);
            let exact = length.parse().expect("a number");
            assert_eq!(normalize_request(&Method::POST, &mut headers, true, Some(exact)), Ok(()));
            assert_eq!(of(&headers), [length], "{lines:?}");
        }
    }

    #[test]
    fn responses_without_a_body_of_that_length_have_no_length() {
        for (status, is_chunked) in [(StatusCode::OK, true), (StatusCode::NO_CONTENT, false)] {
            let mut headers = lengths(&["5"]);
            normalize_response(status, &mut headers, is_chunked);
            assert!(headers.is_empty());
        }
        let mut headers = lengths(&["5"]);
        normalize_response(StatusCode::NOT_MODIFIED, &mut headers, false);
        assert_eq!(of(&headers), ["5"]);
    }

    #[test]
    fn a_get_with_a_body_of_unknown_length_is_chunked() {
        let mut headers = HeaderMap::new();
        assert_eq!(normalize_request(&Method::GET, &mut headers, false, Some(0)), Ok(()));
        assert!(headers.is_empty());
        assert_eq!(normalize_request(&Method::GET, &mut headers, true, None), Ok(()));
        assert_eq!(headers[TRANSFER_ENCODING], "chunked");
    }

    #[test]
    fn a_length_that_is_not_that_of_the_body_is_not_forwarded() {
        let normalized = |line: &'static str, has_body, exact| {
            let mut headers = lengths(&[line]);
            normalize_request(&Method::POST, &mut headers, has_body, exact)?;
            Ok(of(&headers).join("|"))
        };
        assert_eq!(normalized("5", false, Some(0)), Ok("0".to_owned()));
        assert_eq!(normalized("5", true, None), Ok("5".to_owned()));
        assert_eq!(normalized("5", true, Some(4)), Err(Refusal::BodyLength));
        assert_eq!(normalized("05", true, Some(6)), Err(Refusal::BodyLength));
    }

    #[test]
    fn trailers_keep_only_what_may_follow_a_body() {
        let mut trailers = HeaderMap::new();
        for name in [
            "grpc-status",
            "x-t",
            "x_t",
            "x.t",
            "content-length",
            "host",
            "x-forwarded-for",
            "x-forwarded-prefix",
            "proxy",
            "via",
        ] {
            trailers.insert(name, HeaderValue::from_static("0"));
        }
        strip_trailers(&mut trailers, false);
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status", "x-t", "x_t", "x.t"]);
        strip_trailers(&mut trailers, true);
        assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status", "x-t"]);
    }

    #[test]
    fn cookies_are_joined_in_order() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2; c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(cookie));
        }
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }
}

//! Reads cookies, headers and URL parameters, as bytes: clients can send any.

use http::{HeaderMap, HeaderName, header::COOKIE};

use crate::scan;

/// Whether `name` is a token (RFC 9110 §5.6.2), such as a cookie's name.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The first value of the cookie `name` in a request that is not empty. User agents send the one with the most specific
/// path first (RFC 6265 §5.4); HTTP/2 clients may send a line for each.
pub(crate) fn cookie<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| scan::split(line.as_bytes(), b';'))
        .filter_map(pair)
        .map(|(found, value)| (found, unquoted(value)))
        .find(|(found, value)| *found == name.as_bytes() && !value.is_empty())
        .map(|(_, value)| value)
}

/// A name and what follows its `=`, without the white space around them.
pub(crate) fn pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = scan::split_once(part, b'=')?;
    Some((scan::trim(name), scan::trim(value)))
}

/// Without the double quotes around it (RFC 6265 §4.1.1 allows them; whether they are part of the value, servers see
/// differently).
pub(crate) fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// The first of the query's parameters `name` that is not empty.
pub(crate) fn query_parameter<'r>(query: &'r str, name: &str) -> Option<&'r [u8]> {
    filled(scan::split(query.as_bytes(), b'&'), name)
}

/// The first of the path's parameters `name` that is not empty, of whatever segment (RFC 3986 §3.3).
pub(crate) fn path_parameter<'r>(path: &'r str, name: &str) -> Option<&'r [u8]> {
    let segments = scan::split(path.as_bytes(), b'/');
    filled(segments.flat_map(|segment| scan::split(segment, b';').skip(1)), name)
}

/// The last line of a header that is not empty.
pub(crate) fn header<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r [u8]> {
    headers.get_all(name).iter().map(|line| scan::trim(line.as_bytes())).rfind(|value| !value.is_empty())
}

/// The first of the parameters `name` that is not empty.
fn filled<'r>(parameters: impl Iterator<Item = &'r [u8]>, name: &str) -> Option<&'r [u8]> {
    parameters
        .filter_map(|parameter| scan::split_once(parameter, b'='))
        .find(|(found, value)| *found == name.as_bytes() && !value.is_empty())
        .map(|(_, value)| value)
}

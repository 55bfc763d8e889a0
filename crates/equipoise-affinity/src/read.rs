//! Functions that read cookies, headers and URL parameters as bytes, because clients can send any bytes, and the form
//! of the times in cookies, in tokens and in Redis: the time since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, header::COOKIE};

use crate::scan;

/// Whether `name` is a token (RFC 9110 §5.6.2). Names of cookies and headers are tokens.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns the first value of the request's cookie `name` that is not empty. If a request has several cookies of this
/// name, the first has the most specific path (RFC 6265 §5.4). HTTP/2 clients may send each cookie in its own line.
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

/// Splits `part` at its first `=` into a name and a value, without the white space around each. `None` if there is no
/// `=`.
pub(crate) fn pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = scan::split_once(part, b'=')?;
    Some((scan::trim(name), scan::trim(value)))
}

/// Removes the double quotes around a value. RFC 6265 §4.1.1 allows them. Servers do not agree whether they are part of
/// the value.
pub(crate) fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// Returns the first value of the query parameter `name` that is not empty.
pub(crate) fn query_parameter<'r>(query: &'r str, name: &str) -> Option<&'r [u8]> {
    filled(scan::split(query.as_bytes(), b'&'), name)
}

/// Returns the first value of the path parameter `name` that is not empty, in any segment of the path (RFC 3986 §3.3).
pub(crate) fn path_parameter<'r>(path: &'r str, name: &str) -> Option<&'r [u8]> {
    let segments = scan::split(path.as_bytes(), b'/');
    filled(segments.flat_map(|segment| scan::split(segment, b';').skip(1)), name)
}

/// Returns the value of the last line of header `name` that is not empty.
pub(crate) fn header<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r [u8]> {
    headers.get_all(name).iter().map(|line| scan::trim(line.as_bytes())).rfind(|value| !value.is_empty())
}

/// Returns the first value of the parameter `name` that is not empty.
fn filled<'r>(parameters: impl Iterator<Item = &'r [u8]>, name: &str) -> Option<&'r [u8]> {
    parameters
        .filter_map(|parameter| scan::split_once(parameter, b'='))
        .find(|(found, value)| *found == name.as_bytes() && !value.is_empty())
        .map(|(_, value)| value)
}

/// Returns the time since 1970. Returns 0 for a time before 1970, which only a wrong clock returns.
pub(crate) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the whole seconds since 1970. Returns 0 for a time before 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    since_1970(time).as_secs()
}

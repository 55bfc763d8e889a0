use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use crate::scan;

/// Whether a shared cache might keep this answer: HAProxy's idea of it, which `nocache` goes by.
pub(super) fn is_cacheable(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    let pragma = headers.get(header::PRAGMA);
    if status.is_informational() || pragma.is_some_and(|pragma| pragma.as_bytes().eq_ignore_ascii_case(b"no-cache")) {
        return false;
    }
    let mut cacheable = method.is_safe() && by_default(status);
    let mut lives = false;
    for directive in headers.get_all(header::CACHE_CONTROL).iter().flat_map(|line| Directives(line.as_bytes())) {
        let is = |name: &[u8]| directive.eq_ignore_ascii_case(name);
        let begins = |name: &[u8]| directive.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
        if is(b"public") {
            cacheable = true;
        } else if [&b"private"[..], b"no-cache", b"no-store", b"max-age=0", b"s-maxage=0"].iter().any(|name| is(name)) {
            cacheable = false;
        } else if begins(b"max-age") || begins(b"s-maxage") {
            lives = true;
        }
    }
    let has = |name: HeaderName| headers.contains_key(name);
    // With neither a date nor anything to ask again by, no cache would keep it.
    cacheable && (lives || has(header::EXPIRES) || has(header::ETAG) || has(header::LAST_MODIFIED))
}

/// RFC 9110, 15.1.
fn by_default(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501)
}

/// The directives of a line: parted by commas outside quotes, without the white space around them.
struct Directives<'a>(&'a [u8]);

impl<'a> Iterator for Directives<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let comma = scan::find(self.0, |byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' => return !quoted,
                _ => {}
            }
            false
        });
        let (directive, rest) = match comma {
            Some(comma) => (&self.0[..comma], &self.0[comma + 1..]),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        Some(scan::trim(directive))
    }
}

use http::{HeaderMap, header};

/// Whether it is a token (RFC 9110, section 5.6.2), such as a cookie's name.
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Over all lines: HTTP/2 may make one of each cookie.
pub(super) fn cookie<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r [u8]> {
    let mut pairs = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

pub(super) fn query<'r>(query: &'r str, name: &str) -> Option<&'r str> {
    named(query.split('&'), name)
}

pub(super) fn path_parameter<'r>(path: &'r str, name: &str) -> Option<&'r str> {
    named(path.split('/').flat_map(|segment| segment.split(';').skip(1)), name)
}

fn named<'r>(mut pairs: impl Iterator<Item = &'r str>, name: &str) -> Option<&'r str> {
    pairs.find_map(|pair| match pair.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    })
}

pub(super) fn path_segment(path: &str, index: usize) -> Option<&str> {
    path.strip_prefix('/')?.split('/').nth(index)
}

pub(super) fn path_prefix(path: &str, segments: usize) -> &str {
    let slashes = path.match_indices('/').map(|(at, _)| at);
    let end = slashes.skip(1).nth(segments.saturating_sub(1));
    end.and_then(|end| path.get(..end)).unwrap_or(path).trim_end_matches('/')
}

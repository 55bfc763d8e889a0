use std::borrow::Cow;

/// Returns the path with which patterns are compared: ASCII is decoded, repeated slashes are one, and `.` and `..` are
/// resolved. Returns the same text if nothing must be changed.
pub(crate) fn normalized(path: &str) -> Cow<'_, str> {
    if is_normal(path) {
        return Cow::Borrowed(path);
    }
    let mut text = String::with_capacity(path.len());
    for segment in resolved(path) {
        text.push('/');
        text.push_str(&decoded(segment));
    }
    Cow::Owned(text)
}

/// Returns the segments of a path after `.`, `..` and empty segments were resolved, without decoding them. The last one
/// is empty if the path ends with a slash.
pub(crate) fn resolved(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    let mut is_folder = true;
    for segment in path.split('/') {
        is_folder = true;
        match &*decoded(segment) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => {
                segments.push(segment);
                is_folder = false;
            }
        }
    }
    if is_folder {
        segments.push("");
    }
    segments
}

/// Returns whether a path is known to stay the same when it is normalized. Of some unusual paths this is not known.
pub(super) fn is_normal(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let mut begins_segment = true;
    for byte in rest.bytes() {
        match byte {
            b'%' => return false,
            // `.well-known` is normal, but no client is slowed down by looking at it twice.
            b'/' | b'.' if begins_segment => return false,
            _ => begins_segment = byte == b'/',
        }
    }
    true
}

/// Decodes the percent-encodings of visible ASCII, except of `/` and `%`. Others stay, with digits in upper case. A `%`
/// that begins no encoding is encoded.
pub(super) fn decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut text = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| Some((digits, u8::from_str_radix(digits, 16).ok()?))) {
            Some((digits, byte)) => {
                if byte.is_ascii_graphic() && byte != b'/' && byte != b'%' || byte == b' ' {
                    text.push(char::from(byte));
                } else {
                    text.push('%');
                    text.push_str(&digits.to_ascii_uppercase());
                }
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                text.push_str("%25");
                rest = after;
            }
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Returns whether servers disagree about the segments of a path: it contains an encoded slash, a backslash, or `;`
/// after `.`, `..` or nothing. Some servers decode the first, take the second for a slash, and cut off all that follows
/// the third, so that `/public/..;/admin` is `/admin` to them.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    if !path.bytes().any(|byte| matches!(byte, b'%' | b'\\' | b';')) {
        return false;
    }
    path.split('/').map(decoded).any(|segment| {
        let has_dots = segment.split_once(';').is_some_and(|(name, _)| matches!(name, "" | "." | ".."));
        has_dots || segment.contains('\\') || segment.contains("%2F")
    })
}

/// Returns the path without what follows a `;` in each segment. Servlet containers read a path so: `/admin;x` is
/// `/admin` to them. Most other servers take these parameters for a part of the segment.
pub(crate) fn without_parameters(path: &str) -> String {
    let names: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    names.join("/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_become_what_a_server_acts_on() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/a/.well-known/x.html", "/a/.well-known/x.html"),
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/public/%2e%2E/admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%20b%25", "/a b%25"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%", "/a%25"),
            ("/a%zz%1", "/a%25zz%251"),
            ("/...", "/..."),
            ("/..a", "/..a"),
            ("", "/"),
        ] {
            assert_eq!(normalized(path), normal, "{path}");
        }
    }

    #[test]
    fn paths_that_servers_read_differently_are_ambiguous() {
        for path in [
            "/a%2Fb",
            "/a%2fb",
            "/a/..%2fadmin",
            "/a\\..\\admin",
            "/a%5Cb",
            "/a%5cb",
            "/a/..;/admin",
            "/a/..;x=1/admin",
            "/a/%2e%2E;/admin",
            "/a/..%3Bx/admin",
            "/a/.;/admin",
            "/;/admin",
        ] {
            assert!(is_ambiguous(path), "{path}");
        }
        for path in ["/", "/a/../b", "/a;v=1/b", "/a%20b", "/a%252Fb", "/...;/a", "/a%", "/caf%C3%A9;x", "//a"] {
            assert!(!is_ambiguous(path), "{path}");
        }
    }

    #[test]
    fn parameters_end_with_their_segment() {
        for (path, without) in [("/a;x/b;y=1;z", "/a/b"), ("/a/", "/a/"), ("/a;", "/a"), ("/;x", "/")] {
            assert_eq!(without_parameters(path), without, "{path}");
        }
    }

    proptest! {
        #[test]
        fn normal_paths_stay(path in "(/|\\.|a|%2e|%2F|%41|%){0,12}") {
            let once = normalized(&path).into_owned();
            prop_assert!(!once.contains("//") && !once.contains("/../") && !once.contains("/./"));
            prop_assert_eq!(normalized(&once), &*once);
        }
    }
}

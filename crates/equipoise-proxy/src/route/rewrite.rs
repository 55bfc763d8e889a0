use std::borrow::Cow;

use http::{Request, Uri, uri::PathAndQuery};

use super::normal::{is_normal, resolved};

/// Replaces the first `segments` segments of a path by another prefix. What follows stays as it is written, except that
/// `.`, `..` and repeated slashes are resolved, so that they cannot reach above the prefix.
pub(super) fn with_prefix<'p>(path: &'p str, segments: usize, prefix: &str) -> Cow<'p, str> {
    let rest = if is_normal(path) {
        let mut rest = path;
        for _ in 0..segments {
            rest =
                rest.get(1..).and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..))).unwrap_or_default();
        }
        Cow::Borrowed(rest)
    } else {
        let all = resolved(path);
        let mut rest = String::with_capacity(path.len());
        for segment in all.iter().skip(segments) {
            rest.push('/');
            rest.push_str(segment);
        }
        Cow::Owned(rest)
    };
    match (prefix.strip_suffix('/').unwrap_or(prefix), rest) {
        ("", rest) if rest.is_empty() => Cow::Borrowed("/"),
        ("", rest) => rest,
        // A prefix that ends with a slash keeps it if nothing follows.
        (_, rest) if rest.is_empty() => Cow::Owned(prefix.to_owned()),
        (prefix, rest) => Cow::Owned(format!("{prefix}{rest}")),
    }
}

/// Changes the path of a request. The query stays. Returns false if the new path is not valid.
pub(crate) fn set_path<B>(request: &mut Request<B>, path: &str) -> bool {
    let target = match request.uri().query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let Ok(target) = target else { return false };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target);
    match Uri::from_parts(parts) {
        Ok(uri) => {
            *request.uri_mut() = uri;
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_replaced_by_segments() {
        for (path, segments, prefix, new) in [
            ("/api/x", 1, "/", "/x"),
            ("/api", 1, "/", "/"),
            ("/api/", 1, "/", "/"),
            ("/api", 1, "/v2", "/v2"),
            ("/api", 1, "/v2/", "/v2/"),
            ("/api/", 1, "/v2", "/v2/"),
            ("/api/x/y", 1, "/v2/", "/v2/x/y"),
            ("/a/b/c", 2, "/x", "/x/c"),
            ("/x", 0, "/base", "/base/x"),
            ("/", 0, "/base", "/base/"),
            ("/api/a%2Fb%20c", 1, "/base", "/base/a%2Fb%20c"),
            ("/api/../api/../../x", 0, "/base", "/base/x"),
            ("//api//x", 1, "/v2", "/v2/x"),
        ] {
            assert_eq!(with_prefix(path, segments, prefix), new, "{path} {prefix}");
        }
    }

    #[test]
    fn the_query_stays() {
        let mut request = Request::get("/a?b=c").body(()).expect("a request");
        assert!(set_path(&mut request, "/x"));
        assert_eq!(request.uri(), "/x?b=c");
        assert!(!set_path(&mut request, "x y"));
        assert_eq!(request.uri(), "/x?b=c");
    }
}

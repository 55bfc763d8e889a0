use http::{Method, Uri, uri::Scheme};

use super::refusal::Refusal;

/// Checks the method.
pub(super) fn method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::PATCH => {
            Ok(())
        }
        _ => {
            let is_valid = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
            if method.as_str().bytes().all(is_valid) { Ok(()) } else { Err(Refusal::Method) }
        }
    }
}

/// Checks the request target: it is a path, `*` of an `OPTIONS` request, or a URI with one of these.
pub(super) fn target(method: &Method, uri: &Uri, max_bytes: usize) -> Result<(), Refusal> {
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Refusal::Scheme);
    }
    let Some(target) = uri.path_and_query() else { return Err(Refusal::Target) };
    if target.as_str().len() > max_bytes {
        return Err(Refusal::UriTooLong);
    }
    match target.path() {
        "*" if *method == Method::OPTIONS => return Ok(()),
        // A URI without a path has the path `/`.
        path if path.starts_with('/') => path_bytes(path.as_bytes())?,
        _ => return Err(Refusal::Target),
    }
    if target.query().is_some_and(|query| !query.is_ascii()) { Err(Refusal::Target) } else { Ok(()) }
}

/// Checks the characters of a path. nginx refuses invalid percent-encodings and an encoded NUL, HAProxy characters
/// outside ASCII. Neither checks the query's percent-encodings, and clients often send a bare `%` there.
fn path_bytes(path: &[u8]) -> Result<(), Refusal> {
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => match after.split_first_chunk::<2>() {
                Some((b"00", _)) => return Err(Refusal::Target),
                Some((digits, after)) if digits.iter().all(u8::is_ascii_hexdigit) => rest = after,
                _ => return Err(Refusal::Target),
            },
            byte if byte.is_ascii_graphic() => {}
            _ => return Err(Refusal::Target),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str, uri: &str) -> Result<(), Refusal> {
        target(&text.parse().expect("a method"), &uri.parse().expect("a URI"), 64)
    }

    #[test]
    fn targets_are_paths() {
        for uri in ["/", "/a%2Fb?x=100%", "/p?", "/a/../b", "http://a", "https://a/b", "/a\"b", "//a"] {
            assert_eq!(checked("GET", uri), Ok(()), "{uri}");
        }
        assert_eq!(checked("OPTIONS", "*"), Ok(()));
    }

    #[test]
    fn targets_that_servers_read_differently_are_refused() {
        for uri in ["*", "a.test", "a.test:80", "/a%", "/a%1", "/a%zz", "/a%00b", "/\u{e9}", "/?\u{e9}"] {
            assert_eq!(checked("GET", uri), Err(Refusal::Target), "{uri}");
        }
        assert_eq!(checked("GET", "ftp://a/"), Err(Refusal::Scheme));
        assert_eq!(checked("GET", &format!("/{}", "a".repeat(64))), Err(Refusal::UriTooLong));
    }

    #[test]
    fn methods_consist_of_upper_case_letters() {
        for text in ["GET", "PROPFIND", "M-SEARCH", "A_B"] {
            assert_eq!(method(&text.parse().expect("a method")), Ok(()), "{text}");
        }
        for text in ["get", "Get", "GE$T", "G1"] {
            assert_eq!(method(&text.parse().expect("a method")), Err(Refusal::Method), "{text}");
        }
    }
}

use std::borrow::Cow;

use equipoise_affinity::key::SessionKey;
use percent_encoding::percent_decode;

/// Returns the part of a request that is the value of a query parameter, decoded. `None` if no parameter can have the
/// name.
///
/// Servers decode names and values before they use them, so a condition on the text of the URL could be avoided with
/// `%61dmin` for `admin`.
pub(super) fn parameter(name: &str) -> Option<SessionKey> {
    let name: Box<[u8]> = name.as_bytes().into();
    (!name.is_empty()).then(|| SessionKey::by(move |head| find(head.uri.query()?.as_bytes(), &name)))
}

/// Returns the first value of a parameter that is not empty.
fn find<'q>(query: &'q [u8], name: &[u8]) -> Option<Cow<'q, [u8]>> {
    query
        .split(|byte| *byte == b'&')
        .filter_map(|parameter| {
            let equals = parameter.iter().position(|byte| *byte == b'=')?;
            Some((parameter.get(..equals)?, parameter.get(equals + 1..)?))
        })
        .find(|(found, value)| !value.is_empty() && *decoded(found) == *name)
        .map(|(_, value)| decoded(value))
}

/// Decodes percent-encodings, and `+`, which stands for a space in the queries of forms. A `%` that begins no encoding
/// stays.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_compared_as_servers_read_them() {
        for (query, value) in [
            ("admin=1", Some("1")),
            ("%61dmin=%31", Some("1")),
            ("x=2&admin=&admin=a+b%2Bc&admin=3", Some("a b+c")),
            ("admin=100%", Some("100%")),
            ("admin=%+1%zz", Some("% 1%zz")),
            ("admin=a=b", Some("a=b")),
            ("admin", None),
            ("Admin=1", None),
            ("administrator=1", None),
            ("", None),
        ] {
            let found = find(query.as_bytes(), b"admin");
            assert_eq!(found.as_deref(), value.map(str::as_bytes), "{query}");
        }
        assert_eq!(find(b"a+b=1", b"a b").as_deref(), Some(&b"1"[..]));
    }
}

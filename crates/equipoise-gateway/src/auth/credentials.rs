use http::{HeaderMap, header::AUTHORIZATION};

use super::AuthFailure;

/// The part of `Authorization` after the name of the scheme, without spaces around it.
///
/// The scheme is compared without regard to case, and followed by at least one space (RFC 9110, section 11.4).
///
/// - `Ok(None)`: no field, or credentials of another scheme.
/// - `Err`: several fields, of which at least one is of this scheme. A backend could read another one of them than this
///   gateway.
///
/// The bytes are those of the client: they can be any that a field may have.
pub(crate) fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Result<Option<&'h [u8]>, AuthFailure> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = fields.next() else { return Ok(None) };
    let of_scheme = |value: &'h http::HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        let (name, after) = value.split_at_checked(scheme.len())?;
        let is_scheme = name.eq_ignore_ascii_case(scheme.as_bytes()) && matches!(after.first(), None | Some(b' '));
        is_scheme.then(|| after.trim_ascii())
    };
    let found = of_scheme(first);
    match fields.next() {
        None => Ok(found),
        Some(_) if headers.get_all(AUTHORIZATION).iter().any(|value| of_scheme(value).is_some()) => {
            Err(AuthFailure::invalid("several_fields"))
        }
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&'static str]) -> Result<Option<String>, &'static str> {
        let headers = lines.iter().map(|line| (AUTHORIZATION, HeaderValue::from_static(line))).collect();
        match authorization(&headers, "Bearer") {
            Ok(found) => Ok(found.map(|bytes| String::from_utf8_lossy(bytes).into_owned())),
            Err(AuthFailure::Invalid { reason, .. }) => Err(reason),
            Err(_) => Err("another failure"),
        }
    }

    #[test]
    fn the_scheme_is_compared_without_case() {
        for line in ["Bearer abc", "bearer abc", "BEARER   abc ", "bEaReR abc"] {
            assert_eq!(read(&[line]), Ok(Some("abc".into())), "{line:?}");
        }
        assert_eq!(read(&["Bearer"]), Ok(Some(String::new())));
        assert_eq!(read(&["Bearer  a b"]), Ok(Some("a b".into())));
        for line in ["", "Basic abc", "Bearerabc", "Bearer\tabc", "Bear", "Bearer2 abc", "Bearer, abc"] {
            assert_eq!(read(&[line]), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn several_fields_are_refused_if_one_is_of_the_scheme() {
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err("several_fields"));
        assert_eq!(read(&["Basic a", "Bearer b"]), Err("several_fields"));
        assert_eq!(read(&["Bearer a", ""]), Err("several_fields"));
        assert_eq!(read(&["Basic a", "Digest b"]), Ok(None));
        assert_eq!(read(&[]), Ok(None));
    }
}

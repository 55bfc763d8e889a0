use http::{HeaderMap, HeaderName, header::AUTHORIZATION};

use super::{AuthFailure, fields::is_reserved};

/// A field in which clients cannot send a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{field}` has a meaning of its own in requests, and cannot carry a secret: use `Authorization`, or a name of your own, \
     such as `X-API-Key`"
)]
#[non_exhaustive]
pub struct InvalidCredentialField {
    /// The name that was refused.
    pub field: HeaderName,
}

/// Checks that clients can send a secret in a field. A field with another meaning would be missing in the request to
/// the backend, and clients send it without a secret.
pub(super) fn check_field(field: HeaderName) -> Result<HeaderName, InvalidCredentialField> {
    let name = field.as_str();
    let is_known =
        ["accept-", "access-control-", "content-", "if-", "sec-"].iter().any(|start| name.starts_with(start))
            || matches!(
                name,
                "accept"
                    | "baggage"
                    | "cache-control"
                    | "date"
                    | "early-data"
                    | "from"
                    | "max-forwards"
                    | "origin"
                    | "pragma"
                    | "priority"
                    | "range"
                    | "referer"
                    | "traceparent"
                    | "tracestate"
                    | "upgrade-insecure-requests"
                    | "user-agent"
                    | "x-request-id"
                    | "x-requested-with"
            );
    let is_refused = field != AUTHORIZATION && (is_known || is_reserved(&field));
    if is_refused { Err(InvalidCredentialField { field }) } else { Ok(field) }
}

/// The part of `Authorization` after the name of the scheme, without spaces around it.
///
/// The scheme is compared without regard to case, and followed by at least one space (RFC 9110, section 11.4).
///
/// - `Ok(None)`: no field, or credentials of another scheme.
/// - `Err`: several fields, of which at least one is of this scheme, or one in which the scheme is not followed by a
///   space or not at the start. A backend could read it, or another field, while this gateway does not.
///
/// The bytes are those of the client: they can be any that a field may have.
pub(crate) fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Result<Option<&'h [u8]>, AuthFailure> {
    let mut fields = headers.get_all(AUTHORIZATION).iter().map(|value| value.as_bytes().trim_ascii());
    let Some(first) = fields.next() else { return Ok(None) };
    let found = of_scheme(first, scheme);
    match fields.next() {
        None => found,
        Some(second) => {
            let mut others = std::iter::once(second).chain(fields);
            let is_other = |field: &[u8]| matches!(of_scheme(field, scheme), Ok(None));
            match matches!(found, Ok(None)) && others.all(is_other) {
                true => Ok(None),
                false => Err(AuthFailure::invalid("several_fields")),
            }
        }
    }
}

/// Returns the credentials of one field, if they are of this scheme.
fn of_scheme<'h>(field: &'h [u8], scheme: &str) -> Result<Option<&'h [u8]>, AuthFailure> {
    if let Some(after) = after_name(field, scheme)
        && matches!(after.first(), None | Some(b' '))
    {
        return Ok(Some(after.trim_ascii()));
    }
    // Some servers remove more than spaces before the name, accept other characters after it, or read a list.
    let mut elements = field.split(|byte| matches!(byte, b',' | b';')).map(trim_to_token).enumerate();
    let is_malformed = elements.any(|(at, element)| match after_name(element, scheme).map(<[u8]>::first) {
        None => false,
        // Later, it is a parameter of another scheme.
        Some(Some(b'=')) => at == 0,
        Some(next) => !next.is_some_and(|byte| is_token(*byte)),
    });
    if is_malformed { Err(AuthFailure::invalid("malformed_credentials")) } else { Ok(None) }
}

fn after_name<'h>(field: &'h [u8], scheme: &str) -> Option<&'h [u8]> {
    let (name, after) = field.split_at_checked(scheme.len())?;
    name.eq_ignore_ascii_case(scheme.as_bytes()).then_some(after)
}

/// Removes the bytes at both ends that cannot be part of a token (RFC 9110, section 5.6.2).
pub(super) fn trim_to_token(mut bytes: &[u8]) -> &[u8] {
    while let Some((_, after)) = bytes.split_first().filter(|(first, _)| !is_token(**first)) {
        bytes = after;
    }
    while let Some((_, before)) = bytes.split_last().filter(|(last, _)| !is_token(**last)) {
        bytes = before;
    }
    bytes
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
        for line in
            ["", "Basic abc", "Bearerabc", "Bear", "Bearer2 abc", "bearer-x abc", "Digest a=\"b\", bearer=\"c\""]
        {
            assert_eq!(read(&[line]), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn a_form_that_another_server_could_take_for_the_scheme_is_malformed() {
        for line in [
            "Bearer\tabc",
            "Bearer:abc",
            "Bearer=abc",
            "bearer, abc",
            "Basic x, Bearer abc",
            "Basic x;bearer\tabc",
            "Basic x,Bearer",
            "\"Bearer abc\"",
            ":Bearer abc",
        ] {
            assert_eq!(read(&[line]), Err("malformed_credentials"), "{line:?}");
        }
        let nbsp = HeaderValue::from_bytes(b"\xa0Bearer abc").expect("a value");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, nbsp)]);
        assert!(authorization(&headers, "Bearer").is_err());
        assert!(matches!(authorization(&headers, "Basic"), Ok(None)));
    }

    #[test]
    fn several_fields_are_refused_if_one_is_of_the_scheme() {
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err("several_fields"));
        assert_eq!(read(&["Basic a", "Bearer b"]), Err("several_fields"));
        assert_eq!(read(&["Bearer a", ""]), Err("several_fields"));
        assert_eq!(read(&["Basic a", "Digest b", "Bearer:c"]), Err("several_fields"));
        assert_eq!(read(&["Basic a", "Digest b"]), Ok(None));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn fields_with_another_meaning_carry_no_secret() {
        for name in [
            "host",
            "cookie",
            "content-type",
            "accept",
            "accept-language",
            "user-agent",
            "if-match",
            "sec-fetch-site",
            "x-forwarded-for",
            "proxy-authorization",
            "connection",
        ] {
            let field = HeaderName::from_static(name);
            assert_eq!(check_field(field.clone()), Err(InvalidCredentialField { field }));
        }
        for name in ["authorization", "x-api-key", "apikey", "x-token"] {
            let field = HeaderName::from_static(name);
            assert_eq!(check_field(field.clone()), Ok(field));
        }
    }
}

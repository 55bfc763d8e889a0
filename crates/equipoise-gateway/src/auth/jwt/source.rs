use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};

use super::error::InvalidJwt;
use crate::auth::{
    AuthFailure,
    credentials::{authorization, check_field, trim_to_token},
    fields::{remove_all, remove_spellings},
};

/// Where the token of a request is. The first place that has one counts.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenSource {
    /// `None`: `Authorization` with the scheme `Bearer`.
    pub(super) field: Option<HeaderName>,
    pub(super) cookie: Option<Box<str>>,
}

/// The token of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'h> {
    pub(super) token: &'h [u8],
    pub(super) in_authorization: bool,
}

impl TokenSource {
    /// Refuses a text that is no name of a cookie, and a field that cannot carry a secret.
    pub(super) fn check(&self) -> Result<(), InvalidJwt> {
        self.field.clone().map(check_field).transpose()?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        match &self.cookie {
            Some(name) if name.is_empty() || !name.bytes().all(is_plain) => {
                Err(InvalidJwt::Cookie { name: name.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Returns the token. `None`: the request has none.
    pub(super) fn token<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Found<'h>>, AuthFailure> {
        let (token, in_authorization) = match (self.in_field(headers)?, &self.cookie) {
            (None, Some(name)) => (cookie(headers, name)?, false),
            (token, _) => (token, self.field.is_none()),
        };
        Ok(token.map(|token| Found { token, in_authorization }))
    }

    fn in_field<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h [u8]>, AuthFailure> {
        let Some(name) = &self.field else { return authorization(headers, "Bearer") };
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(AuthFailure::invalid("several_fields"));
        }
        Ok(first.map(|value| value.as_bytes().trim_ascii()))
    }

    /// Removes what a backend could read as a token, although it was not verified: other spellings of the field, and
    /// the cookie if the token is in a field.
    pub(super) fn remove_unread(&self, headers: &mut HeaderMap) {
        if let Some(name) = &self.field {
            remove_spellings(headers, name);
        }
        if !matches!(self.in_field(headers), Ok(None)) {
            self.remove_cookie(headers);
        }
    }

    /// Removes the token from a request. Other cookies stay.
    pub(super) fn remove(&self, headers: &mut HeaderMap) {
        match &self.field {
            Some(name) => remove_all(headers, std::slice::from_ref(name)),
            // Several fields, of which one is a token, count as tokens.
            None if !matches!(authorization(headers, "Bearer"), Ok(None)) => drop(headers.remove(AUTHORIZATION)),
            None => {}
        }
        self.remove_cookie(headers);
    }

    fn remove_cookie(&self, headers: &mut HeaderMap) {
        let Some(name) = &self.cookie else { return };
        if !cookies(headers).any(|cookie| may_be_named(cookie, name)) {
            return;
        }
        let kept: Vec<&[u8]> = cookies(headers).filter(|cookie| !may_be_named(cookie, name)).collect();
        match HeaderValue::from_bytes(&kept.join(&b"; "[..])) {
            Ok(mut value) if !value.is_empty() => {
                value.set_sensitive(true);
                headers.insert(COOKIE, value);
            }
            _ => drop(headers.remove(COOKIE)),
        }
    }
}

/// Returns the value of the one cookie of this name. Several ones are refused: another site of the same domain can add
/// a second one, and the backend could read the other one.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, AuthFailure> {
    let mut found = cookies(headers).filter(|cookie| may_be_named(cookie, name));
    let Some(first) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(AuthFailure::invalid("several_cookies"));
    }
    let value = first.strip_prefix(name.as_bytes()).and_then(|after| after.strip_prefix(b"="));
    value.map(Some).ok_or(AuthFailure::invalid("malformed_cookie"))
}

/// Returns the cookies of a request (RFC 6265, section 5.4): each with its name, if it has one, and its value.
/// O(length).
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let cookies = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    cookies.map(<[u8]>::trim_ascii).filter(|cookie| !cookie.is_empty())
}

/// Returns whether a server could read a cookie of this name. Some separate cookies also by `,`, and remove more than
/// spaces around names.
fn may_be_named(cookie: &[u8], name: &str) -> bool {
    cookie.split(|byte| *byte == b',').any(|part| {
        let end = part.iter().position(|byte| *byte == b'=');
        end.and_then(|end| part.get(..end)).is_some_and(|found| trim_to_token(found) == name.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        headers
    }

    fn read(source: &TokenSource, lines: &[(&'static str, &'static str)]) -> Result<Option<String>, &'static str> {
        match source.token(&headers(lines)) {
            Ok(found) => Ok(found.map(|found| String::from_utf8_lossy(found.token).into_owned())),
            Err(AuthFailure::Invalid { reason, .. }) => Err(reason),
            Err(_) => Err("another failure"),
        }
    }

    #[test]
    fn bearer_tokens_come_before_cookies() {
        let source = TokenSource { field: None, cookie: Some("jwt".into()) };
        assert_eq!(read(&source, &[("authorization", "Bearer a"), ("cookie", "jwt=b")]), Ok(Some("a".into())));
        assert_eq!(read(&source, &[("authorization", "Basic a"), ("cookie", "jwt=b")]), Ok(Some("b".into())));
        assert_eq!(read(&source, &[("authorization", "Bearer"), ("cookie", "jwt=b")]), Ok(Some(String::new())));
        assert_eq!(read(&source, &[("authorization", "Basic a")]), Ok(None));
        assert_eq!(read(&TokenSource::default(), &[("cookie", "jwt=b")]), Ok(None));
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(read(&source, &twice), Err("several_fields"));
    }

    #[test]
    fn a_cookie_is_found_among_others_and_must_be_the_only_one_of_its_name() {
        let source = TokenSource { field: None, cookie: Some("jwt".into()) };
        for line in ["jwt=b", "a=1; jwt=b", "jwt=b;a=1", " ; ;jwt=b ; x", "xjwt=c; jwt=b; jwt2=d; JWT=e"] {
            assert_eq!(read(&source, &[("cookie", line)]), Ok(Some("b".into())), "{line}");
        }
        assert_eq!(read(&source, &[("cookie", "a=1"), ("cookie", "jwt=a=b")]), Ok(Some("a=b".into())));
        for line in ["jwt", "a=jwt=b", "j=wt", "=jwt", "a=\"; jw=1", "a=1,b jwt=2", "jwt2=a,b"] {
            assert_eq!(read(&source, &[("cookie", line)]), Ok(None), "{line}");
        }
        assert_eq!(read(&source, &[("cookie", "jwt=a; jwt=a")]), Err("several_cookies"));
        assert_eq!(read(&source, &[("cookie", "jwt=a"), ("cookie", "jwt=")]), Err("several_cookies"));
    }

    #[test]
    fn a_cookie_that_another_server_could_take_for_the_token_is_malformed() {
        let source = TokenSource { field: None, cookie: Some("jwt".into()) };
        let sent = |line: &[u8]| HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(line).expect("a value"))]);
        for line in [&b"jwt =b"[..], b"a=1; jwt\t=b", b"a=b, jwt=c", b"a=b,jwt=c", b"\xa0jwt=b", b"\"jwt\"=b"] {
            let failure = source.token(&sent(line)).expect_err("malformed");
            assert!(matches!(failure, AuthFailure::Invalid { reason: "malformed_cookie", .. }), "{line:?}");
            let mut headers = sent(line);
            source.remove(&mut headers);
            assert!(matches!(source.token(&headers), Ok(None)), "{line:?}");
        }
        assert!(matches!(source.token(&sent(b"jwt=b; a=1, jwt=c")), Err(AuthFailure::Invalid { .. })));
    }

    #[test]
    fn a_field_of_ones_own_replaces_authorization() {
        let source = TokenSource { field: Some(HeaderName::from_static("x-token")), cookie: None };
        assert_eq!(read(&source, &[("x-token", " a "), ("authorization", "Bearer b")]), Ok(Some("a".into())));
        assert_eq!(read(&source, &[("authorization", "Bearer b")]), Ok(None));
        assert_eq!(read(&source, &[("x-token", "a"), ("x-token", "a")]), Err("several_fields"));
    }

    #[test]
    fn other_spellings_of_the_field_do_not_reach_the_backend() {
        let source = TokenSource { field: Some(HeaderName::from_static("x-token")), cookie: None };
        let sent = || headers(&[("x-token", "a"), ("x_token", "b"), ("x-tokens", "c")]);
        let mut forwarded = sent();
        source.remove_unread(&mut forwarded);
        assert_eq!(forwarded, headers(&[("x-token", "a"), ("x-tokens", "c")]));
        let mut removed = sent();
        source.remove(&mut removed);
        assert_eq!(removed, headers(&[("x-tokens", "c")]));
    }

    #[test]
    fn removing_a_token_leaves_other_credentials() {
        let source = TokenSource { field: None, cookie: Some("jwt".into()) };
        let mut sent = headers(&[("authorization", "bearer a"), ("cookie", "a=1; jwt=b"), ("cookie", "jwt=c;d")]);
        source.remove(&mut sent);
        assert_eq!(sent, headers(&[("cookie", "a=1; d")]));
        let mut sent = headers(&[("authorization", "Basic a"), ("cookie", "jwt=b")]);
        source.remove(&mut sent);
        assert_eq!(sent, headers(&[("authorization", "Basic a")]));
        let untouched = headers(&[("cookie", "a=1;b=2"), ("cookie", "c")]);
        let mut sent = untouched.clone();
        source.remove(&mut sent);
        assert_eq!(sent, untouched);
    }

    #[test]
    fn a_cookie_that_is_not_read_does_not_reach_the_backend() {
        let source = TokenSource { field: None, cookie: Some("jwt".into()) };
        for (lines, cookies) in [
            (vec![("authorization", "Bearer a"), ("cookie", "a=1; jwt=b")], Some("a=1")),
            (vec![("authorization", "Bearer a"), ("cookie", "jwt=b")], None),
            (vec![("cookie", "a=1; jwt=b")], Some("a=1; jwt=b")),
            (vec![("authorization", "Basic a"), ("cookie", "jwt=b")], Some("jwt=b")),
        ] {
            let mut sent = headers(&lines);
            source.remove_unread(&mut sent);
            assert_eq!(sent.get(COOKIE).map(|value| value.to_str().expect("ASCII")), cookies, "{lines:?}");
            assert_eq!(sent.get(AUTHORIZATION), headers(&lines).get(AUTHORIZATION));
        }
    }

    proptest! {
        #[test]
        fn no_cookies_make_it_panic(lines in proptest::collection::vec("[ ;,=ajwt\"]{0,12}", 0..3)) {
            let source = TokenSource { field: None, cookie: Some("jwt".into()) };
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::try_from(line).expect("a value"));
            }
            let _ = source.token(&headers);
            source.remove(&mut headers);
            prop_assert!(matches!(source.token(&headers), Ok(None)));
        }
    }
}

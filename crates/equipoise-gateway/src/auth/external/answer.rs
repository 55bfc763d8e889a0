use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE, WWW_AUTHENTICATE},
    response::Parts,
};

use crate::{
    Denial, Identity, Mechanism,
    auth::{AuthFailure, AuthResult, Authenticated, join_list},
};

/// What is read from the responses of the external service.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// The field with the name of the identity.
    pub(super) name: HeaderName,
    pub(super) attributes: Vec<(HeaderName, String)>,
    /// Fields of a response that allows the request, for the backend.
    pub(super) backend: Vec<HeaderName>,
    /// Fields of a response that denies the request, for the client.
    pub(super) denied: Vec<HeaderName>,
    /// Fields of a response that allows the request, for the client.
    pub(super) allowed: Vec<HeaderName>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            name: HeaderName::from_static("x-auth-user"),
            attributes: Vec::new(),
            backend: Vec::new(),
            denied: vec![WWW_AUTHENTICATE, SET_COOKIE, LOCATION],
            allowed: Vec::new(),
        }
    }
}

impl Reading {
    /// Returns what a response of the service decides.
    pub(super) fn decide(&self, response: &Parts) -> AuthResult {
        let status = response.status;
        if status.is_success() {
            return self.allow(&response.headers);
        }
        let (code, message) = match status {
            StatusCode::UNAUTHORIZED => ("unauthorized", "the request needs valid credentials"),
            StatusCode::FORBIDDEN => ("forbidden", "these credentials do not allow the request"),
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
                if response.headers.contains_key(LOCATION) && self.denied.contains(&LOCATION) =>
            {
                ("login_required", "the request needs a login")
            }
            _ => return Err(AuthFailure::unavailable(format!("the external service has responded with {status}"))),
        };
        let fields =
            self.denied.iter().flat_map(|name| response.headers.get_all(name).iter().map(move |value| (name, value)));
        let denial = Denial::new(status, code, message);
        Err(AuthFailure::denied(fields.fold(denial, |denial, (name, value)| denial.field(name.clone(), value.clone()))))
    }

    fn allow(&self, headers: &HeaderMap) -> AuthResult {
        let unreadable = |name: &HeaderName| {
            AuthFailure::unavailable(format!("the external service has sent a field `{name}` that is no single text"))
        };
        let mut names = headers.get_all(&self.name).iter();
        let name = match (names.next(), names.next()) {
            (None, _) => String::new(),
            (Some(name), None) => text(name).ok_or_else(|| unreadable(&self.name))?,
            (Some(_), Some(_)) => return Err(unreadable(&self.name)),
        };
        let mut identity = Identity::new(name, Mechanism::External);
        for (field, attribute) in &self.attributes {
            let values: Option<Vec<String>> = headers.get_all(field).iter().map(text).collect();
            let values = values.ok_or_else(|| unreadable(field))?;
            let value = match &values[..] {
                [] => continue,
                [value] => value.clone(),
                values => join_list(values),
            };
            identity = identity.attribute(attribute, value);
        }
        let mut authenticated = Authenticated::new(identity);
        for name in &self.backend {
            for value in headers.get_all(name) {
                authenticated = authenticated.field(name.clone(), value.clone());
            }
        }
        for name in &self.allowed {
            for value in headers.get_all(name) {
                authenticated = authenticated.response_field(name.clone(), value.clone());
            }
        }
        Ok(authenticated)
    }
}

fn text(value: &http::HeaderValue) -> Option<String> {
    Some(std::str::from_utf8(value.as_bytes()).ok()?.trim().to_owned())
}

/// Returns whether a response may be used for another request: it sets no cookie, and does not forbid it.
pub(super) fn is_reusable(response: &Parts) -> bool {
    let mut directives =
        response.headers.get_all(CACHE_CONTROL).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let forbids = |directive: &[u8]| {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"no-store") || name.eq_ignore_ascii_case(b"no-cache")
    };
    !response.headers.contains_key(SET_COOKIE) && !directives.any(forbids)
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn response(status: u16, fields: &[(&str, &str)]) -> Parts {
        let response = fields
            .iter()
            .fold(Response::builder().status(status), |response, (name, value)| response.header(*name, *value));
        response.body(()).expect("a response").into_parts().0
    }

    #[test]
    fn only_2xx_allows_and_what_is_unknown_is_unavailable() {
        let reading = Reading::default();
        for status in [200, 204, 299] {
            assert!(reading.decide(&response(status, &[])).is_ok(), "{status}");
        }
        for status in [101, 300, 302, 304, 400, 404, 407, 429, 500, 503] {
            let decided = reading.decide(&response(status, &[]));
            assert!(matches!(decided, Err(AuthFailure::Unavailable { .. })), "{status}");
        }
        for (status, code) in
            [(401, "unauthorized"), (403, "forbidden"), (302, "login_required"), (307, "login_required")]
        {
            let Err(AuthFailure::Denied(denial)) = reading.decide(&response(status, &[("location", "/login")])) else {
                panic!("{status} denies")
            };
            assert_eq!((denial.status().as_u16(), denial.code()), (status, code));
        }
    }

    #[test]
    fn clients_get_only_named_fields_of_a_denial() {
        let fields = [("www-authenticate", "Basic"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("server", "x")];
        let Err(AuthFailure::Denied(denial)) = Reading::default().decide(&response(401, &fields)) else {
            panic!("401 denies")
        };
        let response: Response<crate::ReplyBody<()>> = denial.respond(&http::Request::new(()), &Default::default());
        assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(response.headers()["www-authenticate"], "Basic");
        assert!(!response.headers().contains_key("server"));
    }

    #[test]
    fn the_identity_is_read_from_fields() {
        let field = HeaderName::from_static;
        let reading = Reading {
            name: field("remote-user"),
            attributes: vec![(field("remote-groups"), "groups".into()), (field("x-none"), "none".into())],
            backend: vec![field("x-token")],
            allowed: vec![SET_COOKIE],
            ..Reading::default()
        };
        let fields = [
            ("remote-user", "jörg"),
            ("remote-groups", "ops"),
            ("remote-groups", "a,b"),
            ("x-token", "t"),
            ("set-cookie", "s=1"),
            ("x-auth-user", "other"),
        ];
        let allowed = reading.decide(&response(200, &fields)).expect("allowed");
        let expected = Identity::new("jörg", Mechanism::External).attribute("groups", "ops,a%2Cb");
        assert_eq!(allowed.identity(), &expected);
        let text =
            |(name, value): (&HeaderName, &http::HeaderValue)| format!("{name}: {}", value.to_str().expect("ASCII"));
        assert_eq!(allowed.fields().map(text).collect::<Vec<_>>(), ["x-token: t"]);
        assert_eq!(allowed.response_fields().map(text).collect::<Vec<_>>(), ["set-cookie: s=1"]);

        let twice = reading.decide(&response(200, &[("remote-user", "a"), ("remote-user", "b")]));
        assert!(matches!(twice, Err(AuthFailure::Unavailable { .. })));
        assert_eq!(reading.decide(&response(200, &[])).expect("allowed").identity().name(), "");
    }

    #[test]
    fn cookies_and_directives_forbid_reuse() {
        assert!(is_reusable(&response(200, &[("cache-control", "max-age=5, private")])));
        for fields in
            [("cache-control", "private, No-Store"), ("cache-control", "no-cache=\"a\""), ("set-cookie", "a=1")]
        {
            assert!(!is_reusable(&response(200, &[fields])), "{fields:?}");
        }
    }
}

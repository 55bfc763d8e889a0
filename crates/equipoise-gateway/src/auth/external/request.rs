use bytes::Bytes;
use equipoise_affinity::source::ClientAddress;
use equipoise_proxy::{
    __private::{client_scheme, remove_where},
    headers::remove_hop_by_hop,
};
use equipoise_tower::RequestHead;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{
        ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST,
        RANGE, TRAILER, USER_AGENT,
    },
    uri::PathAndQuery,
};
use http_body_util::Full;

use crate::auth::fields::remove_all;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The fields that tell the service about the client's request.
const DESCRIPTION: [HeaderName; 7] = [
    X_ORIGINAL_METHOD,
    X_ORIGINAL_URI,
    X_FORWARDED_METHOD,
    X_FORWARDED_URI,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    X_FORWARDED_FOR,
];

/// How the request to the external service is made of the client's.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) uri: Uri,
    /// The path and the query of the client's request are added to the path of `uri`.
    pub(super) with_path: bool,
    pub(super) with_method: bool,
    /// `None`: all fields, except those of the connection and of the body.
    pub(super) fields: Option<Vec<HeaderName>>,
    pub(super) client: ClientAddress,
}

impl Template {
    pub(super) fn new(uri: Uri) -> Self {
        let fields = vec![ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, USER_AGENT, X_REQUEST_ID];
        let client = ClientAddress::connection();
        Self { uri, with_path: false, with_method: false, fields: Some(fields), client }
    }

    /// Returns the request to the service. `written` are the fields that the service sets: those of the client are not
    /// sent, unless they were named.
    pub(super) fn request(&self, head: RequestHead<'_>, written: &[HeaderName]) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.target(head.uri);
        *request.method_mut() = if self.with_method { head.method.clone() } else { Method::GET };
        let headers = request.headers_mut();
        match &self.fields {
            Some(names) => {
                for name in names {
                    for value in head.headers.get_all(name) {
                        headers.append(name, value.clone());
                    }
                }
            }
            None => copy_all(headers, head.headers, written),
        }
        self.describe(headers, head);
        request
    }

    fn target(&self, client: &Uri) -> Uri {
        if !self.with_path {
            return self.uri.clone();
        }
        let prefix = self.uri.path().strip_suffix('/').unwrap_or(self.uri.path());
        let mut parts = self.uri.clone().into_parts();
        let target = client.path_and_query().map_or("/", PathAndQuery::as_str);
        // Both are parts of valid URIs. `*` of OPTIONS is no path.
        let slash = if target.starts_with('/') { "" } else { "/" };
        let Ok(target) = PathAndQuery::try_from(format!("{prefix}{slash}{target}")) else { return self.uri.clone() };
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }

    /// Tells the service about the client's request. What the client has sent in these fields is replaced, unless the
    /// field was named, because then a proxy of yours has written it.
    fn describe(&self, headers: &mut HeaderMap, head: RequestHead<'_>) {
        let method = HeaderValue::from_str(head.method.as_str()).ok();
        let target = head.uri.path_and_query().and_then(|target| HeaderValue::from_str(target.as_str()).ok());
        let authority = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let client = self.client.of(head).and_then(|address| HeaderValue::try_from(address.to_string()).ok());
        let is_named = |name: &HeaderName| self.fields.as_ref().is_some_and(|names| names.contains(name));
        for (name, value) in [
            (X_ORIGINAL_METHOD, method.clone()),
            (X_ORIGINAL_URI, target.clone()),
            (X_FORWARDED_METHOD, method),
            (X_FORWARDED_URI, target),
            (X_FORWARDED_HOST, authority.or_else(|| head.headers.get(HOST).cloned())),
            (X_FORWARDED_PROTO, Some(HeaderValue::from_static(client_scheme(head.extensions)))),
            (X_FORWARDED_FOR, client),
        ] {
            match value {
                _ if is_named(&name) && headers.contains_key(&name) => {}
                Some(value) => drop(headers.insert(name, value)),
                None => drop(headers.remove(name)),
            }
        }
    }
}

/// Copies all fields of a client that mean the same in a request without a body.
fn copy_all(to: &mut HeaderMap, from: &HeaderMap, written: &[HeaderName]) {
    *to = from.clone();
    remove_hop_by_hop(to);
    for name in [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, RANGE, TRAILER] {
        to.remove(name);
    }
    let is_credential = |name: &HeaderName| *name == AUTHORIZATION || *name == COOKIE;
    remove_where(to, |name| name.as_str().starts_with("if-"));
    let written: Vec<HeaderName> = written.iter().filter(|name| !is_credential(name)).cloned().collect();
    remove_all(to, &written);
    // They are set afterwards. Here, spellings such as `X_Original_URI` go too.
    remove_all(to, &DESCRIPTION);
}

#[cfg(test)]
mod tests {
    use equipoise_affinity::source::PeerAddr;

    use super::*;

    fn client(uri: &str) -> Request<()> {
        let mut request = Request::put(uri)
            .header("host", "app.test")
            .header("authorization", "Bearer x")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("content-length", "5")
            .header("content-type", "text/plain")
            .header("connection", "close, x-named")
            .header("x-named", "1")
            .header("x-other", "1")
            .header("x-groups", "admin")
            .header("if-none-match", "\"a\"")
            .header("x-original-uri", "/public")
            .header("x_original_uri", "/public")
            .header("x_groups", "admin")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", "192.0.2.9")
            .body(())
            .expect("a request");
        request.extensions_mut().insert(PeerAddr("192.0.2.1:80".parse().expect("an address")));
        request
    }

    fn template(uri: &str) -> Template {
        Template::new(uri.parse().expect("a URI"))
    }

    fn fields(template: &Template, uri: &str, written: &[HeaderName]) -> Vec<String> {
        let request = template.request(RequestHead::of(&client(uri)), written);
        let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
        let mut fields: Vec<_> =
            request.headers().iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
        fields.sort();
        fields
    }

    #[test]
    fn the_service_gets_credentials_and_what_the_request_is() {
        let expected = [
            "authorization: Bearer x",
            "cookie: a=1",
            "cookie: b=2",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: app.test",
            "x-forwarded-method: PUT",
            "x-forwarded-proto: http",
            "x-forwarded-uri: /private?a=b",
            "x-original-method: PUT",
            "x-original-uri: /private?a=b",
        ];
        assert_eq!(fields(&template("/auth"), "/private?a=b", &[]), expected);
    }

    #[test]
    fn all_fields_are_those_without_connection_and_body() {
        let mut all = template("/auth");
        all.fields = None;
        let written = [HeaderName::from_static("x-groups"), AUTHORIZATION];
        let sent = fields(&all, "/", &written);
        assert!(sent.contains(&"x-other: 1".to_owned()) && sent.contains(&"authorization: Bearer x".to_owned()));
        for name in ["content-", "host:", "connection:", "x-named", "x-groups", "x_groups", "if-none-match", "x_"] {
            assert!(!sent.iter().any(|field| field.starts_with(name)), "{name} {sent:?}");
        }
        assert!(sent.contains(&"x-forwarded-proto: http".to_owned()), "{sent:?}");
    }

    #[test]
    fn fields_of_a_proxy_are_passed_on_if_they_are_named() {
        let mut named = template("/auth");
        named.fields = Some(vec![X_FORWARDED_PROTO, X_FORWARDED_FOR]);
        let sent = fields(&named, "/", &[]);
        assert!(sent.contains(&"x-forwarded-proto: https".to_owned()), "{sent:?}");
        assert!(sent.contains(&"x-forwarded-for: 192.0.2.9".to_owned()), "{sent:?}");
    }

    #[test]
    fn the_target_is_that_of_the_service() {
        let target = |template: &Template, uri: &str| {
            let request = template.request(RequestHead::of(&client(uri)), &[]);
            format!("{} {}", request.method(), request.uri())
        };
        assert_eq!(target(&template("/auth?x=1"), "/private"), "GET /auth?x=1");
        assert_eq!(target(&template("http://auth.test/a"), "http://app.test/private"), "GET http://auth.test/a");
        let mut copied = template("http://auth.test/check/");
        (copied.with_path, copied.with_method) = (true, true);
        assert_eq!(target(&copied, "/private/%2e?a=//"), "PUT http://auth.test/check/private/%2e?a=//");
        assert_eq!(target(&copied, "http://app.test"), "PUT http://auth.test/check/");
        assert_eq!(target(&copied, "*"), "PUT http://auth.test/check/*");
    }
}

mod keys;
mod query;

use std::{fmt, time::SystemTime};

use equipoise_tower::RequestHead;
use http::{HeaderName, HeaderValue, header::AUTHORIZATION, request::Parts};

pub use self::keys::{ApiKeys, GeneratedKey, InvalidApiKeys};
use super::{
    AuthFailure, AuthFuture, Authenticate, Authenticated, InvalidCredentialField, Live, Realm,
    credentials::{authorization, check_field},
    fields::{remove_all, remove_spellings},
    realm::quoted,
};
use crate::Mechanism;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Authentication by API keys: secrets that clients send with each request.
///
/// The [`ApiKeys`] can be [replaced](Live::replace) while requests are served.
///
/// The key is removed from requests that are passed on, unless [`forward_credentials`](Self::forward_credentials) keeps
/// it. A key of more than 512 bytes is not valid, and neither are several keys in one request. A verification takes one
/// SHA-256 (below 1 µs).
///
/// ```
/// use equipoise_gateway::auth::{ApiKey, ApiKeys, AuthLayer};
///
/// let keys: ApiKeys = "reports:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".parse()?;
/// let layer = AuthLayer::new(ApiKey::header(keys));
/// # drop(layer);
/// # Ok::<(), equipoise_gateway::auth::InvalidApiKeys>(())
/// ```
#[derive(Clone)]
pub struct ApiKey {
    keys: Live<ApiKeys>,
    place: Place,
    forward: bool,
}

/// Where clients send the key.
#[derive(Clone, Debug)]
enum Place {
    Header(HeaderName),
    Bearer,
    Query(Box<str>),
}

impl ApiKey {
    /// Reads keys from the field `X-API-Key`. Use [`header_named`](Self::header_named) for another one.
    #[must_use]
    pub fn header(keys: impl Into<Live<ApiKeys>>) -> Self {
        Self::of(Place::Header(X_API_KEY), keys)
    }

    /// Reads keys from a field of this name, whose whole value is the key.
    ///
    /// # Errors
    ///
    /// [`InvalidCredentialField`] for a field with another meaning, such as `Host` or `Cookie`.
    pub fn header_named(name: HeaderName, keys: impl Into<Live<ApiKeys>>) -> Result<Self, InvalidCredentialField> {
        Ok(Self::of(Place::Header(check_field(name)?), keys))
    }

    /// Reads keys from `Authorization: Bearer` (RFC 6750). A token that is not in the list of keys is not removed from
    /// requests which another scheme accepts, because it may be a token for the backend.
    #[must_use]
    pub fn bearer(keys: impl Into<Live<ApiKeys>>) -> Self {
        Self::of(Place::Bearer, keys)
    }

    /// Reads keys from a parameter of the query, such as `api_key`. The name is compared with the decoded names of the
    /// query, with regard to case.
    ///
    /// Prefer a field: URIs are stored in histories, access logs and `Referer`. Layers around this one, and their logs,
    /// see the URI with the key. The key is removed from the URI that is passed on. An
    /// [external service](crate::auth::External) that is asked beside this scheme gets the URI as it came, with the key
    /// or a mistyped one.
    #[must_use]
    pub fn query(parameter: impl Into<Box<str>>, keys: impl Into<Live<ApiKeys>>) -> Self {
        Self::of(Place::Query(parameter.into()), keys)
    }

    fn of(place: Place, keys: impl Into<Live<ApiKeys>>) -> Self {
        Self { keys: keys.into(), place, forward: false }
    }

    /// Sets whether the backend gets the key of the client. Default: false.
    #[must_use]
    pub fn forward_credentials(mut self, forward: bool) -> Self {
        self.forward = forward;
        self
    }

    fn decide(&self, head: RequestHead<'_>, now: SystemTime) -> Result<Authenticated, AuthFailure> {
        let find = |key: &[u8]| self.keys.read(|keys| keys.find(key, now).cloned().map(Authenticated::new));
        match &self.place {
            Place::Header(name) => {
                let mut fields = head.headers.get_all(name).iter();
                match (fields.next(), fields.next()) {
                    (None, _) => Err(AuthFailure::Missing),
                    (Some(key), None) => find(key.as_bytes().trim_ascii()),
                    (Some(_), Some(_)) => Err(AuthFailure::invalid("several_fields")),
                }
            }
            Place::Bearer => {
                let key = authorization(head.headers, "Bearer")?.ok_or(AuthFailure::Missing)?;
                find(key).map_err(|failure| match failure {
                    AuthFailure::Invalid { reason, .. } => {
                        AuthFailure::invalid_with(reason, HeaderValue::from_static("Bearer error=\"invalid_token\""))
                    }
                    failure => failure,
                })
            }
            Place::Query(parameter) => {
                let Some(query) = head.uri.query() else { return Err(AuthFailure::Missing) };
                let mut values = query::values(query, parameter);
                match (values.next(), values.next()) {
                    (None, _) => Err(AuthFailure::Missing),
                    (Some(key), None) => find(&key),
                    (Some(_), Some(_)) => Err(AuthFailure::invalid("several_parameters")),
                }
            }
        }
    }
}

impl Authenticate for ApiKey {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        AuthFuture::ready(self.decide(head, SystemTime::now()))
    }

    /// `Bearer` for keys in `Authorization`. For others, no scheme is registered: `ApiKey`, with the place as a
    /// parameter.
    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        Some(match &self.place {
            Place::Bearer => realm.challenge("Bearer"),
            Place::Header(name) => realm.challenge_with("ApiKey", &format!("header={}", quoted(name.as_str()))),
            Place::Query(name) => realm.challenge_with("ApiKey", &format!("query={}", quoted(name))),
        })
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        if self.forward {
            // Another spelling was not verified.
            if let Place::Header(name) = &self.place {
                remove_spellings(&mut parts.headers, name);
            }
            return;
        }
        match &self.place {
            Place::Header(name) => remove_all(&mut parts.headers, std::slice::from_ref(name)),
            Place::Bearer => {
                // Tokens of another scheme are in the same field, and may be for the backend.
                let is_known = match authorization(&parts.headers, "Bearer") {
                    Ok(key) => key.is_some_and(|key| self.keys.read(|keys| keys.contains(key))),
                    Err(_) => true,
                };
                if is_known {
                    parts.headers.remove(AUTHORIZATION);
                }
            }
            Place::Query(parameter) => query::remove(&mut parts.uri, parameter),
        }
    }

    fn mechanism(&self) -> Mechanism {
        Mechanism::ApiKey
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("keys", &self.keys).field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// `printf %s secret | sha256sum`.
    const SECRET: &str = "a:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn keys() -> ApiKeys {
        SECRET.parse().expect("keys")
    }

    fn decided(scheme: &ApiKey, uri: &str, fields: &[(&str, &str)]) -> Result<String, &'static str> {
        let request = fields.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        match scheme.decide(RequestHead::of(&request.body(()).expect("a request")), SystemTime::UNIX_EPOCH) {
            Ok(authenticated) => Ok(authenticated.identity().name().to_owned()),
            Err(AuthFailure::Missing) => Err("missing"),
            Err(AuthFailure::Invalid { reason, .. }) => Err(reason),
            Err(_) => Err("another failure"),
        }
    }

    fn forwarded(scheme: &ApiKey, uri: &str, fields: &[(&str, &str)]) -> String {
        let request = fields.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        scheme.remove_credentials(&mut parts);
        format!("{} {:?}", parts.uri, parts.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_read_from_a_field() {
        let scheme = ApiKey::header(keys());
        let decided = |fields: &[(&str, &str)]| decided(&scheme, "/?x-api-key=secret", fields);
        assert_eq!(decided(&[("X-Api-Key", "secret")]), Ok("a".into()));
        assert_eq!(decided(&[("authorization", "Bearer secret"), ("x_api_key", "secret")]), Err("missing"));
        assert_eq!(decided(&[("x-api-key", "")]), Err("malformed_key"));
        assert_eq!(decided(&[("x-api-key", "secret2")]), Err("unknown_key"));
        assert_eq!(decided(&[("x-api-key", "secret"), ("x-api-key", "secret")]), Err("several_fields"));
        assert_eq!(forwarded(&scheme, "/", &[("x-api-key", "a"), ("x_api_key", "a"), ("x-a", "b")]), "/ [\"x-a\"]");
        assert_eq!(
            scheme.challenge(&Realm::default()).expect("a challenge"),
            r#"ApiKey realm="gateway", header="x-api-key""#
        );
    }

    #[test]
    fn a_field_of_ones_own_can_have_the_key() {
        let named = |name| ApiKey::header_named(HeaderName::from_static(name), keys());
        let scheme = named("x-token").expect("a field");
        assert_eq!(decided(&scheme, "/", &[("x-token", "secret")]), Ok("a".into()));
        let kept = scheme.forward_credentials(true);
        assert_eq!(forwarded(&kept, "/", &[("x-token", "secret"), ("x_token", "other")]), "/ [\"x-token\"]");
        assert!(named("host").is_err());
    }

    #[test]
    fn keys_are_read_from_bearer() {
        let scheme = ApiKey::bearer(keys());
        let decided = |value: &str| decided(&scheme, "/", &[("authorization", value)]);
        assert_eq!(decided("bearer secret"), Ok("a".into()));
        assert_eq!(decided("Bearer"), Err("malformed_key"));
        assert_eq!(decided("Bearer secret secret"), Err("unknown_key"));
        assert_eq!(decided("Basic secret"), Err("missing"));
        assert_eq!(forwarded(&scheme, "/", &[("authorization", "Bearer secret")]), "/ []");
        let twice = [("authorization", "Bearer x"), ("authorization", "Bearer secret")];
        assert_eq!(forwarded(&scheme, "/", &twice), "/ []");
        for value in ["Basic secret", "Bearer x"] {
            assert_eq!(forwarded(&scheme, "/", &[("authorization", value)]), "/ [\"authorization\"]", "{value}");
        }
        let kept = scheme.clone().forward_credentials(true);
        assert_eq!(forwarded(&kept, "/", &[("authorization", "Bearer secret")]), "/ [\"authorization\"]");
    }

    #[test]
    fn keys_are_read_from_the_query_and_removed_from_it() {
        let scheme = ApiKey::query("api_key", keys());
        let decided = |uri: &str| decided(&scheme, uri, &[]);
        assert_eq!(decided("/?a=b&api%5Fkey=se%63ret"), Ok("a".into()));
        for uri in ["/", "/?", "/?api-key=secret", "/?API_KEY=secret", "/?a=b;api_key=secret"] {
            assert_eq!(decided(uri), Err("missing"), "{uri}");
        }
        assert_eq!(decided("/?api_key"), Err("malformed_key"));
        assert_eq!(decided("/?api_key=secret&api_key=secret"), Err("several_parameters"));
        assert_eq!(forwarded(&scheme, "/p?a=%20&api_key=x&api%5fkey=y&b", &[]), "/p?a=%20&b []");
        assert_eq!(forwarded(&scheme, "http://a.test/p?api_key=x", &[]), "http://a.test/p []");
        assert_eq!(forwarded(&scheme, "/p?a&&=", &[]), "/p?a&&= []");
    }

    #[test]
    fn keys_are_replaced_while_requests_are_served() {
        let live = Live::new(ApiKeys::default());
        let scheme = ApiKey::header(live.clone());
        let fields = [("x-api-key", "secret")];
        assert_eq!(decided(&scheme, "/", &fields), Err("unknown_key"));
        live.replace(keys());
        assert_eq!(decided(&scheme, "/", &fields), Ok("a".into()));
        assert!(!format!("{scheme:?}").contains("2bb8"));
    }
}

use std::{fmt, sync::Arc};

use equipoise_core::__private::guarded;
use equipoise_proxy::headers::ConnectionInfo;
use http::{HeaderMap, HeaderName, Request, Uri, header::HOST};

use super::{
    query::{Parameters, QueryPolicy},
    store::Key,
};
use crate::Identity;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// See [`KeyPolicy::has_override`].
const OVERRIDES: [&str; 7] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-host",
];

/// What the cache tells apart: which requests may get the same stored response.
///
/// The key is always made of the scheme, the host, the path and the query. The scheme is the one in
/// `X-Forwarded-Proto`, which a [`ReverseProxy`](equipoise_proxy::ReverseProxy) sets, or else that of the URI or of the
/// connection. The host is in lower case, without the default port of the scheme. A request whose host is written in
/// another way, such as `Example.com` or `example.com:443`, is not cached: the backend may answer it differently. The
/// path is compared byte by byte as it is forwarded: `/a%2Fb`, `/a%2fb` and `/a//b` are different keys, so a difference
/// between the cache and the backend in how paths are normalized cannot poison another path.
///
/// Parameters that the key ignores are not forwarded either, unless [`forward_ignored`](Self::forward_ignored) is set.
///
/// Other fields of the request are not part of the key, unless the response names them in `Vary`. If the backend puts
/// an unkeyed field into its responses, such as `X-Forwarded-Host`, a client can poison the cache with it. A
/// `ReverseProxy` replaces `X-Forwarded-*`; remove other such fields, or add them with [`field`](Self::field). The
/// responses to requests with `X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Method-Override`, `X-Original-URL`,
/// `X-Rewrite-URL`, `X-Original-Host` or `X-Host` are not stored, unless the field was added: many frameworks take the
/// method, the path or the host from them.
///
/// ```
/// use equipoise_gateway::cache::KeyPolicy;
/// use http::header::HeaderName;
///
/// let key = KeyPolicy::new()
///     .without_parameters(["utm_source", "utm_medium", "fbclid"])
///     .sorted_query()
///     .field(HeaderName::from_static("x-tenant"));
/// # drop(key);
/// ```
#[derive(Clone, Default)]
pub struct KeyPolicy {
    query: QueryPolicy,
    fields: Vec<HeaderName>,
    per_identity: bool,
    part: Option<Arc<PartFn>>,
}

type PartFn = dyn Fn(&HeaderMap, &Uri) -> Option<String> + Send + Sync;

impl KeyPolicy {
    /// Creates the default policy: the whole query as it is, no other fields, one response for all identities.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ignores the query, and forwards requests without it: see [`forward_ignored`](Self::forward_ignored). Default: the
    /// whole query counts.
    #[must_use]
    pub fn without_query(mut self) -> Self {
        self.query.counts = Parameters::None;
        self
    }

    /// Ignores these parameters of the query, compared as they are written, and forwards requests without them: see
    /// [`forward_ignored`](Self::forward_ignored). Replaces another choice of parameters. Default: all count.
    ///
    /// A parameter with a `;` always counts, because some backends read it as two: in `utm=x;id=2` it could hide
    /// another one.
    #[must_use]
    pub fn without_parameters(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.query.counts = Parameters::Without(names.into_iter().map(Into::into).collect());
        self
    }

    /// Ignores all parameters of the query except for these, and forwards requests without the ignored ones: see
    /// [`forward_ignored`](Self::forward_ignored). Replaces another choice of parameters. Default: all count.
    ///
    /// A parameter that a backend may read as one of these counts too: with a `;`, with the same name in another case,
    /// or with a name that has other characters than letters, digits, `-` and `_`, such as `%69d` for `id`.
    #[must_use]
    pub fn only_parameters(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.query.counts = Parameters::Only(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets whether the backend gets the parameters that are ignored. If it does, its responses must not contain them, not
    /// even in a link or in `Location`: otherwise one client chooses what all others get. The backend cannot use them for
    /// statistics in any case, because requests that are answered from the store do not reach it. Requests that the
    /// cache does not look up, such as those with another method or with a body, are forwarded with them. Default: false.
    #[must_use]
    pub fn forward_ignored(mut self, forward: bool) -> Self {
        self.query.forwards_ignored = forward;
        self
    }

    /// Ignores the order of the parameters; those with the same name keep theirs. Default: the order counts.
    #[must_use]
    pub fn sorted_query(mut self) -> Self {
        self.query.sorted = true;
        self
    }

    /// Adds the values of a request field. Default: none.
    #[must_use]
    pub fn field(mut self, name: HeaderName) -> Self {
        self.fields.push(name);
        self
    }

    /// Adds the [`Identity`] of the client, so each identity has its own responses. Then responses to authenticated
    /// requests are stored without `public`, because no other client can get them. Default: not added, and such
    /// responses are stored only if they allow it (RFC 9111, 3.5).
    ///
    /// The whole identity counts: its mechanism, its name and all its attributes, such as a tenant or the scopes of a
    /// token. What else the backend learns counts too: the claims of a token that it gets (except `exp`, `iat`, `jti`
    /// and `nbf`), other credentials in `Authorization`, and the fields that schemes of the authentication write. Cookies
    /// and other fields of the client do not count, unless the response names them in `Vary`. An identity with an empty
    /// name does not tell clients apart: its requests are not cached.
    ///
    /// A request with `Authorization` and without an [`Identity`] is treated as without this setting.
    #[must_use]
    pub fn per_identity(mut self) -> Self {
        self.per_identity = true;
        self
    }

    /// Adds what a closure returns for the fields and the URI of a request. The URI has only the parameters that are
    /// [forwarded](Self::forward_ignored). If the closure returns `None` or panics, the request is not cached. Default:
    /// nothing.
    #[must_use]
    pub fn part(mut self, part: impl Fn(&HeaderMap, &Uri) -> Option<String> + Send + Sync + 'static) -> Self {
        self.part = Some(Arc::new(part));
        self
    }

    pub(super) fn is_per_identity(&self) -> bool {
        self.per_identity
    }

    /// The URL of a request in the form of keys. `None` if the request has no host, or a scheme other than HTTP's.
    pub(super) fn url_of<B>(&self, request: &Request<B>) -> Option<String> {
        let forwarded = request.headers().get(X_FORWARDED_PROTO).map(|value| value.as_bytes().trim_ascii());
        let scheme = match forwarded {
            Some(text) if text.eq_ignore_ascii_case(b"https") => "https",
            Some(text) if text.eq_ignore_ascii_case(b"http") => "http",
            Some(_) => return None,
            None => match request.uri().scheme_str() {
                Some("https") => "https",
                Some(_) => "http",
                None if request.extensions().get().is_some_and(ConnectionInfo::is_tls) => "https",
                None => "http",
            },
        };
        self.url(scheme, host_of(request)?, request.uri())
    }

    /// Whether the request has a field in which many frameworks read the method, the path or the host, and which is not
    /// a part of the key.
    pub(super) fn has_override(&self, headers: &HeaderMap) -> bool {
        let of_key = |name: &str| self.fields.iter().any(|field| field == name);
        OVERRIDES.into_iter().any(|name| headers.contains_key(name) && !of_key(name))
    }

    /// The key of a request. `None` if it cannot be cached: it has no [URL](Self::url_of), the key is too long, it must
    /// differ by identity and the identity has no name, or the closure of [`part`](Self::part) says so.
    pub(super) fn of<B>(&self, request: &Request<B>) -> Option<Key> {
        let url = self.url_of(request)?;
        if !has_host(&url, host_of(request)?) {
            return None;
        }
        let mut extra = Vec::new();
        for name in &self.fields {
            for value in request.headers().get_all(name) {
                append(&mut extra, b'f', value.as_bytes());
            }
            extra.push(b';');
        }
        if self.per_identity
            && let Some(identity) = request.extensions().get::<Identity>()
        {
            if identity.name().is_empty() {
                return None;
            }
            append(&mut extra, b'm', identity.mechanism().as_str().as_bytes());
            append(&mut extra, b'i', identity.name().as_bytes());
            append(&mut extra, b'o', identity.other_schemes().as_bytes());
            for (name, value) in identity.attributes() {
                append(&mut extra, b'a', name.as_bytes());
                append(&mut extra, b'v', value.as_bytes());
            }
            append(&mut extra, b'd', identity.distinction());
        }
        if let Some(part) = &self.part {
            // The backend gets nothing else.
            let forwarded = self.forwarded_uri(request.uri());
            let uri = forwarded.as_ref().unwrap_or(request.uri());
            let text = guarded(|| part(request.headers(), uri)).flatten()?;
            append(&mut extra, b'p', text.as_bytes());
        }
        Key::of(url, extra)
    }

    /// The URL of a key. `None` if the host is not one.
    pub(super) fn url(&self, scheme: &str, host: &str, uri: &Uri) -> Option<String> {
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        if host.is_empty() || host.bytes().any(|byte| matches!(byte, b'/' | b'?' | b'#' | b'@' | b'\\') || byte <= b' ')
        {
            return None;
        }
        let path = uri.path();
        let query = uri.query();
        // Exactly what is written if the whole query counts, so that the key keeps this memory as it is.
        let len = scheme.len() + 3 + host.len() + path.len().max(1) + query.map_or(0, |query| query.len() + 1);
        let mut url = String::with_capacity(len);
        url.push_str(scheme);
        url.push_str("://");
        let at = url.len();
        url.push_str(host);
        url[at..].make_ascii_lowercase();
        url.push_str(if path.is_empty() { "/" } else { path });
        if let Some(query) = query {
            self.query.append(query, &mut url);
        }
        Some(url)
    }

    /// The URI with which a request is forwarded, if it is another one.
    pub(super) fn forwarded_uri(&self, uri: &Uri) -> Option<Uri> {
        self.query.forwarded(uri)
    }
}

/// The host of a request. Within a proxy, both places have the same one.
fn host_of<B>(request: &Request<B>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST)?.to_str().ok(),
    }
}

/// Whether a URL of a key has exactly this host.
fn has_host(url: &str, host: &str) -> bool {
    let rest = url.split_once("://").and_then(|(_, rest)| rest.strip_prefix(host));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Appends a part with its length, so that different parts cannot make the same bytes.
fn append(extra: &mut Vec<u8>, kind: u8, part: &[u8]) {
    extra.push(kind);
    extra.extend_from_slice(&(part.len() as u64).to_be_bytes());
    extra.extend_from_slice(part);
}

impl fmt::Debug for KeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPolicy")
            .field("query", &self.query)
            .field("fields", &self.fields)
            .field("per_identity", &self.per_identity)
            .field("part", &self.part.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mechanism;

    fn request(uri: &str) -> Request<()> {
        Request::get(uri).header(HOST, "example.com").body(()).expect("a request")
    }

    fn url(policy: &KeyPolicy, uri: &str) -> String {
        policy.of(&request(uri)).expect("a key").url().to_owned()
    }

    #[test]
    fn the_url_has_a_normal_host_and_the_exact_path() {
        let policy = KeyPolicy::new();
        assert_eq!(url(&policy, "/a%2Fb//c?x=1&a=2"), "http://example.com/a%2Fb//c?x=1&a=2");
        for (uri, url, is_cached) in [
            ("https://a.example/", "https://a.example/", true),
            ("https://a.example:80/", "https://a.example:80/", true),
            ("https://A.example/", "https://a.example/", false),
            ("https://a.example:443/", "https://a.example/", false),
        ] {
            // A backend may answer another form of the host differently. Purges know all forms.
            assert_eq!(policy.url_of(&request(uri)).as_deref(), Some(url));
            assert_eq!(policy.of(&request(uri)).is_some(), is_cached, "{uri}");
        }
    }

    #[test]
    fn the_scheme_is_the_forwarded_one() {
        let mut tls = request("/");
        tls.headers_mut().insert(X_FORWARDED_PROTO, "https".parse().expect("a value"));
        assert_eq!(KeyPolicy::new().of(&tls).expect("a key").url(), "https://example.com/");
        tls.headers_mut().insert(X_FORWARDED_PROTO, "https, http".parse().expect("a value"));
        assert_eq!(KeyPolicy::new().of(&tls), None);
    }

    #[test]
    fn a_part_comes_from_what_the_backend_gets() {
        let policy = KeyPolicy::new().without_query().part(|_, uri| Some(uri.query().unwrap_or("none").to_owned()));
        assert_eq!(policy.of(&request("/?lang=de")), policy.of(&request("/")));
        let forwarding = policy.forward_ignored(true);
        assert_ne!(forwarding.of(&request("/?lang=de")), forwarding.of(&request("/")));
    }

    #[test]
    fn identities_and_fields_are_parts_of_their_own() {
        let policy = KeyPolicy::new().per_identity().field(HeaderName::from_static("x-a"));
        let mut keys = std::collections::HashSet::new();
        for name in ["a", "b", "c"] {
            for value in [None, Some("a"), Some("")] {
                let mut request = request("/");
                request.extensions_mut().insert(Identity::new(name, Mechanism::Basic));
                if let Some(value) = value {
                    request.headers_mut().insert("x-a", value.parse().expect("a value"));
                }
                keys.insert(policy.of(&request).expect("a key"));
            }
        }
        assert_eq!(keys.len(), 9);
    }

    #[test]
    fn identities_with_other_attributes_have_other_keys() {
        let policy = KeyPolicy::new().per_identity();
        let user = || Identity::new("a", Mechanism::Jwt);
        let identities = [
            user(),
            user().attribute("tenant", "x"),
            user().attribute("tenant", "y"),
            user().attribute("tenant", "x").attribute("scope", "admin"),
            user().attribute("tenan", "tx"),
            user().and_other_schemes("basic:b"),
            Identity::new("a", Mechanism::Basic),
        ];
        let keys: std::collections::HashSet<_> = identities
            .iter()
            .map(|identity| {
                let mut request = request("/");
                request.extensions_mut().insert(identity.clone());
                policy.of(&request).expect("a key")
            })
            .collect();
        assert_eq!(keys.len(), identities.len());
    }

    #[test]
    fn an_identity_without_a_name_is_not_cached_per_identity() {
        let mut request = request("/");
        request.extensions_mut().insert(Identity::new("", Mechanism::External));
        assert_eq!(KeyPolicy::new().per_identity().of(&request), None);
        assert!(KeyPolicy::new().of(&request).is_some());
    }

    #[test]
    fn a_host_that_is_none_is_not_cached() {
        let mut request = request("/");
        request.headers_mut().insert(HOST, "a/b".parse().expect("a value"));
        assert_eq!(KeyPolicy::new().of(&request), None);
        request.headers_mut().remove(HOST);
        assert_eq!(KeyPolicy::new().of(&request), None);
    }
}

use std::sync::Arc;

use equipoise_affinity::key::SessionKey;
use equipoise_tower::RequestHead;
use http::{HeaderValue, Method};

use super::{
    candidates::Keyed,
    host::HostPattern,
    mirror::Mirror,
    path::PathPattern,
    query,
    redirect::{Redirect, check_path},
    split::Split,
};
use crate::headers::{HostRule, is_unusual};

/// A route: which requests it gets, and where it leads. See the [module](super) for the order of routes.
///
/// Each condition restricts the route further, and all must be met. Hosts and methods that are added more than once are
/// alternatives. Invalid conditions are refused by [`Routes::new`](super::Routes::new).
///
/// The name of a route is for logs, metrics and error messages.
#[derive(Clone, Debug)]
pub struct Route<T> {
    pub(super) name: Arc<str>,
    pub(super) action: Action<T>,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) path: PathPattern,
    methods: Vec<Method>,
    conditions: Vec<Condition>,
    pub(super) new_prefix: Option<String>,
    pub(super) new_host: Option<HostRule>,
    pub(super) mirror: Option<Mirror<T>>,
    /// The first thing that is wrong with this route.
    wrong: Option<RouteError>,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub(super) enum Action<T> {
    Service(Split<T>),
    Redirect(Redirect),
}

/// A part of a request, and the value that it must have. `None` stands for any value.
#[derive(Clone, Debug)]
struct Condition {
    /// The kind and name of the part, unless it is one of [`Route::when`].
    name: Option<(&'static str, String)>,
    key: SessionKey,
    value: Option<Box<[u8]>>,
}

impl Condition {
    fn is_met(&self, head: RequestHead<'_>) -> bool {
        match (self.key.of(head).found(), &self.value) {
            (Some(found), Some(value)) => *found == **value,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        }
    }
}

/// Why the empty value is refused.
const EMPTY: &str = "an empty value counts as missing, so no request has it; use another value";

impl<T> Route<T> {
    /// Creates a route that leads to one service.
    pub fn to(name: impl AsRef<str>, service: T) -> Self {
        Self::new(name.as_ref(), Action::Service(Split::single(service)))
    }

    /// Creates a route that leads to one of several services by weight.
    pub fn split(name: impl AsRef<str>, services: Split<T>) -> Self {
        Self::new(name.as_ref(), Action::Service(services.for_route(name.as_ref())))
    }

    /// Creates a route that answers with a redirect.
    pub fn redirect(name: impl AsRef<str>, redirect: Redirect) -> Self {
        Self::new(name.as_ref(), Action::Redirect(redirect))
    }

    fn new(name: &str, action: Action<T>) -> Self {
        Self {
            name: name.into(),
            action,
            hosts: Vec::new(),
            path: PathPattern::any(),
            methods: Vec::new(),
            conditions: Vec::new(),
            new_prefix: None,
            new_host: None,
            mirror: None,
            wrong: None,
        }
    }

    /// Adds a host: `app.test` for this host, or `*.app.test` for all hosts below it (but not `app.test` itself). Ports
    /// are ignored, and so is upper and lower case. Default: any host.
    #[must_use]
    pub fn host(mut self, pattern: impl AsRef<str>) -> Self {
        match HostPattern::parse(pattern.as_ref()) {
            Ok(host) => self.hosts.push(host),
            Err(valid) => self.refuse("host", pattern.as_ref(), valid),
        }
        self
    }

    /// Sets the path. `{name}` stands for any segment, and `{*name}` at the end for all that follows: `/users/{id}`.
    /// `/a` and `/a/` are different paths. A pattern with `%2F`, `\` or `;` needs
    /// [`Routes::with_ambiguous_paths`](super::Routes::with_ambiguous_paths). Default: any path.
    #[must_use]
    pub fn path(mut self, pattern: impl AsRef<str>) -> Self {
        match PathPattern::whole(pattern.as_ref()) {
            Ok(path) => self.path = path,
            Err(valid) => self.refuse("path", pattern.as_ref(), valid),
        }
        self
    }

    /// Sets the start of the path. Whole segments are compared: `/api` and `/api/` stand for `/api`, `/api/` and
    /// `/api/x`, but not for `/apiary`. `{name}` stands for any segment. Default: any path.
    #[must_use]
    pub fn path_prefix(mut self, pattern: impl AsRef<str>) -> Self {
        match PathPattern::prefix(pattern.as_ref()) {
            Ok(path) => self.path = path,
            Err(valid) => self.refuse("path_prefix", pattern.as_ref(), valid),
        }
        self
    }

    /// Adds a method. Methods are case-sensitive, and the proxy refuses those in lower case. Default: any method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
            self.refuse("method", method.as_str(), "write a method in upper case, such as GET");
        }
        self.methods.push(method);
        self
    }

    /// The header must have this value. If it has several lines, the last one that is not empty counts. The name
    /// consists of letters, digits and `-`, because the proxy removes other fields. If it
    /// [forwards](crate::check::UnusualNames::Forward) them, use [`when`](Self::when) for such a name.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.condition("header", name, SessionKey::header(name).ok(), Some(value.as_ref()))
    }

    /// The request must have this header, with any value except the empty one. The name is one of those that
    /// [`header`](Self::header) accepts.
    #[must_use]
    pub fn has_header(self, name: &str) -> Self {
        self.condition("header", name, SessionKey::header(name).ok(), None)
    }

    /// The cookie must have this value. If there are several of this name, the first one that is not empty counts.
    #[must_use]
    pub fn cookie(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.condition("cookie", name, SessionKey::cookie(name).ok(), Some(value.as_ref()))
    }

    /// The request must have this cookie, with any value except the empty one.
    #[must_use]
    pub fn has_cookie(self, name: &str) -> Self {
        self.condition("cookie", name, SessionKey::cookie(name).ok(), None)
    }

    /// The query parameter must have this value. Name and value are plain text: `a b` is `a%20b` or `a+b` in the URL.
    /// If there are several parameters of this name, the first one that is not empty counts.
    ///
    /// Some servers read the last one instead. Do not use this condition to keep clients from a resource.
    #[must_use]
    pub fn query(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.condition("query", name, query::parameter(name), Some(value.as_ref()))
    }

    /// The request must have this query parameter, with any value except the empty one. The name is plain text.
    #[must_use]
    pub fn has_query(self, name: &str) -> Self {
        self.condition("query", name, query::parameter(name), None)
    }

    /// Any part of the request must have this value, for example the address of the client. The value is not empty.
    #[must_use]
    pub fn when(mut self, part: SessionKey, value: impl AsRef<[u8]>) -> Self {
        if value.as_ref().is_empty() {
            self.refuse("when", "", EMPTY);
        }
        self.conditions.push(Condition { name: None, key: part, value: Some(value.as_ref().into()) });
        self
    }

    /// Replaces the [prefix](Self::path_prefix) of the path by another one before the request is forwarded: with `/v2`,
    /// `/api/x` becomes `/v2/x` on a route for `/api`. Default: the path stays as the client wrote it.
    ///
    /// Responses are not changed: paths in `Location`, in the `Path` of cookies and in bodies are those of the endpoint.
    /// So the service behind the route should use relative links, or be told its outer prefix.
    #[must_use]
    pub fn rewrite_prefix(mut self, prefix: impl AsRef<str>) -> Self {
        match check_path(prefix.as_ref()) {
            Ok(()) => self.new_prefix = Some(prefix.as_ref().to_owned()),
            Err(valid) => self.refuse("rewrite_prefix", prefix.as_ref(), valid),
        }
        self
    }

    /// Changes the `Host` before the request is forwarded. Default: as the proxy sets it.
    #[must_use]
    pub fn rewrite_host(mut self, host: HostRule) -> Self {
        self.new_host = Some(host);
        self
    }

    /// Sends copies of the requests to another service too. Its responses are dropped. Default: none.
    #[must_use]
    pub fn mirror(mut self, mirror: Mirror<T>) -> Self {
        self.mirror = Some(mirror);
        self
    }

    /// Adds a condition on a part of the request with a name. `key` is `None` if no request has a part of this name.
    fn condition(mut self, kind: &'static str, name: &str, key: Option<SessionKey>, value: Option<&[u8]>) -> Self {
        let Some(key) = key else {
            self.refuse(kind, name, "use a name that requests can have, such as x-version");
            return self;
        };
        // Names of headers are case-insensitive, and those of cookies and query parameters are not.
        let is_header = kind == "header";
        let name = if is_header { name.to_ascii_lowercase() } else { name.to_owned() };
        if is_header && is_unusual(&name) {
            self.refuse(kind, &name, "use letters, digits and -, because the proxy removes fields with other names");
        }
        if let Some(value) = value {
            let text = String::from_utf8_lossy(value);
            if value.is_empty() {
                self.refuse(kind, &text, EMPTY);
            } else if is_header && (HeaderValue::from_bytes(value).is_err() || value.trim_ascii() != value) {
                self.refuse(kind, &text, "the value of a header has no control characters and no spaces around it");
            }
        }
        self.conditions.push(Condition { name: Some((kind, name)), key, value: value.map(Into::into) });
        self
    }

    fn refuse(&mut self, setting: &'static str, text: &str, valid: &'static str) {
        self.wrong.get_or_insert(RouteError { setting, text: text.to_owned(), valid });
    }

    /// Returns what is wrong with this route. Without `allows_ambiguous_paths`, requests with such paths are refused.
    pub(super) fn check(&mut self, allows_ambiguous_paths: bool) -> Result<(), InvalidRoute> {
        if !allows_ambiguous_paths && let Some(segment) = self.path.ambiguous_segment().map(ToOwned::to_owned) {
            const VALID: &str = "requests with %2F, a backslash or a semicolon here are refused, because servers read \
                                 them differently; use a path without them";
            self.refuse("path", &segment, VALID);
        }
        if let Action::Redirect(redirect) = &self.action
            && let Err(valid) = redirect.check(self.path.is_prefix)
        {
            self.refuse("redirect", "", valid);
        }
        if self.new_prefix.is_some() && !self.path.is_prefix {
            self.refuse("rewrite_prefix", "", "a new prefix needs a route with path_prefix");
        }
        match self.wrong.take() {
            Some(error) => Err(InvalidRoute { route: self.name.to_string(), error }),
            None => Ok(()),
        }
    }

    /// Returns whether there is no condition except those on host and path.
    pub(super) fn is_unconditional(&self) -> bool {
        self.methods.is_empty() && self.conditions.is_empty()
    }

    /// Returns whether a request meets all conditions except those on host and path.
    pub(super) fn accepts(&self, head: RequestHead<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(head.method))
            && self.conditions.iter().all(|condition| condition.is_met(head))
    }

    /// Returns the first condition by whose value the route can be found.
    pub(super) fn keyed(&self) -> Option<Keyed<'_>> {
        self.conditions.iter().find_map(|condition| {
            Some(Keyed { name: condition.name.as_ref()?, part: &condition.key, value: condition.value.as_deref()? })
        })
    }

    /// Returns how specific this route is among those with the same host and path. More is more specific.
    pub(super) fn specificity(&self) -> (bool, usize) {
        (!self.methods.is_empty(), self.conditions.len())
    }
}

/// A route that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route {route:?}: {error}")]
#[non_exhaustive]
pub struct InvalidRoute {
    /// The name of the route.
    pub route: String,
    /// What is wrong.
    #[source]
    pub error: RouteError,
}

/// What is wrong with a route, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {text:?}: {valid}")]
#[non_exhaustive]
pub struct RouteError {
    /// The setting of the route, such as `host`.
    pub setting: &'static str,
    /// The text that was refused. It may be empty.
    pub text: String,
    /// What would be valid.
    pub valid: &'static str,
}

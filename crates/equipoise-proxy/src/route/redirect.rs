use http::{HeaderValue, Request, StatusCode, uri::PathAndQuery};

use super::{path::ASTERISK, rewrite::with_prefix};
use crate::{
    check::host_and_port,
    headers::{OriginalHost, client_scheme},
};

/// A redirect of a route. What is not set stays as in the request.
///
/// The location is a whole URL if a scheme or a host is set. A scheme that is not set is the one that the client used:
/// that of its connection, or the `X-Forwarded-Proto` of a trusted proxy that
/// [writes this field](crate::headers::ForwardingFields::written_by_proxies). Otherwise the location is a path: clients
/// then keep the scheme and the host that they used, which this proxy may not know if another proxy is in front of it.
///
/// The location for `OPTIONS *` has no path (RFC 9112, section 3.2.4), unless [`path`](Self::path) is set.
///
/// ```
/// use equipoise_proxy::route::Redirect;
///
/// let to_https = Redirect::permanent().scheme("https");
/// let moved = Redirect::temporary().host("new.test").prefix("/v2");
/// # drop((to_https, moved));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    scheme: Option<String>,
    host: Option<String>,
    path: Option<NewPath>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NewPath {
    Whole(String),
    Prefix(String),
}

impl Redirect {
    /// Creates a redirect with status 308, which clients and caches remember. The client repeats the method.
    #[must_use]
    pub const fn permanent() -> Self {
        Self { status: StatusCode::PERMANENT_REDIRECT, scheme: None, host: None, path: None }
    }

    /// Creates a redirect with status 307, which clients do not remember. The client repeats the method.
    #[must_use]
    pub const fn temporary() -> Self {
        Self { status: StatusCode::TEMPORARY_REDIRECT, scheme: None, host: None, path: None }
    }

    /// Sets the status: 301, 302, 303, 307 or 308. Another status is refused by [`Routes::new`](super::Routes::new).
    #[must_use]
    pub const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets the scheme: `http` or `https`. The port of the request is then dropped, because the new scheme has another.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        self.scheme = Some(scheme.to_owned());
        self
    }

    /// Sets the host, with an optional port.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Sets the path, without a query. The query of the request stays.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(NewPath::Whole(path.to_owned()));
        self
    }

    /// Replaces the prefix that the route names by another one. The route needs a `path_prefix`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.path = Some(NewPath::Prefix(prefix.to_owned()));
        self
    }

    /// Returns what is wrong with this redirect.
    pub(crate) fn check(&self, has_prefix: bool) -> Result<(), &'static str> {
        if !matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Err("the status of a redirect is 301, 302, 303, 307 or 308");
        }
        if self.scheme.as_deref().is_some_and(|scheme| scheme != "http" && scheme != "https") {
            return Err("the scheme of a redirect is http or https");
        }
        if self.host.as_ref().is_some_and(|host| host_and_port(host.as_bytes()).is_none()) {
            return Err("the host of a redirect is a name or an address, with an optional port");
        }
        match &self.path {
            Some(NewPath::Prefix(_)) if !has_prefix => Err("a redirect of a prefix needs a route with path_prefix"),
            Some(NewPath::Prefix(path) | NewPath::Whole(path)) => check_path(path),
            None => Ok(()),
        }
    }

    pub(crate) const fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Returns the new location. `segments` is the number of segments of the route's prefix.
    pub(super) fn location<B>(&self, request: &Request<B>, segments: usize) -> Option<HeaderValue> {
        self.location_with(request, segments, request.uri().path(), request.uri().query())
    }

    /// Returns the new location, as [`location`](Self::location) does, for another path and another query than those of
    /// the request.
    pub(crate) fn location_with<B>(
        &self,
        request: &Request<B>,
        segments: usize,
        path: &str,
        query: Option<&str>,
    ) -> Option<HeaderValue> {
        let path = match &self.path {
            Some(NewPath::Whole(path)) => path.into(),
            _ if path == ASTERISK => "".into(),
            None => path.into(),
            Some(NewPath::Prefix(prefix)) => with_prefix(path, segments, prefix),
        };
        let (mark, query) = query.map_or(("", ""), |query| ("?", query));
        if self.scheme.is_none() && self.host.is_none() && !path.is_empty() {
            // Clients would take the text after two slashes for a host. Browsers read a backslash as a slash.
            let path = path.trim_start_matches(['/', '\\']);
            return HeaderValue::try_from(format!("/{path}{mark}{query}")).ok();
        }
        let scheme = self.scheme.as_deref().unwrap_or_else(|| client_scheme(request.extensions()));
        let host = match &self.host {
            Some(host) => host,
            None => {
                let asked_for = OriginalHost::of(request.headers(), request.extensions())?;
                host_and_port(asked_for.as_bytes())?.host
            }
        };
        HeaderValue::try_from(format!("{scheme}://{host}{path}{mark}{query}")).ok()
    }
}

/// Checks a path that requests or locations get.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    let is_path = path.starts_with('/') && !path.contains(['?', '#']) && PathAndQuery::try_from(path).is_ok();
    if is_path { Ok(()) } else { Err("a new path begins with a slash and has no query, such as /v2") }
}

use std::{borrow::Cow, cmp::Reverse};

use equipoise_tower::RequestHead;

use super::{
    host::{HostIndex, HostPattern, asked_for},
    normal::{is_ambiguous, normalized, without_parameters},
    path::{ASTERISK, PathPattern},
    rule::{Action, InvalidRoute, Route},
    trie::Trie,
};

/// A table of routes. See the [module](super) for the order in which routes are tried.
///
/// A lookup costs one hash of the host and one of each segment of the path, however many routes there are. Among routes
/// with the same host and path:
///
/// - routes that need a value of a header, a cookie or a query parameter are found by the first value that they name. Each
///   different header, cookie or parameter costs one look at the request and one hash, whatever the number of values;
/// - the conditions of all others, and of those with the same first value, are compared one route after the other.
#[derive(Debug)]
pub struct Routes<T> {
    routes: Vec<Route<T>>,
    hosts: HostIndex,
    /// One for each pattern of a host.
    sites: Vec<Site>,
    allows_ambiguous_paths: bool,
}

/// The routes for one pattern of a host.
#[derive(Debug)]
struct Site {
    paths: Trie,
    /// Whether the path of a request decides which of these routes gets it, or is rewritten.
    depends_on_path: bool,
    /// Whether each request of the host meets the conditions of one of these routes.
    takes_all: bool,
}

impl Site {
    fn new() -> Self {
        Self { paths: Trie::new(), depends_on_path: false, takes_all: false }
    }

    /// Adds a route, which must be less specific than those before.
    fn add<T>(&mut self, index: usize, route: &Route<T>) {
        let is_for_any_path = route.path == PathPattern::any();
        self.depends_on_path |= !is_for_any_path || route.new_prefix.is_some();
        self.takes_all |= is_for_any_path && route.is_unconditional();
        self.paths.add(&route.path, index, route.keyed());
    }
}

impl<T> Routes<T> {
    /// Builds a table. Requests with ambiguous paths are refused with status 400, if any route that can get a request
    /// for the host has a path or rewrites it: see the [module](super#paths).
    ///
    /// # Errors
    ///
    /// [`InvalidRoute`] for the first route that has an invalid setting, or that no request could reach.
    pub fn new(routes: impl IntoIterator<Item = Route<T>>) -> Result<Self, InvalidRoute> {
        Self::build(routes, false)
    }

    /// Builds a table of which requests with ambiguous paths get a route too: paths with an encoded slash (`%2F`), a
    /// backslash, a parameter after a dot segment (`/..;/`), or parameters (`/admin;x`) without which another route
    /// would get the request. See the [module](super#paths).
    ///
    /// Use it only if no route protects a path, or if all endpoints read these paths as this table does: as segments
    /// that contain these characters.
    ///
    /// # Errors
    ///
    /// [`InvalidRoute`] for the first route that has an invalid setting, or that no request could reach.
    pub fn with_ambiguous_paths(routes: impl IntoIterator<Item = Route<T>>) -> Result<Self, InvalidRoute> {
        Self::build(routes, true)
    }

    fn build(routes: impl IntoIterator<Item = Route<T>>, allows_ambiguous_paths: bool) -> Result<Self, InvalidRoute> {
        let mut routes: Vec<Route<T>> = routes.into_iter().collect();
        for route in &mut routes {
            route.check(allows_ambiguous_paths)?;
        }
        // Stable, so the order in which routes were written decides last.
        routes.sort_by_key(|route| Reverse(route.specificity()));
        let (mut hosts, mut sites) = (HostIndex::new(), Vec::new());
        for (index, route) in routes.iter().enumerate() {
            let any = [HostPattern::Any];
            for host in if route.hosts.is_empty() { &any[..] } else { &route.hosts } {
                let at = hosts.entry(host, sites.len());
                if at == sites.len() {
                    sites.push(Site::new());
                }
                if let Some(site) = sites.get_mut(at) {
                    site.add(index, route);
                }
            }
        }
        Ok(Self { routes, hosts, sites, allows_ambiguous_paths })
    }

    /// Returns the number of routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Returns whether there are no routes.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Returns the route of a request.
    ///
    /// # Errors
    ///
    /// [`Missed`] if no route gets the request.
    pub fn find(&self, head: RequestHead<'_>) -> Result<Found<'_, T>, Missed> {
        let host = asked_for(head);
        if !self.allows_ambiguous_paths && is_ambiguous(head.uri.path()) && self.depends_on_path(&host) {
            return Err(Missed::AmbiguousPath);
        }
        let path = match head.uri.path() {
            // Not a path: the request is about the server.
            ASTERISK => Cow::Borrowed(ASTERISK),
            path => normalized(path),
        };
        let found = self.lookup(head, &host, &path);
        if path.contains(';')
            && !self.allows_ambiguous_paths
            && found != self.lookup(head, &host, &without_parameters(&path))
        {
            return Err(Missed::AmbiguousPath);
        }
        let route = self.routes.get(found?).ok_or(Missed::Route)?;
        Ok(Found { route })
    }

    /// Returns whether the path of a request for this host decides anything.
    fn depends_on_path(&self, host: &str) -> bool {
        for site in self.sites(host) {
            if site.depends_on_path {
                return true;
            }
            if site.takes_all {
                // No request reaches the routes of a less specific host.
                return false;
            }
        }
        false
    }

    /// Returns the routes for a host, those of the most specific pattern first.
    fn sites<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Site> {
        self.hosts.find(host).filter_map(|at| self.sites.get(at))
    }

    /// Returns the index of the route for a host and a path.
    fn lookup(&self, head: RequestHead<'_>, host: &str, path: &str) -> Result<usize, Missed> {
        let accepts = |index: usize| self.routes.get(index).is_some_and(|route| route.accepts(head));
        let mut missed = Missed::Host;
        for site in self.sites(host) {
            missed = Missed::Route;
            if let Some(route) = site.paths.find(path, head, accepts) {
                return Ok(route);
            }
        }
        Err(missed)
    }
}

/// The route of a request.
#[derive(Debug)]
pub struct Found<'t, T> {
    pub(super) route: &'t Route<T>,
}

impl<'t, T> Found<'t, T> {
    /// Returns the name of the route.
    pub fn name(&self) -> &'t str {
        &self.route.name
    }

    /// Returns the service that the route chooses for the request: see [`Split::choose`](super::Split::choose). A split
    /// without a key draws one at random. `None` if the route answers with a redirect.
    pub fn service(&self, head: RequestHead<'_>) -> Option<&'t T> {
        match &self.route.action {
            Action::Service(split) => split.choose(head),
            Action::Redirect(_) => None,
        }
    }
}

/// Why no route gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Missed {
    /// There is no route for the host of the request. A router answers with status 421.
    #[error("there is no route for the host")]
    Host,
    /// There are routes for the host, but the request does not meet all conditions of any of them. A router answers
    /// with status 404.
    #[error("there is no route for the path")]
    Route,
    /// Servers disagree about the path, and routes depend on it: see [`Routes::with_ambiguous_paths`]. A router
    /// answers with status 400.
    #[error("the path is ambiguous")]
    AmbiguousPath,
}

impl Missed {
    /// Returns this reason as a stable label for metrics and logs: `host`, `route` or
    /// `ambiguous_path`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Route => "route",
            Self::AmbiguousPath => "ambiguous_path",
        }
    }
}

//! Routing: which service gets a request.
//!
//! [`Routes`] is a table of [`Route`]s. A route has conditions (host, path, method, header, cookie, query) and leads to
//! a service, to one of several services by weight ([`Split`]), or to a redirect. [`Router`] is the tower service over
//! such a table. The table of a running router can be exchanged.
//!
//! # Order
//!
//! If a request meets the conditions of several routes, the most specific one gets it. The order in which routes are
//! written matters only if all else is equal:
//!
//! 1. **Host**: the exact host, then `*.app.test` with more labels before one with fewer, then any host.
//! 2. **Path**, segment by segment from the left: an equal segment (`users`), then a parameter (`{id}`), then the end
//!    of a prefix. A longer prefix therefore comes before a shorter one, and the whole path before any prefix of it.
//! 3. Routes with a method, then those for any method.
//! 4. More conditions on headers, cookies and query before fewer.
//! 5. The route that is written first.
//!
//! A request that does not meet all conditions of the most specific route goes to the next one, also over hosts: a
//! route for any host gets the requests that match no route for the host.
//!
//! # Paths
//!
//! The target `*` of an `OPTIONS` request is not a path. It goes to routes for any path only, and is never rewritten.
//!
//! Patterns are compared with the path that a server would act on: percent-encodings of ASCII are decoded (except of
//! `/` and `%`), repeated slashes count as one, and `.` and `..` are resolved. So `/public/../admin` is a request for
//! `/admin`. The request is forwarded with its path as the client wrote it, unless the route rewrites the path.
//!
//! Servers disagree about some paths: `/public%2F..%2Fadmin`, `/public\..\admin` and `/public/..;/admin` are `/admin`
//! to some of them. If any route that can get a request for the host has a path or rewrites it, a request with such a
//! path is refused with status 400. APIs that have encoded slashes in their paths need
//! [`Routes::with_ambiguous_paths`].
//!
//! Servlet containers cut off what follows a `;` in a segment, and others do not: `/admin;x` is `/admin` to the former.
//! A request with such parameters is refused too, unless the same route would get it without them. So `/users/7;v=1` is
//! forwarded by a route for `/users/{id}`, and `/admin;x` cannot be used to avoid a route for `/admin`.
//!
//! ```
//! use equipoise_proxy::route::{Route, Routes};
//! use equipoise_tower::RequestHead;
//! use http::{Method, Request};
//!
//! // Names stand for services here.
//! let routes = Routes::new([
//!     Route::to("web", "web").host("app.test"),
//!     Route::to("api", "api").host("app.test").path_prefix("/api"),
//!     Route::to("beta", "api-beta").host("app.test").path_prefix("/api").header("x-beta", "1"),
//!     Route::to("user", "users").host("app.test").path("/api/users/{id}").method(Method::GET),
//! ])?;
//! let to = |request: &Request<()>| routes.find(RequestHead::of(request)).map(|found| found.name().to_owned());
//!
//! let get = |path: &str| Request::get(path).header("host", "app.test");
//! assert_eq!(to(&get("/api/users/7").body(())?), Ok("user".to_owned()));
//! assert_eq!(to(&get("/api/users").body(())?), Ok("api".to_owned()));
//! assert_eq!(to(&get("/api/users").header("x-beta", "1").body(())?), Ok("beta".to_owned()));
//! assert_eq!(to(&get("/apiary").body(())?), Ok("web".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod candidates;
mod hash;
mod host;
mod mirror;
mod normal;
mod path;
mod query;
mod redirect;
mod rewrite;
mod router;
mod rule;
mod split;
mod table;
mod trie;

#[cfg(feature = "sni")]
pub(crate) use self::host::{HostIndex, HostPattern};
pub use self::{
    body::{RouteBody, RouteBodyError},
    mirror::Mirror,
    redirect::Redirect,
    router::{MatchedRoute, RouteNote, Router, RouterFuture},
    rule::{InvalidRoute, Route, RouteError},
    split::{InvalidSplit, Split},
    table::{Found, Missed, Routes},
};
pub(crate) use self::{
    normal::{is_ambiguous, normalized, resolved, without_parameters},
    rewrite::set_path,
};

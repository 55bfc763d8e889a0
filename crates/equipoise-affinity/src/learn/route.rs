use crate::scan;

/// Which part of a key names the endpoint that has the session, if the backends write that into it.
///
/// Tomcat appends a dot and its `jvmRoute` to each session's id; Apache's mod_proxy_balancer and mod_jk send the request
/// to the worker of that `route`, without any table. What a route names is up to the caller; by default the endpoint of
/// that id.
///
/// ```
/// use equipoise_affinity::learn::Route;
///
/// assert_eq!(Route::default().of(b"6A3F.node1"), Some("node1"));
/// assert_eq!(Route::default().of(b"6A3F.10.0.0.7:8080"), Some("10.0.0.7:8080"));
/// assert_eq!(Route::AfterLast(b'!').of(b"6A3F!9!node1"), Some("node1"));
/// assert_eq!(Route::Whole.of(b"node1"), Some("node1"));
/// assert_eq!(Route::default().of(b"6A3F"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// What follows the first of these bytes, so that the route may have some of its own. With `.` the default, as in
    /// Apache, where `stickysessionsep` is another.
    AfterFirst(u8),
    /// What follows the last of these bytes, for session ids that may have some of their own.
    AfterLast(u8),
    /// All of it: nginx's `sticky route`, Apache's `stickysessionsep=Off`.
    Whole,
}

impl Route {
    /// The route in `key`; none if there is no separator, nothing after it, or what is there is not UTF-8.
    pub fn of<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        let after = |at: usize| key.get(at.checked_add(1)?..);
        let route = match *self {
            Self::AfterFirst(separator) => after(scan::find(key, |byte| byte == separator)?)?,
            Self::AfterLast(separator) => after(scan::rfind(key, |byte| byte == separator)?)?,
            Self::Whole => key,
        };
        str::from_utf8(route).ok().filter(|route| !route.is_empty())
    }
}

impl Default for Route {
    fn default() -> Self {
        Self::AfterFirst(b'.')
    }
}

use crate::scan;

/// The part of a session key that names the endpoint, for backends that write it there.
///
/// Tomcat appends a dot and its `jvmRoute` to each session's id. Apache's mod_proxy_balancer and mod_jk send the
/// request to the worker of that `route`, without a table. In [`Mode::route`](crate::Mode::route) the name is the
/// endpoint's id.
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
    /// The text after the first of these bytes; it may contain more of them. `.` is the default, as in Apache, where
    /// `stickysessionsep` sets it.
    AfterFirst(u8),
    /// The text after the last of these bytes, for session ids that contain more of them.
    AfterLast(u8),
    /// The whole key: nginx's `sticky route`, Apache's `stickysessionsep=Off`.
    Whole,
}

impl Route {
    /// Returns the kind of route as a label: `after_first`, `after_last` or `whole`. Labels are stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterFirst(_) => "after_first",
            Self::AfterLast(_) => "after_last",
            Self::Whole => "whole",
        }
    }

    /// Returns the route in `key`, or `None` if there is no separator, nothing after it, or the text is not UTF-8.
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

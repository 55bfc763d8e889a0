use crate::scan;

/// Says which part of a session key is the name of an endpoint. Some backends write their own name into the keys that
/// they set. In [`Mode::route`](crate::Mode::route), this name is the endpoint's id.
///
/// Tomcat appends a dot and its `jvmRoute` to the id of each session. Apache's mod_proxy_balancer and mod_jk send the
/// request to the worker with this `route`, and need no table of sessions.
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
    /// The endpoint's name is the text after the first separator in the session key. The value is the separator. With
    /// `b'.'`, the name in the key `6A3F.10.0.0.7:8080` is `10.0.0.7:8080`. A key without a separator contains no name.
    ///
    /// The default of `Route` is `AfterFirst(b'.')`, as in Apache, where `stickysessionsep` sets the separator.
    AfterFirst(u8),
    /// The endpoint's name is the text after the last separator in the session key. The value is the separator. With
    /// `b'!'`, the name in the key `6A3F!9!node1` is `node1`. A key without a separator contains no name. Use this
    /// variant if the text before the name can contain the separator.
    AfterLast(u8),
    /// The endpoint's name is the whole session key, as in nginx's `sticky route` and with Apache's
    /// `stickysessionsep=Off`.
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

    /// Returns the name of the endpoint in the session key `key`. Returns `None` in these cases:
    ///
    /// - The key has no separator. [`Whole`](Self::Whole) needs no separator.
    /// - The name is empty.
    /// - The name is not UTF-8.
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

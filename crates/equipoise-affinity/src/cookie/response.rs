use std::time::SystemTime;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, ETAG, EXPIRES, LAST_MODIFIED, PRAGMA, SET_COOKIE},
};

use super::{
    lines::{Edit, Line, edit, set_cookie},
    request::CookieState,
    settings::PersistenceCookie,
    value::{CookieMode, CookieValue, DATE, PREFIX, seconds, written},
};
use crate::scan;

/// What [`on_response`](PersistenceCookie::on_response) needs to know of a request and its response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// The state of the request's cookie, from [`on_request`](PersistenceCookie::on_request).
    pub state: CookieState,
    /// Whether the endpoint that answered is the one that the cookie named. Use `false` also to set the cookie again
    /// for the same endpoint, such as when the key of its token is about to be dropped.
    pub kept: bool,
    /// The value that names the endpoint that answered. `None` if none does. Then an inserted cookie is erased at the
    /// client unless it is `kept`, and a cookie that the endpoint sets is not changed.
    pub value: Option<&'a CookieValue>,
    /// The request's method.
    pub method: &'a Method,
    /// The current time, for the cookie's dates.
    pub now: SystemTime,
}

/// What was done with a response's cookie. In parentheses: HAProxy's letter for it in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieAction {
    /// Nothing; the endpoint did not set it (`N`).
    Nothing,
    /// The endpoint set it, and it was not changed (`P`).
    Found,
    /// The endpoint set it, and it was removed (`D`).
    Deleted,
    /// The endpoint set it, and its value was replaced or prefixed (`R`).
    Replaced,
    /// It was added, or erased at the client (`I`).
    Inserted,
    /// It was added again to update its dates (`U`).
    Updated,
}

impl CookieAction {
    /// Returns the action as a label for metrics, such as `inserted`. Labels are stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Found => "found",
            Self::Deleted => "deleted",
            Self::Replaced => "replaced",
            Self::Inserted => "inserted",
            Self::Updated => "updated",
        }
    }
}

impl PersistenceCookie {
    /// Changes the `Set-Cookie` and `Cache-Control` lines to what the client should see.
    ///
    /// - In insert mode, a cookie of the name that the endpoint sets is removed (except with
    ///   [`preserve`](super::PersistenceCookieBuilder::preserve)). The balancer's is added unless the client has it.
    /// - In rewrite and prefix mode, the endpoint's cookies are changed. If it sets none, nothing is added.
    ///
    /// Call it for responses of endpoints only. Responses of the balancer itself have no cookie.
    ///
    /// Other lines are not changed (HAProxy removes white space around the first `=` of every `Set-Cookie` line). A
    /// value ends at the first `;`, as in browsers (in HAProxy also at a comma, and quotes hide both). O(length of
    /// these lines).
    pub fn on_response(
        &self,
        context: ResponseContext<'_>,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> CookieAction {
        let mut action = CookieAction::Nothing;
        edit(headers, SET_COOKIE, |line| self.on_set_cookie(line, &context, &mut action));
        if !self.inserts(&context, action) {
            return action;
        }
        let Ok(line) = HeaderValue::try_from(self.set_cookie(&context)) else { return action };
        let hides = self.nocache && is_cacheable(context.method, status, headers);
        // Both lines or none: without `private`, a cache could give the cookie to other clients.
        if hides && headers.try_append(CACHE_CONTROL, HeaderValue::from_static("private")).is_err() {
            return action;
        }
        match headers.try_append(SET_COOKIE, line) {
            Ok(_) if context.kept && context.value.is_some() => CookieAction::Updated,
            Ok(_) => CookieAction::Inserted,
            Err(_) => action,
        }
    }

    fn on_set_cookie(&self, old: &[u8], context: &ResponseContext<'_>, action: &mut CookieAction) -> Edit {
        let pair = set_cookie(old);
        let Some(assigned) = pair.assigned else { return Edit::Keep };
        if context.state.disregarded || old.get(pair.name.clone()) != Some(self.name.as_bytes()) {
            return Edit::Keep;
        }
        let mut line = Line::new(old);
        line.keep(0..pair.name.end);
        line.keep(assigned.equal..assigned.equal + 1);
        let mut rest = assigned.value.start;
        *action = CookieAction::Found;
        match (self.mode, context.value) {
            (CookieMode::Insert, _) if !self.preserve => {
                *action = CookieAction::Deleted;
                return Edit::Remove;
            }
            (CookieMode::Rewrite, Some(value)) => {
                *action = CookieAction::Replaced;
                line.push(value.as_str().as_bytes());
                rest = assigned.value.end;
            }
            (CookieMode::Prefix, Some(value)) => {
                *action = CookieAction::Replaced;
                line.push(value.as_str().as_bytes());
                line.push(&[PREFIX]);
            }
            _ => {}
        }
        line.keep(rest..old.len());
        line.changed().map_or(Edit::Keep, Edit::Replace)
    }

    fn inserts(&self, context: &ResponseContext<'_>, action: CookieAction) -> bool {
        let state = context.state;
        self.mode == CookieMode::Insert
            && action != CookieAction::Found
            && !state.disregarded
            && (!self.postonly || context.method == Method::POST)
            && (!context.kept || context.value.is_some() && self.is_stale(state, context.now))
    }

    /// Whether a cookie that is kept must be set again to update its dates.
    pub(crate) fn is_stale(&self, state: CookieState, now: SystemTime) -> bool {
        let (first, last) = (state.dates.first, state.dates.last);
        let idle = self.max_idle.is_some() || last.is_some();
        idle && last.is_none_or(|last| last < seconds(now)) || self.max_life.is_some() != first.is_some()
    }

    fn set_cookie(&self, context: &ResponseContext<'_>) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.name.len() + self.tail.len() + 64);
        line.extend_from_slice(self.name.as_bytes());
        line.push(b'=');
        if let Some(value) = context.value {
            line.extend_from_slice(value.as_str().as_bytes());
            let now = seconds(context.now);
            if self.max_idle.is_some() || self.max_life.is_some() {
                line.push(DATE);
                line.extend_from_slice(&written(now));
            }
            if self.max_life.is_some() {
                line.push(DATE);
                line.extend_from_slice(&written(context.state.dates.first.unwrap_or(now)));
            }
        } else {
            line.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
        }
        line.extend_from_slice(self.tail.as_bytes());
        line
    }
}

/// Whether a shared cache may store this response, by HAProxy's rules for `nocache`.
fn is_cacheable(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    let pragma = headers.get(PRAGMA);
    if status.is_informational() || pragma.is_some_and(|pragma| pragma.as_bytes().eq_ignore_ascii_case(b"no-cache")) {
        return false;
    }
    let mut cacheable = method.is_safe() && by_default(status);
    let mut lives = false;
    for directive in headers.get_all(CACHE_CONTROL).iter().flat_map(|line| Directives(line.as_bytes())) {
        let is = |name: &[u8]| directive.eq_ignore_ascii_case(name);
        let begins = |name: &[u8]| directive.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
        if is(b"public") {
            cacheable = true;
        } else if [&b"private"[..], b"no-cache", b"no-store", b"max-age=0", b"s-maxage=0"].iter().any(|name| is(name)) {
            cacheable = false;
        } else if begins(b"max-age") || begins(b"s-maxage") {
            lives = true;
        }
    }
    let has = |name: HeaderName| headers.contains_key(name);
    // Without a lifetime or a validator, no cache stores it.
    cacheable && (lives || has(EXPIRES) || has(ETAG) || has(LAST_MODIFIED))
}

/// Whether responses of this status are cacheable by default (RFC 9110, 15.1).
fn by_default(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501)
}

/// The directives of a line, separated by commas outside quotes, without white space around them.
struct Directives<'a>(&'a [u8]);

impl<'a> Iterator for Directives<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let comma = scan::find(self.0, |byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' => return !quoted,
                _ => {}
            }
            false
        });
        let (directive, rest) = match comma {
            Some(comma) => (&self.0[..comma], &self.0[comma + 1..]),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        Some(scan::trim(directive))
    }
}

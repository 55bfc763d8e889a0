use std::time::SystemTime;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, ETAG, EXPIRES, LAST_MODIFIED, PRAGMA, SET_COOKIE},
};

use super::{
    lines::{Edit, Line, edit, set_cookie},
    request::CookieState,
    value::{CookieMode, CookieValue, DATE, PREFIX, PersistenceCookie, written},
};
use crate::{read::seconds, scan};

/// What [`on_response`](PersistenceCookie::on_response) must know about a response and its request, besides the status
/// and the headers of the response. Create it with [`new`](Self::new).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseContext<'a> {
    /// The state of the request's cookie, as returned by [`on_request`](PersistenceCookie::on_request) or
    /// [`disregard`](PersistenceCookie::disregard).
    pub state: CookieState,
    /// Whether the request's cookie named the endpoint that answered. If `true`, the client keeps its cookie, and only
    /// the dates in the cookie are updated. Use `false` to set the cookie again for the same endpoint, for example
    /// because the cookie's token was signed with a key that will be removed.
    pub kept: bool,
    /// The cookie value that names the endpoint that answered the request. `None` if no cookie value names this
    /// endpoint.
    ///
    /// With `None`, insert mode deletes the client's cookie, unless `kept` is `true`. Rewrite and prefix mode do not
    /// change a cookie that the endpoint sets.
    pub value: Option<&'a CookieValue>,
    /// The request's method.
    pub method: &'a Method,
    /// The current time. If [`idle_timeout`](super::PersistenceCookieBuilder::idle_timeout) or
    /// [`lifetime`](super::PersistenceCookieBuilder::lifetime) is set, the cookie's value contains dates, and this time
    /// is written as the date of the last use.
    pub now: SystemTime,
}

impl<'a> ResponseContext<'a> {
    /// Creates the context of a response. [`kept`](field@Self::kept) is `false`; [`kept()`](Self::kept) sets it.
    ///
    /// - `state` is the state of the request's cookie.
    /// - `value` names the endpoint that answered the request. `None` if no cookie value names this endpoint.
    /// - `method` is the request's method.
    /// - `now` is the current time.
    ///
    /// The fields of the same names describe these values.
    pub fn new(state: CookieState, value: Option<&'a CookieValue>, method: &'a Method, now: SystemTime) -> Self {
        Self { state, kept: false, value, method, now }
    }

    /// Sets whether the request's cookie named the endpoint that answered. Default: `false`. See the field
    /// [`kept`](field@Self::kept).
    #[must_use]
    pub fn kept(mut self, kept: bool) -> Self {
        self.kept = kept;
        self
    }
}

/// What [`on_response`](PersistenceCookie::on_response) did with the [persistence cookie](PersistenceCookie) of a
/// response. HAProxy shows this in its log, as the fourth letter of the termination state. The docs of the variants
/// name these letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieAction {
    /// The response has no persistence cookie: the endpoint set none, and the balancer added none. HAProxy's log shows
    /// this as `N`.
    Nothing,
    /// The endpoint set the persistence cookie, and the balancer did not change it. HAProxy's log shows this as `P`.
    Found,
    /// The endpoint set the persistence cookie. The balancer removed it from the response, and did not add its own.
    /// HAProxy's log shows this as `D`.
    Deleted,
    /// The endpoint set the persistence cookie. The balancer replaced the endpoint's value in this cookie, or wrote the
    /// balancer's value in front of the endpoint's value. HAProxy's log shows this as `R`.
    Replaced,
    /// The balancer added a persistence cookie to the response. This cookie names the endpoint that answered, or
    /// deletes the client's cookie. HAProxy's log shows this as `I`.
    Inserted,
    /// The balancer added the client's persistence cookie again with new dates. The cookie names the same endpoint as
    /// before. HAProxy's log shows this as `U`.
    Updated,
}

impl CookieAction {
    /// Returns the action as a label for metrics: the variant's name in lower case, such as `inserted`. Labels are
    /// stable.
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
    /// Changes the `Set-Cookie` and `Cache-Control` lines of a response to what the client should see. Returns what was
    /// done with the persistence cookie. `status` and `headers` are those of the response.
    ///
    /// - In insert mode, a persistence cookie that the endpoint sets is removed. Then the balancer's cookie is added,
    ///   unless the client already has it. With [`preserve`](super::PersistenceCookieBuilder::preserve), the endpoint's
    ///   cookie is kept, and the balancer's cookie is not added.
    /// - In rewrite mode, if the endpoint sets the persistence cookie, the balancer's value replaces the endpoint's
    ///   value. Otherwise, no cookie is added.
    /// - In prefix mode, if the endpoint sets the persistence cookie, the balancer's value and `~` are written in front
    ///   of the endpoint's value. Otherwise, no cookie is added.
    ///
    /// Call this method only for responses of endpoints. Do not call it for responses that the balancer creates itself,
    /// such as error pages.
    ///
    /// All other `Set-Cookie` lines stay the same. A cookie's value ends at the first `;`, as in browsers. HAProxy
    /// differs in three points:
    ///
    /// - White space around the first `=` of each `Set-Cookie` line is removed.
    /// - `,` also ends a value.
    /// - `;` and `,` in quotes do not end a value.
    ///
    /// Takes O(n) time for the n bytes of the `Set-Cookie` and `Cache-Control` lines.
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
        // If one line cannot be added, the other is not added either. Without `private`, a cache could give the cookie to
        // other clients.
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

    /// Whether the client's cookie must be set again, because its dates are out of date, missing, or not needed any
    /// more.
    pub(crate) fn is_stale(&self, state: CookieState, now: SystemTime) -> bool {
        let (first, last) = (state.dates.first, state.dates.last);
        let idle = self.idle_timeout.is_some() || last.is_some();
        idle && last.is_none_or(|last| last < seconds(now)) || self.lifetime.is_some() != first.is_some()
    }

    fn set_cookie(&self, context: &ResponseContext<'_>) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.name.len() + self.tail.len() + 64);
        line.extend_from_slice(self.name.as_bytes());
        line.push(b'=');
        if let Some(value) = context.value {
            line.extend_from_slice(value.as_str().as_bytes());
            let now = seconds(context.now);
            if self.idle_timeout.is_some() || self.lifetime.is_some() {
                line.push(DATE);
                line.extend_from_slice(&written(now));
            }
            if self.lifetime.is_some() {
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

/// Whether a shared cache may store this response, by the rules of HAProxy's `nocache`.
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
    // A cache does not store a response that has neither a lifetime nor a validator.
    cacheable && (lives || has(EXPIRES) || has(ETAG) || has(LAST_MODIFIED))
}

/// Whether responses of this status are cacheable by default (RFC 9110, 15.1).
fn by_default(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501)
}

/// Iterates over the directives of a `Cache-Control` line, without the white space around them. Commas separate
/// directives, but not in quotes.
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

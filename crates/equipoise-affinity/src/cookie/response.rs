use std::time::SystemTime;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, SET_COOKIE},
};

use super::{
    CookieMode, CookieValue, PREFIX, PersistenceCookie, Presented,
    cacheable::is_cacheable,
    date::{DATE, seconds, written},
    headers::{Edit, edit},
    line::Line,
    pairs::set_cookie,
};

/// What an answer's cookie depends on.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// What [`on_request`](PersistenceCookie::on_request) said.
    pub presented: Presented,
    /// Whether the one that served is the one the cookie named. Say no as well if it is, but the cookie should be set
    /// afresh, for instance because the key that signed it is about to go.
    pub kept: bool,
    /// What names the one that served. `None` if nothing does, as with one that only apologises for the others: unless
    /// it is `kept`, an inserted cookie is then erased at the client, and one that the endpoint sets stays as it is.
    pub value: Option<&'a CookieValue>,
    /// The request's.
    pub method: &'a Method,
    /// What dates go by.
    pub now: SystemTime,
}

/// What was done with an answer's cookie. In parentheses HAProxy's letter for it, as in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieAction {
    /// Nothing, and the endpoint did not set it either (`N`).
    Nothing,
    /// The endpoint set it, and that was left alone (`P`).
    Found,
    /// The endpoint set it, and that was removed (`D`).
    Deleted,
    /// The endpoint set it, and its value was replaced or prefixed (`R`).
    Replaced,
    /// It was set, or erased (`I`).
    Inserted,
    /// It was set again, for the sake of its dates (`U`).
    Updated,
}

impl PersistenceCookie {
    /// Makes the `Set-Cookie` and `Cache-Control` lines what the client shall see.
    ///
    /// - In insert mode a cookie of the name that the endpoint sets is removed (but for
    ///   [`preserve`](super::PersistenceCookieBuilder::preserve)), and ours is added, unless the client has it already.
    /// - In rewrite and prefix mode those that the endpoint sets are changed. If it sets none, nothing is.
    ///
    /// For answers that an endpoint gave; what a balancer answers by itself has no cookie.
    ///
    /// Other lines are not touched. (HAProxy also removes white space around the first `=` of every `Set-Cookie` line.)
    /// A value reaches to the first `;`, as for browsers. (In HAProxy a comma ends it as well, and quotes hide both.)
    /// Linear in the length of the `Set-Cookie` and `Cache-Control` lines.
    pub fn on_response(&self, served: Served<'_>, status: StatusCode, headers: &mut HeaderMap) -> CookieAction {
        let mut action = CookieAction::Nothing;
        edit(headers, SET_COOKIE, |line| self.on_set_cookie(line, &served, &mut action));
        if !self.inserts(&served, action) {
            return action;
        }
        let Ok(line) = HeaderValue::try_from(self.set_cookie(&served)) else { return action };
        let hides = self.nocache && is_cacheable(served.method, status, headers);
        // Both or none: without the second, a cache could hand the first to others.
        if hides && headers.try_append(CACHE_CONTROL, HeaderValue::from_static("private")).is_err() {
            return action;
        }
        match headers.try_append(SET_COOKIE, line) {
            Ok(_) if served.kept && served.value.is_some() => CookieAction::Updated,
            Ok(_) => CookieAction::Inserted,
            Err(_) => action,
        }
    }

    fn on_set_cookie(&self, old: &[u8], served: &Served<'_>, action: &mut CookieAction) -> Edit {
        let pair = set_cookie(old);
        let Some(assigned) = pair.assigned else { return Edit::Keep };
        if served.presented.disregarded || old.get(pair.name.clone()) != Some(self.name.as_bytes()) {
            return Edit::Keep;
        }
        let mut line = Line::new(old);
        line.keep(0..pair.name.end);
        line.keep(assigned.equal..assigned.equal + 1);
        let mut rest = assigned.value.start;
        *action = CookieAction::Found;
        match (self.mode, served.value) {
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

    fn inserts(&self, served: &Served<'_>, action: CookieAction) -> bool {
        let presented = served.presented;
        self.mode == CookieMode::Insert
            && action != CookieAction::Found
            && !presented.disregarded
            && (!self.postonly || served.method == Method::POST)
            && (!served.kept || served.value.is_some() && self.is_stale(presented, served.now))
    }

    /// Whether a cookie that is kept is set again all the same, for the sake of its dates.
    pub(crate) fn is_stale(&self, presented: Presented, now: SystemTime) -> bool {
        let (first, last) = (presented.dates.first, presented.dates.last);
        let idle = self.max_idle.is_some() || last.is_some();
        idle && last.is_none_or(|last| last < seconds(now)) || self.max_life.is_some() != first.is_some()
    }

    fn set_cookie(&self, served: &Served<'_>) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.name.len() + self.tail.len() + 64);
        line.extend_from_slice(self.name.as_bytes());
        line.push(b'=');
        if let Some(value) = served.value {
            line.extend_from_slice(value.as_str().as_bytes());
            let now = seconds(served.now);
            if self.max_idle.is_some() || self.max_life.is_some() {
                line.push(DATE);
                line.extend_from_slice(&written(now));
            }
            if self.max_life.is_some() {
                line.push(DATE);
                line.extend_from_slice(&written(served.presented.dates.first.unwrap_or(now)));
            }
        } else {
            line.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
        }
        line.extend_from_slice(self.tail.as_bytes());
        line
    }
}

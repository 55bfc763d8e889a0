use std::time::SystemTime;

use http::{HeaderMap, header::COOKIE};

use super::{
    lines::{Edit, Line, Pair, Pairs, edit},
    settings::PersistenceCookie,
    value::{CookieMode, Dates, PREFIX, over, seconds},
};
use crate::scan;

/// What a cookie's value names, as the caller of [`PersistenceCookie::on_request`] determines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieMatch<T> {
    /// An endpoint that can take the request.
    Endpoint(T),
    /// An endpoint that is known but cannot take the request. If the request has another cookie of the name, that one
    /// is tried.
    Down,
    /// No endpoint.
    Unknown,
}

impl<T> CookieMatch<T> {
    /// Returns the kind of match as a label for metrics: `endpoint`, `down` or `unknown`. Labels are stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Endpoint(_) => "endpoint",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// The result of reading a request's cookie. In parentheses: HAProxy's letter for it in its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieOutcome {
    /// The request has no cookie of the name (`N`).
    #[default]
    Absent,
    /// The cookie names an endpoint that can take the request (`V`).
    Valid,
    /// The cookie names an endpoint that is [down](CookieMatch::Down) (`D`).
    Down,
    /// The cookie names no endpoint, or is empty (`I`).
    Invalid,
    /// The cookie was last seen too long ago (`E`).
    Expired,
    /// The cookie was first set too long ago (`O`).
    Old,
    /// The cookie was not read, because the request is not to be bound (`U`).
    Disregarded,
    /// The request has more cookies of the name than are read.
    TooMany,
    /// The `Cookie` lines are too long to be read.
    TooLong,
}

impl CookieOutcome {
    /// Returns the outcome as a label for metrics, such as `valid`. Labels are stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Valid => "valid",
            Self::Down => "down",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Old => "old",
            Self::Disregarded => "disregarded",
            Self::TooMany => "too_many",
            Self::TooLong => "too_long",
        }
    }
}

/// The state of a request's cookie that [`on_request`](PersistenceCookie::on_request) passes to
/// [`on_response`](PersistenceCookie::on_response).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CookieState {
    outcome: CookieOutcome,
    pub(super) dates: Dates,
    pub(super) disregarded: bool,
}

impl CookieState {
    /// Returns the result of reading the cookie.
    pub fn outcome(&self) -> CookieOutcome {
        self.outcome
    }
}

impl PersistenceCookie {
    /// Reads the request's cookie, and changes the `Cookie` lines to what the endpoint should see. Returns the endpoint
    /// that the cookie names, if any.
    ///
    /// `find` gets a value without dates and without the endpoint's own value. The value is never empty. `find` is
    /// called for each cookie of the name until one names an endpoint. `now` is compared with
    /// [`max_idle`](super::PersistenceCookieBuilder::max_idle) and
    /// [`max_life`](super::PersistenceCookieBuilder::max_life).
    ///
    /// Cookies are separated as RFC 6265 says: by `;` only. Commas and quotes are part of a value, names are compared
    /// with case, and several lines count as one. In insert mode with `indirect`, all cookies of the name are removed,
    /// also those that name no endpoint. `$Path`, `$Domain` and `$Port` after such a cookie (RFC 2965, still sent by
    /// some Java clients) are removed with it, and so is a line that has no other cookie. In prefix mode, the value up
    /// to the first `~` is removed. All other cookies stay byte for byte.
    ///
    /// HAProxy differs: `,` separates cookies too, quotes hide `;`, white space around every `=` is removed, and
    /// everything that begins with `$` is removed with the cookie before it.
    ///
    /// O(length of the lines), in one pass. Nothing is copied unless a line changes.
    pub fn on_request<T>(
        &self,
        headers: &mut HeaderMap,
        now: SystemTime,
        mut find: impl FnMut(&[u8]) -> CookieMatch<T>,
    ) -> (Option<T>, CookieState) {
        self.read(headers, now, |value, _| find(value))
    }

    /// As [`on_request`](Self::on_request), but `find` also gets the endpoint's own value, in prefix mode.
    pub(crate) fn read<T>(
        &self,
        headers: &mut HeaderMap,
        now: SystemTime,
        find: impl FnMut(&[u8], Option<&[u8]>) -> CookieMatch<T>,
    ) -> (Option<T>, CookieState) {
        let length = headers.get_all(COOKIE).iter().fold(0, |sum: usize, line| sum.saturating_add(line.len()));
        let mut search = Search::new(self, now, find);
        search.too_long = length > self.max_bytes;
        edit(headers, COOKIE, |line| self.on_cookies(line, &mut search));
        search.done()
    }

    /// Changes the `Cookie` lines to what the endpoint should see, without reading the cookie: for a request that is
    /// not to be bound (HAProxy's `ignore-persist`). The result must be passed to
    /// [`on_response`](PersistenceCookie::on_response), which then sets no cookie.
    pub fn disregard(&self, headers: &mut HeaderMap) -> CookieState {
        let mut search = Search::new(self, SystemTime::UNIX_EPOCH, |_, _| CookieMatch::<()>::Unknown);
        search.state.disregarded = true;
        edit(headers, COOKIE, |line| self.on_cookies(line, &mut search));
        search.done().1
    }

    fn on_cookies<T>(
        &self,
        old: &[u8],
        search: &mut Search<'_, T, impl FnMut(&[u8], Option<&[u8]>) -> CookieMatch<T>>,
    ) -> Edit {
        let mut line = Line::new(old);
        // Where the removed part begins in the new line, and whether any cookie stays.
        let (mut cut, mut stays) = (None, false);
        for pair in Pairs::new(old) {
            if is_attribute(old.get(pair.name.clone()).unwrap_or_default()) {
                // It belongs to the cookie before it, and is removed with it.
                if cut.is_none() {
                    line.keep(pair.start..pair.end);
                }
                continue;
            }
            let ours = pair.assigned.as_ref().filter(|_| old.get(pair.name.clone()) == Some(self.name.as_bytes()));
            let Some(ours) = ours else {
                stays = true;
                keep(&mut line, &pair, cut.take());
                continue;
            };
            let value = old.get(ours.value.clone()).unwrap_or_default();
            let prefixed = self.mode == CookieMode::Prefix;
            let tilde = if prefixed { scan::find(value, |byte| byte == PREFIX) } else { None };
            let own = tilde.and_then(|tilde| value.get(tilde + 1..));
            search.found(value.get(..tilde.unwrap_or(value.len())).unwrap_or_default(), own);
            if self.indirect {
                cut.get_or_insert(line.len());
            } else {
                line.keep(pair.start..pair.name.end);
                line.keep(ours.equal..ours.equal + 1);
                line.keep(ours.value.start + tilde.map_or(0, |tilde| tilde + 1)..pair.end);
            }
        }
        match cut {
            Some(_) if !stays => return Edit::Remove,
            Some(cut) => line.truncate(cut),
            None => {}
        }
        match line.changed() {
            None => Edit::Keep,
            Some(new) if new.is_empty() => Edit::Remove,
            Some(new) => Edit::Replace(new),
        }
    }
}

/// Whether this is not a cookie's name, but an attribute between cookies (RFC 2965, section 3.3.4).
fn is_attribute(name: &[u8]) -> bool {
    name.first() == Some(&b'$')
        && [&b"$Version"[..], b"$Path", b"$Domain", b"$Port"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Keeps a cookie. If cookies before it were removed, one delimiter and a space replace theirs, and none at the start of
/// a line.
fn keep(line: &mut Line<'_>, pair: &Pair, cut: Option<usize>) {
    match cut {
        None => line.keep(pair.start..pair.name.start),
        Some(0) => {}
        Some(cut) => {
            line.truncate(cut);
            line.trim_end();
            line.push(b"; ");
        }
    }
    line.keep(pair.name.start..pair.end);
}

/// The state of reading a request's cookies.
struct Search<'a, T, F> {
    cookie: &'a PersistenceCookie,
    now: u64,
    find: F,
    seen: usize,
    too_long: bool,
    endpoint: Option<T>,
    state: CookieState,
}

impl<'a, T, F: FnMut(&[u8], Option<&[u8]>) -> CookieMatch<T>> Search<'a, T, F> {
    fn new(cookie: &'a PersistenceCookie, now: SystemTime, find: F) -> Self {
        let now = seconds(now);
        Self { cookie, now, find, seen: 0, too_long: false, endpoint: None, state: CookieState::default() }
    }

    fn found(&mut self, value: &[u8], own: Option<&[u8]>) {
        self.seen = self.seen.saturating_add(1);
        if self.too_long || self.seen > self.cookie.max_cookies || self.state.disregarded {
            return;
        }
        let CookieState { outcome, dates, .. } = &mut self.state;
        let mut value = if self.cookie.mode == CookieMode::Prefix { value } else { dates.cut(value) };
        let is_over = |then: Option<u64>, limit: Option<u64>| {
            then.zip(limit).is_some_and(|(then, limit)| over(then, self.now, limit))
        };
        let over = if is_over(dates.first, self.cookie.max_life) {
            Some(CookieOutcome::Old)
        } else {
            is_over(dates.last, self.cookie.max_idle).then_some(CookieOutcome::Expired)
        };
        if over.is_some() {
            *dates = Dates::default();
            value = &[];
        }
        // The first cookie that names an endpoint is used. The dates of later ones still count, as in HAProxy, and may cause
        // the cookie to be set again.
        if self.endpoint.is_some() {
            return;
        }
        if let Some(over) = over {
            *outcome = over;
        }
        match if value.is_empty() { CookieMatch::Unknown } else { (self.find)(value, own) } {
            CookieMatch::Endpoint(endpoint) => {
                self.endpoint = Some(endpoint);
                *outcome = CookieOutcome::Valid;
            }
            CookieMatch::Down => *outcome = CookieOutcome::Down,
            CookieMatch::Unknown if matches!(outcome, CookieOutcome::Absent) => *outcome = CookieOutcome::Invalid,
            CookieMatch::Unknown => {}
        }
    }

    fn done(mut self) -> (Option<T>, CookieState) {
        let limit = if self.seen == 0 {
            None
        } else if self.state.disregarded {
            Some(CookieOutcome::Disregarded)
        } else if self.too_long {
            Some(CookieOutcome::TooLong)
        } else {
            (self.seen > self.cookie.max_cookies).then_some(CookieOutcome::TooMany)
        };
        if let Some(outcome) = limit {
            self.endpoint = None;
            self.state = CookieState { outcome, dates: Dates::default(), ..self.state };
        }
        (self.endpoint, self.state)
    }
}

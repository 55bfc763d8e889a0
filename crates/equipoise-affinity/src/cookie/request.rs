use std::time::SystemTime;

use http::{HeaderMap, header::COOKIE};

use super::{
    lines::{Edit, Line, Pair, Pairs, edit},
    value::{CookieMode, Dates, PREFIX, PersistenceCookie, over},
};
use crate::{read::seconds, scan};

/// Whether the value of a persistence cookie names an endpoint, and which endpoint. The closure `find`, which the
/// caller passes to [`PersistenceCookie::on_request`], returns a `CookieMatch`. `T` is the caller's type for an
/// endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieMatch<T> {
    /// The cookie's value names this endpoint, and the endpoint can take the request.
    Endpoint(T),
    /// The cookie's value names a known endpoint that cannot take the request. If the request has another cookie of the
    /// same name, that cookie is tried next.
    Down,
    /// The cookie's value names no known endpoint. If the request has another cookie of the same name, that cookie is
    /// tried next.
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

/// The result of reading the [persistence cookie](PersistenceCookie) of a request. HAProxy shows most of these results
/// in its log, as the third letter of the termination state. The docs of the variants name these letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieOutcome {
    /// The request has no persistence cookie. HAProxy's log shows this as `N`.
    #[default]
    Absent,
    /// The persistence cookie names an endpoint that can take the request. HAProxy's log shows this as `V`.
    Valid,
    /// The persistence cookie names a known endpoint that cannot take the request: the caller returned
    /// [`CookieMatch::Down`]. HAProxy's log shows this as `D`.
    Down,
    /// The persistence cookie names no known endpoint, or has an empty value. HAProxy's log shows this as `I`.
    Invalid,
    /// The persistence cookie was ignored, because its last use was too long ago (see
    /// [`idle_timeout`](super::PersistenceCookieBuilder::idle_timeout)) or more than 24 hours in the future. HAProxy's
    /// log shows this as `E`.
    Expired,
    /// The persistence cookie was ignored, because it was first set too long ago (see
    /// [`lifetime`](super::PersistenceCookieBuilder::lifetime)) or more than 24 hours in the future. HAProxy's log
    /// shows this as `O`.
    Old,
    /// The request has a persistence cookie, but its value was not read, because
    /// [`disregard`](PersistenceCookie::disregard) was called. HAProxy's log shows this as `U`.
    Disregarded,
    /// All persistence cookies of the request were ignored, because there are more of them than
    /// [`max_cookies`](super::PersistenceCookieBuilder::max_cookies) allows.
    TooMany,
    /// The persistence cookie was ignored, because the `Cookie` lines of the request are together longer than
    /// [`max_bytes`](super::PersistenceCookieBuilder::max_bytes) allows.
    TooLong,
}

impl CookieOutcome {
    /// Returns the result as a label for metrics: the variant's name in snake case, such as `valid` or `too_many`.
    /// Labels are stable.
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

/// What [`on_request`](PersistenceCookie::on_request) found out about a request's persistence cookie: the result, and
/// the dates in the cookie's value. The caller keeps the state and passes it to
/// [`on_response`](PersistenceCookie::on_response). The default value stands for a request without a persistence
/// cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CookieState {
    outcome: CookieOutcome,
    pub(super) dates: Dates,
    pub(super) disregarded: bool,
}

impl CookieState {
    /// Returns the result of reading the request's cookie.
    pub fn outcome(&self) -> CookieOutcome {
        self.outcome
    }
}

impl PersistenceCookie {
    /// Reads the persistence cookie of a request, and changes the `Cookie` lines to what the endpoint should see.
    /// Returns the endpoint that the cookie names, if any, and the state that
    /// [`on_response`](PersistenceCookie::on_response) needs.
    ///
    /// `find` maps a cookie's value to an endpoint. It is called for each persistence cookie of the request until it
    /// returns [`CookieMatch::Endpoint`]. The value that `find` gets is never empty. It does not include the cookie's
    /// dates. In prefix mode, it is only the part before the first `~`, because the rest is the value that the endpoint
    /// itself has given its cookie. `now` is the current time, to which the cookie's dates are
    /// compared (see [`idle_timeout`](super::PersistenceCookieBuilder::idle_timeout) and
    /// [`lifetime`](super::PersistenceCookieBuilder::lifetime)).
    ///
    /// Cookies are separated by `;` only, as in RFC 6265. Commas and quotes are part of a value. Names are
    /// case-sensitive. Several `Cookie` lines are read as one. The lines are changed as follows:
    ///
    /// - In insert mode with [`indirect`](super::PersistenceCookieBuilder::indirect), all persistence cookies are
    ///   removed, including those that name no endpoint. The attributes `$Path`, `$Domain` and `$Port` after such a
    ///   cookie are removed too (RFC 2965; some Java clients still send them). A line without any other cookie is
    ///   removed completely.
    /// - In prefix mode, the persistence cookie's value up to and including the first `~` is removed.
    /// - All other cookies stay the same, byte for byte.
    ///
    /// HAProxy differs in four points. In HAProxy:
    ///
    /// - `,` also separates cookies.
    /// - `;` in quotes does not separate cookies.
    /// - White space around each `=` is removed.
    /// - Everything that begins with `$` is removed with the cookie before it.
    ///
    /// Takes O(n) time for the n bytes of the `Cookie` lines. Copies a line only if it changes.
    pub fn on_request<T>(
        &self,
        headers: &mut HeaderMap,
        now: SystemTime,
        mut find: impl FnMut(&[u8]) -> CookieMatch<T>,
    ) -> (Option<T>, CookieState) {
        self.read(headers, now, |value, _| find(value))
    }

    /// Does the same as [`on_request`](Self::on_request). In addition, in prefix mode, `find` gets the endpoint's own
    /// value.
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

    /// Changes the `Cookie` lines of a request to what the endpoint should see, without reading the persistence cookie.
    /// Use this method for a request that may go to any endpoint, whatever endpoint its cookie names (HAProxy's
    /// `ignore-persist`).
    ///
    /// Pass the returned state to [`on_response`](PersistenceCookie::on_response), which then sets no cookie.
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
        // `cut`: where cookies were removed in the new line. `stays`: whether any cookie is kept.
        let (mut cut, mut stays) = (None, false);
        for pair in Pairs::new(old) {
            if is_attribute(old.get(pair.name.clone()).unwrap_or_default()) {
                // An attribute is removed together with the cookie before it.
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

/// Whether this is the name of an attribute of the cookie before it, and not the name of a cookie (RFC 2965, section
/// 3.3.4).
fn is_attribute(name: &[u8]) -> bool {
    name.first() == Some(&b'$')
        && [&b"$Version"[..], b"$Path", b"$Domain", b"$Port"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Appends a cookie to the new line. If cookies before it were removed, their delimiters are replaced by a single `; `,
/// or by nothing at the start of the line.
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

/// The state while the cookies of one request are read.
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
        let over = if is_over(dates.first, self.cookie.lifetime) {
            Some(CookieOutcome::Old)
        } else {
            is_over(dates.last, self.cookie.idle_timeout).then_some(CookieOutcome::Expired)
        };
        if over.is_some() {
            *dates = Dates::default();
            value = &[];
        }
        // The first cookie that names an endpoint is used. The dates of later cookies are stored all the same, as in
        // HAProxy. They can cause the response to set the cookie again.
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

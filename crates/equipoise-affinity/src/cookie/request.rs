use std::time::SystemTime;

use http::{HeaderMap, header::COOKIE};

use super::{
    CookieMode, PREFIX, PersistenceCookie,
    date::{Dates, over, seconds},
    headers::{Edit, edit},
    line::Line,
    pairs::{Pair, Pairs},
};
use crate::scan;

/// Whom a cookie's value names, as the caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<T> {
    /// This one, and it may have the request.
    Endpoint(T),
    /// One that is known, but not fit to have the request. If another cookie of the name follows, that one is asked.
    Down,
    /// Nobody.
    Unknown,
}

/// What a request's cookie was worth. In parentheses HAProxy's letter for it, as in its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieOutcome {
    /// None of that name (`N`).
    #[default]
    Absent,
    /// It names an endpoint (`V`).
    Valid,
    /// It names one that is [down](Claim::Down) (`D`).
    Down,
    /// It names nobody, or is empty (`I`).
    Invalid,
    /// It was last seen too long ago (`E`).
    Expired,
    /// It was set too long ago (`O`).
    Old,
    /// It was not to be looked at (`U`).
    Disregarded,
    /// There are more of that name than are looked at.
    TooMany,
    /// The `Cookie` lines are too long to be looked at.
    TooLong,
}

/// What [`on_request`](PersistenceCookie::on_request) remembers for [`on_response`](PersistenceCookie::on_response).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    outcome: CookieOutcome,
    pub(super) dates: Dates,
    pub(super) disregarded: bool,
}

impl Presented {
    /// What the cookie was worth: worth counting.
    pub fn outcome(&self) -> CookieOutcome {
        self.outcome
    }
}

impl PersistenceCookie {
    /// Finds out whom the request's cookie names, and makes the `Cookie` lines what the endpoint shall see.
    ///
    /// `whose` gets the bytes that should name an endpoint (never empty; dates and what follows a prefix are off) and is
    /// asked until it names one. `now` is what [`max_idle`](super::PersistenceCookieBuilder::max_idle) and
    /// [`max_life`](super::PersistenceCookieBuilder::max_life) go by.
    ///
    /// Cookies are what servers that go by RFC 6265 see: `;` parts them, while commas and quotes are bytes like others and
    /// part of a value. Names are compared with case; several lines count as one. In insert mode with `indirect` the cookie
    /// is removed, wherever and however often it stands, also if it names nobody; `$Path`, `$Domain` and `$Port` after it
    /// (RFC 2965's, of which Java still sends some) go with it, and so does a line in which nobody else's cookie stands.
    /// In prefix mode the value up to the first `~` is removed. All other cookies stay byte for byte. (HAProxy differs in
    /// that: `,` parts cookies as well, quotes hide `;`, white space around every `=` is removed, and whatever begins
    /// with `$` goes with the cookie before it.)
    ///
    /// One pass, in the length of the lines; nothing is copied unless something changes.
    pub fn on_request<T>(
        &self,
        headers: &mut HeaderMap,
        now: SystemTime,
        mut whose: impl FnMut(&[u8]) -> Claim<T>,
    ) -> (Option<T>, Presented) {
        self.read(headers, now, |value, _| whose(value))
    }

    /// The same; `whose` also gets what follows a prefix, the endpoint's own value.
    pub(crate) fn read<T>(
        &self,
        headers: &mut HeaderMap,
        now: SystemTime,
        whose: impl FnMut(&[u8], Option<&[u8]>) -> Claim<T>,
    ) -> (Option<T>, Presented) {
        let length = headers.get_all(COOKIE).iter().fold(0, |sum: usize, line| sum.saturating_add(line.len()));
        let mut search = Search::new(self, now, whose);
        search.too_long = length > self.most_bytes;
        edit(headers, COOKIE, |line| self.on_cookies(line, &mut search));
        search.done()
    }

    /// For a request that shall not be bound, whatever its cookie says (HAProxy's `ignore-persist`): only makes the
    /// `Cookie` lines what the endpoint shall see. Its answer is to be handed to
    /// [`on_response`](PersistenceCookie::on_response) all the same, which then sets nothing.
    pub fn disregard(&self, headers: &mut HeaderMap) -> Presented {
        let mut search = Search::new(self, SystemTime::UNIX_EPOCH, |_, _| Claim::<()>::Unknown);
        search.presented.disregarded = true;
        edit(headers, COOKIE, |line| self.on_cookies(line, &mut search));
        search.done().1
    }

    fn on_cookies<T>(
        &self,
        old: &[u8],
        search: &mut Search<'_, T, impl FnMut(&[u8], Option<&[u8]>) -> Claim<T>>,
    ) -> Edit {
        let mut line = Line::new(old);
        // Where what is being removed began, and whether anything is to stay.
        let (mut cut, mut stays) = (None, false);
        for pair in Pairs::new(old) {
            if is_attribute(old.get(pair.name.clone()).unwrap_or_default()) {
                // Belongs to the cookie before it, and goes with it.
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

/// Whether it is the name of one of the attributes that RFC 2965, section 3.3.4, puts between cookies, and no cookie's.
fn is_attribute(name: &[u8]) -> bool {
    name.first() == Some(&b'$')
        && [&b"$Version"[..], b"$Path", b"$Domain", b"$Port"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Keeps a cookie. If something before it was `cut` out, one delimiter and one space stand in for that one's; at the
/// start of a line there are none.
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

/// What is known so far about a request's cookies of the name.
struct Search<'a, T, F> {
    cookie: &'a PersistenceCookie,
    now: u64,
    whose: F,
    seen: usize,
    too_long: bool,
    endpoint: Option<T>,
    presented: Presented,
}

impl<'a, T, F: FnMut(&[u8], Option<&[u8]>) -> Claim<T>> Search<'a, T, F> {
    fn new(cookie: &'a PersistenceCookie, now: SystemTime, whose: F) -> Self {
        let now = seconds(now);
        Self { cookie, now, whose, seen: 0, too_long: false, endpoint: None, presented: Presented::default() }
    }

    fn found(&mut self, value: &[u8], own: Option<&[u8]>) {
        self.seen = self.seen.saturating_add(1);
        if self.too_long || self.seen > self.cookie.most_cookies || self.presented.disregarded {
            return;
        }
        let Presented { outcome, dates, .. } = &mut self.presented;
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
        // The first that names an endpoint decides. One after it can still change what is known of dates, and so bring
        // about a fresh cookie.
        if self.endpoint.is_some() {
            return;
        }
        if let Some(over) = over {
            *outcome = over;
        }
        match if value.is_empty() { Claim::Unknown } else { (self.whose)(value, own) } {
            Claim::Endpoint(endpoint) => {
                self.endpoint = Some(endpoint);
                *outcome = CookieOutcome::Valid;
            }
            Claim::Down => *outcome = CookieOutcome::Down,
            Claim::Unknown if matches!(outcome, CookieOutcome::Absent) => *outcome = CookieOutcome::Invalid,
            Claim::Unknown => {}
        }
    }

    fn done(mut self) -> (Option<T>, Presented) {
        let limit = if self.seen == 0 {
            None
        } else if self.presented.disregarded {
            Some(CookieOutcome::Disregarded)
        } else if self.too_long {
            Some(CookieOutcome::TooLong)
        } else {
            (self.seen > self.cookie.most_cookies).then_some(CookieOutcome::TooMany)
        };
        if let Some(outcome) = limit {
            self.endpoint = None;
            self.presented = Presented { outcome, dates: Dates::default(), ..self.presented };
        }
        (self.endpoint, self.presented)
    }
}

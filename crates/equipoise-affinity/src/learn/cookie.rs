//! Reads `Set-Cookie` lines by the rules of RFC 6265 for user agents.

use std::time::SystemTime;

use http::{HeaderMap, header::SET_COOKIE};

use super::date::cookie_date;
use crate::{
    read::{pair, seconds, unquoted},
    scan,
};

/// What the `Set-Cookie` lines of a response say about one cookie.
pub(super) enum CookieChange<'r> {
    Set(&'r [u8]),
    Deleted,
    Unchanged,
}

pub(super) fn cookie_change<'r>(headers: &'r HeaderMap, name: &str, now: SystemTime) -> CookieChange<'r> {
    let mut alive: Option<SetCookie<'r>> = None;
    let mut deleted = false;
    for line in headers.get_all(SET_COOKIE) {
        let Some(cookie) = SetCookie::read(line.as_bytes(), name, now) else { continue };
        if !cookie.over {
            alive = Some(cookie);
        } else {
            deleted = true;
            alive = alive.filter(|alive| !alive.is_same_cookie(&cookie));
        }
    }
    match alive {
        Some(cookie) => CookieChange::Set(cookie.value),
        None if deleted => CookieChange::Deleted,
        None => CookieChange::Unchanged,
    }
}

struct SetCookie<'r> {
    value: &'r [u8],
    domain: &'r [u8],
    path: &'r [u8],
    over: bool,
}

impl<'r> SetCookie<'r> {
    /// Parses a line that sets the cookie `name` (RFC 6265 §5.2 and §5.3). Returns `None` for other lines. If an
    /// attribute occurs twice, the last one is used.
    fn read(line: &'r [u8], name: &str, now: SystemTime) -> Option<Self> {
        let mut parts = scan::split(line, b';');
        let (_, value) = pair(parts.next()?).filter(|(found, _)| *found == name.as_bytes())?;
        let value = unquoted(value);
        let mut cookie = Self { value, domain: b"", path: b"", over: false };
        let (mut max_age_over, mut expires_over) = (None, None);
        for (attribute, value) in parts.filter_map(pair) {
            if attribute.eq_ignore_ascii_case(b"max-age") {
                max_age_over = is_over(value).or(max_age_over);
            } else if attribute.eq_ignore_ascii_case(b"expires") {
                let now = i128::from(seconds(now));
                expires_over = cookie_date(value).map(|until| i128::from(until) <= now).or(expires_over);
            } else if attribute.eq_ignore_ascii_case(b"domain") {
                cookie.domain = value.strip_prefix(b".").unwrap_or(value);
            } else if attribute.eq_ignore_ascii_case(b"path") {
                cookie.path = value;
            }
        }
        cookie.over = value.is_empty() || max_age_over.or(expires_over).unwrap_or(false);
        Some(cookie)
    }

    fn is_same_cookie(&self, other: &Self) -> bool {
        self.domain.eq_ignore_ascii_case(other.domain) && self.path == other.path
    }
}

/// Whether a `Max-Age` is 0 or less. Returns `None` if it is not a number (RFC 6265 §5.2.2).
fn is_over(max_age: &[u8]) -> Option<bool> {
    let (negative, digits) = match max_age {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || scan::find(digits, |byte| !byte.is_ascii_digit()).is_some() {
        return None;
    }
    Some(negative || scan::find(digits, |byte| byte != b'0').is_none())
}

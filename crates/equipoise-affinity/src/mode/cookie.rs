use std::time::SystemTime;

use http::{HeaderMap, Method, request::Parts};

use super::{Answer, Home, Sought, Values, values::Named};
use crate::{
    cookie::{Claim, CookieAction, CookieMode, CookieOutcome, PersistenceCookie, Presented, Served},
    outcome::Unbound,
    token::{Refused, Session},
};

/// What is remembered of a request's cookie until its response comes.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    presented: Presented,
    method: Method,
    /// Which goes on, wherever it goes.
    session: Option<Session>,
    /// Whether it is to be set afresh although it is kept.
    due: bool,
}

pub(super) fn seek(
    cookie: &PersistenceCookie,
    values: &Values,
    head: &mut Parts,
    now: SystemTime,
    takes: impl Fn(&equipoise_core::EndpointId) -> bool,
) -> Sought {
    let (mut down, mut refused) = (None, None);
    let (found, presented) = cookie.on_request(&mut head.headers, now, |value| match values.whose(value, now) {
        Ok(named) if takes(&named.endpoint) => Claim::Endpoint(named),
        Ok(named) => {
            down.get_or_insert(named);
            Claim::Down
        }
        Err(why) => {
            refused.get_or_insert(why);
            Claim::Unknown
        }
    });
    let mut memo = Memo { presented, method: head.method.clone(), session: None, due: false };
    // If none that can take it is named, one that cannot has been its home.
    if let Some(Named { endpoint, session, due }) = found.or(down) {
        memo.session = session;
        memo.due = due;
        return Sought { home: Home::Known(Ok(endpoint)), session: number(session), memo };
    }
    let why = match presented.outcome() {
        CookieOutcome::Absent => Unbound::Absent,
        CookieOutcome::Expired | CookieOutcome::Old => Unbound::Expired,
        CookieOutcome::TooMany | CookieOutcome::TooLong => Unbound::Oversized,
        CookieOutcome::Disregarded => Unbound::Off,
        _ => refused.unwrap_or(Unbound::Unknown),
    };
    if let Unbound::Token(Refused::UnknownEndpoint { session }) = why {
        memo.session = Some(session);
        return Sought { home: Home::Lost(why), session: number(Some(session)), memo };
    }
    Sought { home: Home::Known(Err(why)), session: None, memo }
}

fn number(session: Option<Session>) -> Option<bytes::Bytes> {
    session.map(|session| bytes::Bytes::copy_from_slice(session.key()))
}

/// For a request that is not to be bound, whatever its cookie says.
pub(super) fn disregard(cookie: &PersistenceCookie, head: &mut Parts) -> Memo {
    let presented = cookie.disregard(&mut head.headers);
    Memo { presented, method: head.method.clone(), session: None, due: false }
}

pub(super) fn settle(
    cookie: &PersistenceCookie,
    values: &Values,
    memo: Memo,
    answer: &Answer<'_>,
    headers: &mut HeaderMap,
) -> bool {
    // Who is away for the moment keeps the cookie of its home; what another endpoint sets of its own is that one's.
    let named = match answer.home {
        Some(home) if !answer.binds && cookie.mode() == CookieMode::Insert => home,
        _ => answer.served,
    };
    let afresh = answer.binds || memo.due;
    // Nothing is made that nobody will see.
    let seen = afresh || cookie.mode() != CookieMode::Insert || cookie.is_stale(memo.presented, answer.now);
    let value = if seen { values.of(cookie, named, memo.session, answer.now) } else { None };
    // What cannot be named erases a cookie that is worth nothing, not one that was never there.
    let absent = memo.presented.outcome() == CookieOutcome::Absent;
    let served = Served {
        presented: memo.presented,
        kept: !afresh || value.is_none() && absent,
        value: value.as_ref(),
        method: &memo.method,
        now: answer.now,
    };
    let action = cookie.on_response(served, answer.status, headers);
    answer.binds
        && value.is_some()
        && matches!(action, CookieAction::Inserted | CookieAction::Updated | CookieAction::Replaced)
}

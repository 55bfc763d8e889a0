use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method, request::Parts};
use xxhash_rust::xxh64::xxh64;

use super::{Answer, Home, Members, Sought, Values, values::Named};
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
    members: &dyn Members,
) -> Sought {
    let whose = |value: &[u8]| match values.whose(value, now) {
        // Whom another balancer has named may have joined just now.
        Err(Unbound::Unknown | Unbound::Token(Refused::UnknownEndpoint { .. })) => {
            members.catch_up();
            values.whose(value, now)
        }
        known => known,
    };
    let (mut down, mut refused) = (None, None);
    let (found, presented) = cookie.read(&mut head.headers, now, |value, own| match whose(value) {
        Ok(named) if members.takes(&named.endpoint) => Claim::Endpoint((told(named.session, own), named)),
        Ok(named) => {
            down.get_or_insert_with(|| (told(named.session, own), named));
            Claim::Down
        }
        Err(why) => {
            refused.get_or_insert(why);
            Claim::Unknown
        }
    });
    let mut memo = Memo { presented, method: head.method.clone(), session: None, due: false };
    // If none that can take it is named, one that cannot has been its home.
    if let Some((told, Named { endpoint, session, due })) = found.or(down) {
        memo.session = session;
        memo.due = due;
        return Sought { home: Home::Known(Ok(endpoint)), session: told, memo };
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
        return Sought { home: Home::Lost(why), session: told(Some(session), None), memo };
    }
    Sought { home: Home::Known(Err(why)), session: None, memo }
}

/// What tells the session from others: its number; or else the endpoint's own value behind a prefix, of which all
/// balancers make the same.
fn told(session: Option<Session>, own: Option<&[u8]>) -> Option<Bytes> {
    match session {
        Some(session) => Some(Bytes::copy_from_slice(session.key())),
        None => own.filter(|own| !own.is_empty()).map(|own| Bytes::copy_from_slice(&xxh64(own, 0).to_be_bytes())),
    }
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
    let name = || values.of(cookie, named, memo.session, answer.now);
    // It may have joined since the request came.
    let joined = || {
        answer.members.catch_up();
        name()
    };
    let value = if seen { name().or_else(joined) } else { None };
    let served = Served {
        presented: memo.presented,
        // That one cannot be named says nothing about the cookie that the client has.
        kept: !afresh || value.is_none(),
        value: value.as_ref(),
        method: &memo.method,
        now: answer.now,
    };
    let action = cookie.on_response(served, answer.status, headers);
    // Where the endpoint sets the cookie, whoever sets it has the session, also one that was only to help out.
    let takes_over = cookie.mode() != CookieMode::Insert && answer.home.is_some_and(|home| home != answer.served);
    (answer.binds || takes_over)
        && value.is_some()
        && matches!(action, CookieAction::Inserted | CookieAction::Updated | CookieAction::Replaced)
}

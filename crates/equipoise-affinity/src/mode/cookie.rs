//! The mode `cookie`: a cookie of the client names its endpoint.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use xxhash_rust::xxh64::xxh64;

use super::{
    found::{Found, Settlement},
    values::Values,
};
use crate::{
    cookie::{Claim, CookieAction, CookieMode, CookieOutcome, PersistenceCookie, Served},
    members::PoolMembers,
    outcome::UnboundReason,
    token::{InvalidToken, TokenSession},
};

pub(super) fn find(
    cookie: &PersistenceCookie,
    values: &Values,
    head: &mut Parts,
    now: SystemTime,
    members: &PoolMembers,
    forced: bool,
) -> Found {
    let read = |value: &[u8]| match values.read(value, now) {
        // Another balancer may have named an endpoint that joined just now.
        Err(UnboundReason::Unknown | UnboundReason::Token(InvalidToken::UnknownEndpoint { .. })) => {
            follow(cookie, values, members);
            values.read(value, now)
        }
        known => known,
    };
    // The first endpoint that cannot take the request, and why the first unusable value names none.
    let (mut down, mut refused) = (None, None);
    let (named, presented) = cookie.read(&mut head.headers, now, |value, own| match read(value) {
        Ok(named) if members.accepts(&named.endpoint, forced) => {
            Claim::Endpoint((session_key(named.session, own), named))
        }
        Ok(named) => {
            down.get_or_insert_with(|| (session_key(named.session, own), named));
            Claim::Down
        }
        Err(reason) => {
            refused.get_or_insert(reason);
            Claim::Unknown
        }
    });
    let reason = match presented.outcome() {
        CookieOutcome::Absent => UnboundReason::Absent,
        CookieOutcome::Expired | CookieOutcome::Old => UnboundReason::Expired,
        CookieOutcome::TooMany | CookieOutcome::TooLong => UnboundReason::Oversized,
        CookieOutcome::Disregarded => UnboundReason::Off,
        _ => refused.unwrap_or(UnboundReason::Unknown),
    };
    let mut found = Found { presented, method: head.method.clone(), ..Found::unbound(reason) };
    // If no value names an endpoint that can take the request, the session is bound to the first one that cannot.
    if let Some((key, named)) = named.or(down) {
        found.endpoint = Ok(named.endpoint);
        found.key = key;
        found.token_session = named.session;
        found.renew = named.due;
    } else if let UnboundReason::Token(InvalidToken::UnknownEndpoint { session }) = reason {
        found.key = session_key(Some(session), None);
        found.token_session = Some(session);
    }
    found
}

/// The session's key: the number in its token, or else a hash of the endpoint's own value behind a prefix. Both are the
/// same at all balancers.
fn session_key(session: Option<TokenSession>, own: Option<&[u8]>) -> Option<Bytes> {
    match session {
        Some(session) => Some(Bytes::copy_from_slice(session.key())),
        None => own.filter(|own| !own.is_empty()).map(|own| Bytes::copy_from_slice(&xxh64(own, 0).to_be_bytes())),
    }
}

/// For a request that is not to be bound, whatever its cookie says.
pub(super) fn disregard(cookie: &PersistenceCookie, head: &mut Parts) -> Found {
    let presented = cookie.disregard(&mut head.headers);
    Found { presented, method: head.method.clone(), ..Found::unbound(UnboundReason::Off) }
}

/// Sets or changes the cookie of the response. Returns whether it now names another endpoint than the request's.
pub(super) fn settle(
    cookie: &PersistenceCookie,
    values: &Values,
    settlement: &Settlement<'_>,
    headers: &mut HeaderMap,
) -> bool {
    let Settlement { found, served, binds, now, .. } = *settlement;
    // A request that another endpoint served this once keeps its cookie. But a cookie that endpoints set themselves
    // belongs to the endpoint that set it.
    let named = match &found.endpoint {
        Ok(bound_to) if !binds && cookie.mode() == CookieMode::Insert => bound_to,
        _ => served,
    };
    let renew = binds || found.renew;
    // A token costs an HMAC, so it is made only if the client will see it.
    let is_sent = renew || cookie.mode() != CookieMode::Insert || cookie.is_stale(found.presented, now);
    let name = || values.name(cookie, named, found.token_session, now);
    let name_after_update = || {
        follow(cookie, values, settlement.members);
        name()
    };
    let value = if is_sent { name().or_else(name_after_update) } else { None };
    let response = Served {
        presented: found.presented,
        // That no value names the endpoint says nothing about the cookie that the client has.
        kept: !renew || value.is_none(),
        value: value.as_ref(),
        method: &found.method,
        now,
    };
    let action = cookie.on_response(response, settlement.status, headers);
    let is_taken_over =
        cookie.mode() != CookieMode::Insert && found.endpoint.as_ref().is_ok_and(|bound_to| bound_to != served);
    (binds || is_taken_over)
        && value.is_some()
        && matches!(action, CookieAction::Inserted | CookieAction::Updated | CookieAction::Replaced)
}

/// Returns when the values name all current members.
fn follow(cookie: &PersistenceCookie, values: &Values, members: &PoolMembers) {
    if let Some(Err(error)) = members.follow(true, |_| (), |endpoints| values.set_members(cookie, endpoints)) {
        tracing::warn!("{error}");
    }
}

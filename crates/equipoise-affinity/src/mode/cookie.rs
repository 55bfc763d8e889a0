//! The mode `cookie`: a cookie names the endpoint of the session. The functions of this module read the cookie of a
//! request and set the cookie of a response.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use xxhash_rust::xxh64::xxh64;

use super::{Found, Settlement, naming::EndpointNaming};
use crate::{
    cookie::{CookieAction, CookieMatch, CookieMode, CookieOutcome, PersistenceCookie, ResponseContext},
    members::PoolMembers,
    outcome::UnboundReason,
    token::{InvalidToken, TokenSession},
};

pub(crate) fn find(
    cookie: &PersistenceCookie,
    naming: &EndpointNaming,
    head: &mut Parts,
    now: SystemTime,
    members: &PoolMembers,
    forced: bool,
) -> Found {
    let read = |value: &[u8]| match naming.read(value, now) {
        // Another balancer may have named an endpoint that has just joined, and that is not in the list here yet.
        Err(UnboundReason::Unknown | UnboundReason::Token(InvalidToken::UnknownEndpoint { .. })) => {
            follow(cookie, naming, members);
            naming.read(value, now)
        }
        known => known,
    };
    // The first endpoint that cannot take the request, and the reason why the first invalid value names no endpoint.
    let (mut down, mut refused) = (None, None);
    let (named, state) = cookie.read(&mut head.headers, now, |value, own| match read(value) {
        Ok(named) if members.accepts(&named.endpoint, forced) => {
            CookieMatch::Endpoint((session_key(named.session, own), named))
        }
        Ok(named) => {
            down.get_or_insert_with(|| (session_key(named.session, own), named));
            CookieMatch::Down
        }
        Err(reason) => {
            refused.get_or_insert(reason);
            CookieMatch::Unknown
        }
    });
    let reason = match state.outcome() {
        CookieOutcome::Absent => UnboundReason::Absent,
        CookieOutcome::Expired | CookieOutcome::Old => UnboundReason::Expired,
        CookieOutcome::TooMany | CookieOutcome::TooLong => UnboundReason::Oversized,
        CookieOutcome::Disregarded => UnboundReason::Off,
        _ => refused.unwrap_or(UnboundReason::Unknown),
    };
    let mut found = Found { cookie_state: state, method: head.method.clone(), ..Found::unbound(reason) };
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

/// Returns the key that identifies the session: the number in its token, or else, in prefix mode, a hash of the value
/// that the endpoint itself has set. All balancers compute the same key.
fn session_key(session: Option<TokenSession>, own: Option<&[u8]>) -> Option<Bytes> {
    match session {
        Some(session) => Some(Bytes::copy_from_slice(session.key())),
        None => own.filter(|own| !own.is_empty()).map(|own| Bytes::copy_from_slice(&xxh64(own, 0).to_be_bytes())),
    }
}

/// Removes the cookie from a request to which affinity does not apply, if endpoints must not see it.
pub(crate) fn disregard(cookie: &PersistenceCookie, head: &mut Parts) -> Found {
    let state = cookie.disregard(&mut head.headers);
    Found { cookie_state: state, method: head.method.clone(), ..Found::unbound(UnboundReason::Off) }
}

/// Sets or changes the cookie of the response. Returns whether this cookie binds the session to another endpoint than
/// the request's cookie did.
pub(crate) fn settle(
    cookie: &PersistenceCookie,
    naming: &EndpointNaming,
    settlement: &Settlement<'_>,
    headers: &mut HeaderMap,
) -> bool {
    let Settlement { found, served, binds, now, .. } = *settlement;
    // If another endpoint serves only this request, the cookie still names the session's endpoint. But a cookie that
    // endpoints set themselves names the endpoint that has set it.
    let named = match &found.endpoint {
        Ok(bound_to) if !binds && cookie.mode() == CookieMode::Insert => bound_to,
        _ => served,
    };
    let renew = binds || found.renew;
    // Making a token costs an HMAC, so a token is made only if the response contains it.
    let is_sent = renew || cookie.mode() != CookieMode::Insert || cookie.is_stale(found.cookie_state, now);
    let name = || naming.name(cookie, named, found.token_session, now);
    let name_after_update = || {
        follow(cookie, naming, settlement.members);
        name()
    };
    let value = if is_sent { name().or_else(name_after_update) } else { None };
    // If the endpoint has no name, the client's cookie stays as it is.
    let is_kept = !renew || value.is_none();
    let response = ResponseContext::new(found.cookie_state, value.as_ref(), &found.method, now).kept(is_kept);
    let action = cookie.on_response(response, settlement.status, headers);
    let is_taken_over =
        cookie.mode() != CookieMode::Insert && found.endpoint.as_ref().is_ok_and(|bound_to| bound_to != served);
    (binds || is_taken_over)
        && value.is_some()
        && matches!(action, CookieAction::Inserted | CookieAction::Updated | CookieAction::Replaced)
}

/// Updates `naming` with the pool's current members. Waits if another thread is doing this.
fn follow(cookie: &PersistenceCookie, naming: &EndpointNaming, members: &PoolMembers) {
    if let Some(Err(error)) = members.follow(true, |_| (), |endpoints| naming.set_members(cookie, endpoints)) {
        tracing::warn!("{error}");
    }
}

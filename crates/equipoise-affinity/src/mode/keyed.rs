//! The modes that read a session key from the request: `hash`, `table`, `learn` and `route`. The functions of this
//! module find the session of a request and store its binding.

use bytes::Bytes;
use equipoise_core::EndpointId;
use equipoise_tower::RequestHead;
use http::{HeaderMap, request::Parts};

use super::{Found, Settlement};
use crate::{
    key::{Extracted, SessionKey},
    learn::{Learn, Learned, Route},
    members::PoolMembers,
    outcome::UnboundReason,
    store::{Guarded, Lookup},
};

/// Mode `hash`: reads the key by which the strategy chooses the endpoint.
pub(crate) fn find_by_hash(key: &SessionKey, head: &Parts) -> Found {
    let key = extract(key, head);
    let keyed = key.is_ok();
    Found { keyed, ..Found::with_key(key) }
}

/// Mode `table`: reads the key, and looks it up in the session store.
pub(crate) fn find_in_table(key: &SessionKey, store: &Guarded, head: &Parts) -> Found {
    Found::with_key(extract(key, head)).look_up(store)
}

/// Mode `learn`: reads the key that a backend has set, and looks it up in the session store.
pub(crate) fn find_learned(learn: &Learn, store: &Guarded, head: &Parts) -> Found {
    Found::with_key(extract_learned(learn, head)).look_up(store)
}

/// Mode `route`: reads the key that a backend has set. A part of this key is the endpoint's id.
pub(crate) fn find_by_route(learn: &Learn, route: Route, head: &Parts, members: &PoolMembers) -> Found {
    let mut found = Found::with_key(extract_learned(learn, head));
    if let Some(id) = found.key.as_deref().and_then(|key| route.of(key)).map(EndpointId::from) {
        // An id that was never in the pool counts as no binding. Choosing another endpoint for it takes O(n) time, and
        // clients could cause this with ids that they invent.
        if !members.knows(&id) {
            members.follow(true, |_| (), |_| ());
        }
        if members.knows(&id) {
            found.endpoint = Ok(id);
        }
    }
    found
}

fn extract(key: &SessionKey, head: &Parts) -> Result<Bytes, UnboundReason> {
    match key.of(RequestHead::of_parts(head)) {
        Extracted::Found(key) => Ok(Bytes::copy_from_slice(&key)),
        Extracted::Absent => Err(UnboundReason::Absent),
        Extracted::Oversized => Err(UnboundReason::Oversized),
    }
}

fn extract_learned(learn: &Learn, head: &Parts) -> Result<Bytes, UnboundReason> {
    match learn.request_key(RequestHead::of_parts(head)) {
        Ok(Some(key)) => Ok(Bytes::copy_from_slice(key)),
        Ok(None) => Err(UnboundReason::Absent),
        Err(_) => Err(UnboundReason::Oversized),
    }
}

impl Found {
    /// A request with this key, or a request that has no key for this reason.
    fn with_key(key: Result<Bytes, UnboundReason>) -> Self {
        match key {
            Ok(key) => Self { key: Some(key), ..Self::unbound(UnboundReason::Unknown) },
            Err(reason) => Self::unbound(reason),
        }
    }

    fn look_up(mut self, store: &Guarded) -> Self {
        match self.key.as_deref().map(|key| store.lookup(key)) {
            Some(Lookup::Now(answer)) => self.set_answer(answer),
            later => self.lookup = later,
        }
        self
    }
}

/// Binds the request's key to the endpoint that answered. Returns whether a new binding was stored.
pub(crate) fn settle_in_table(store: &Guarded, settlement: &Settlement<'_>) -> bool {
    if_still_member(store, settlement, || {
        let binds = settlement.binds && settlement.members.contains(settlement.served);
        let Some(key) = settlement.found.key.as_deref().filter(|_| binds) else { return false };
        let bound_to = settlement.found.endpoint.as_ref().ok();
        if bound_to.is_none() && !(settlement.may_begin)() {
            return false;
        }
        store.bind(key, settlement.served, bound_to);
        true
    })
}

/// Binds the key that the backend has set. Returns whether a new binding was stored.
pub(crate) fn settle_learned(learn: &Learn, store: &Guarded, settlement: &Settlement<'_>, headers: &HeaderMap) -> bool {
    let Settlement { found, served, binds, .. } = settlement;
    if_still_member(store, settlement, || {
        let learned = learn.response(headers, settlement.now).unwrap_or(Learned::Nothing);
        match (learned, found.key.as_deref(), found.endpoint.as_ref().ok()) {
            // The backend has set the same key again, and the binding of this key must not change.
            (Learned::Key(set), Some(brought), Some(_)) if set == brought && !binds => false,
            (Learned::Key(set), brought, bound_to) => {
                // A new key belongs to the endpoint that set it, even if the request was bound to another one.
                let known = bound_to.filter(|_| brought == Some(set));
                let binds = known.is_some() || (settlement.may_begin)();
                if binds {
                    store.bind(set, served, known);
                }
                binds
            }
            (Learned::Ended, Some(brought), Some(_)) => {
                store.unbind(brought);
                false
            }
            // The session moves to the endpoint that answered.
            (Learned::Nothing, Some(brought), Some(bound_to)) if *binds => {
                store.bind(brought, served, Some(bound_to));
                true
            }
            (Learned::Nothing, Some(brought), None) if learn.adopts() && (settlement.may_begin)() => {
                store.bind(brought, served, None);
                true
            }
            // No backend has set this key: the client may have invented it.
            (Learned::Nothing | Learned::Ended, _, _) => false,
        }
    })
}

/// Runs `settle`. If the endpoint has left the pool meanwhile, also reports to the store that it has left, so that the
/// new binding is void. A departure is reported only once: a binding that is stored after the report would be valid
/// again if the endpoint came back.
fn if_still_member(store: &Guarded, settlement: &Settlement<'_>, settle: impl FnOnce() -> bool) -> bool {
    let Settlement { members, served, .. } = settlement;
    // The list must include an endpoint that joined after the request arrived. Otherwise its departure is not reported.
    members.follow(true, |id| store.left(id), |_| ());
    if !settle() {
        return false;
    }
    // Checked after the binding is stored: a departure after this check is reported by a later request.
    let is_member = members.contains(served);
    if !is_member {
        store.left(served);
    }
    is_member
}

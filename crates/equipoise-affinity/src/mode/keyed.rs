//! The modes that read a session key from the request: `hash`, `table`, `learn` and `route`.

use bytes::Bytes;
use equipoise_core::EndpointId;
use equipoise_tower::RequestHead;
use http::{HeaderMap, request::Parts};

use super::found::{Found, Settlement};
use crate::{
    key::{Extracted, SessionKey},
    learn::{Learn, Learned, Route},
    members::PoolMembers,
    outcome::UnboundReason,
    store::{Guarded, Lookup},
};

/// `hash`: the strategy places the request by its key.
pub(super) fn find_by_hash(key: &SessionKey, head: &Parts) -> Found {
    let key = extract(key, head);
    let keyed = key.is_ok();
    Found { keyed, ..Found::with_key(key) }
}

/// `table`: the store is asked for the request's key.
pub(super) fn find_in_table(key: &SessionKey, store: &Guarded, head: &Parts) -> Found {
    Found::with_key(extract(key, head)).look_up(store)
}

/// `learn`: the store is asked for the key that a backend once set.
pub(super) fn find_learned(learn: &Learn, store: &Guarded, head: &Parts) -> Found {
    Found::with_key(extract_learned(learn, head)).look_up(store)
}

/// `route`: a part of the key that a backend once set names the endpoint.
pub(super) fn find_by_route(learn: &Learn, route: Route, head: &Parts, members: &PoolMembers) -> Found {
    let mut found = Found::with_key(extract_learned(learn, head));
    if let Some(id) = found.key.as_deref().and_then(|key| route.of(key)).map(EndpointId::from) {
        // An id that was never in the pool counts as none. Selecting another endpoint for it would take O(endpoints),
        // which clients could ask for with invented ids.
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
    /// A request with this key, or without one for this reason.
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

/// Binds the request's key to the endpoint that answered. Returns whether it is bound now.
pub(super) fn settle_in_table(store: &Guarded, settlement: &Settlement<'_>) -> bool {
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

/// Binds the key that the backend has set. Returns whether a key is bound now.
pub(super) fn settle_learned(learn: &Learn, store: &Guarded, settlement: &Settlement<'_>, headers: &HeaderMap) -> bool {
    let Settlement { found, served, binds, .. } = settlement;
    if_still_member(store, settlement, || {
        let learned = learn.response(headers, settlement.now).unwrap_or(Learned::Nothing);
        match (learned, found.key.as_deref(), found.endpoint.as_ref().ok()) {
            // The backend confirms the key. The endpoint only stands in for this request, so the session stays.
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

/// Runs `settle`, and undoes it if the endpoint has left the pool meanwhile. The store is told only once that an endpoint
/// has left, so a binding made after that would be valid again if the endpoint came back.
fn if_still_member(store: &Guarded, settlement: &Settlement<'_>, settle: impl FnOnce() -> bool) -> bool {
    let Settlement { members, served, .. } = settlement;
    // An endpoint that joined after the request came must be known, or its departure would go unnoticed.
    members.follow(true, |id| store.left(id), |_| ());
    if !settle() {
        return false;
    }
    // Checked after the binding: a departure after this check is reported to the store as usual.
    let is_member = members.contains(served);
    if !is_member {
        store.left(served);
    }
    is_member
}

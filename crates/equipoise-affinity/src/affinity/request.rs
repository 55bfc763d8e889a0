//! The steps of one request: find its session, decide where it may go, and store the binding when its response arrives.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::{Binding, BindingOutcome, EndpointId, MissReason};
use equipoise_tower::{Placement, RequestHead, ServedBy};
use http::{HeaderMap, Response, request::Parts};

use super::{Affinity, OnUnavailable, Rule, Shared, on_unavailable::UnavailableSettings};
use crate::{
    guard::guarded,
    members::PoolMembers,
    mode::{Found, InvalidNaming, Kind, Settlement, cookie, keyed},
    outcome::{AffinityOutcome, UnboundReason},
};

impl Affinity {
    /// Whether the mode is `none`. Requests and responses are then not changed.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.shared.mode, Kind::None)
    }

    pub(crate) fn store_timeout(&self) -> Duration {
        self.settings.lookup_timeout
    }

    /// Updates the mode with the pool's current members. Does nothing if they have not changed, or if another thread is
    /// doing this.
    pub(super) fn follow(&self) -> Result<(), InvalidNaming> {
        let Shared { mode, members, .. } = &*self.shared;
        let on_departure = |id: &EndpointId| {
            if let Kind::Table(_, store) | Kind::Learn(_, store) = mode {
                store.left(id);
            }
        };
        let followed = members.follow(false, on_departure, |endpoints| match mode {
            Kind::Cookie(cookie, naming) => naming.set_members(cookie, endpoints),
            _ => Ok(()),
        });
        followed.unwrap_or(Ok(()))
    }

    fn now(&self) -> SystemTime {
        guarded(|| (self.settings.now)()).unwrap_or_else(SystemTime::now)
    }

    /// Finds the session of the request, and its endpoint if that is known without waiting. Removes the balancer's
    /// cookie from the head if endpoints must not see it.
    pub(crate) fn find(&self, head: &mut Parts) -> Found {
        if let Err(error) = self.follow() {
            tracing::warn!("{error}");
        }
        let Shared { mode, members, .. } = &*self.shared;
        let holds = |rule: &Option<Arc<Rule>>, head: &Parts| {
            let head = RequestHead::of_parts(head);
            rule.as_ref().is_some_and(|rule| guarded(|| rule(head)).unwrap_or(false))
        };
        if holds(&self.settings.except, head) {
            return mode.disregard(head);
        }
        let forced = holds(&self.settings.force, head);
        // Read the client's address before the mode changes the head.
        let limit = self.settings.new_sessions.as_ref().filter(|_| mode.has_store());
        let client = limit.and_then(|limit| limit.client(RequestHead::of_parts(head)));
        let mut found = mode.find(head, self.now(), members, forced);
        found.client = client;
        found
    }

    /// Returns where the request may go. If the request has no binding and [`OnUnavailable::Refuse`] applies, returns
    /// the reason why it has no binding: the request must then be refused.
    pub(crate) fn place(&self, found: &Found) -> Result<Placement, UnboundReason> {
        let mut placement = Placement::new();
        if found.keyed {
            return Ok(match &found.key {
                Some(key) => placement.key(key.clone()),
                None => placement,
            });
        }
        // A binding to an endpoint that has left the pool counts as no binding: the endpoint may never join again.
        let is_present = found.endpoint.as_ref().is_ok_and(|id| self.shared.members.contains(id));
        let action = self.settings.on_unavailable.of(found, is_present);
        match action {
            OnUnavailable::Refuse if !is_present => {
                return Err(found.endpoint.as_ref().err().copied().unwrap_or(UnboundReason::Unknown));
            }
            OnUnavailable::Wait(timeout) => placement = placement.queue_timeout(timeout),
            _ => {}
        }
        if let Some(mut binding) = self.binding(found) {
            if is_present && action != OnUnavailable::Rebind {
                binding = binding.strict();
            }
            if found.forced {
                binding = binding.forced();
            }
            placement = placement.binding(binding);
        }
        Ok(placement)
    }

    fn binding(&self, found: &Found) -> Option<Binding> {
        let mut binding = match (&found.endpoint, &found.key) {
            (Ok(id), None) => Binding::to(id.clone()),
            (Ok(id), Some(key)) => Binding::to(id.clone()).session(key),
            (Err(_), Some(key)) if found.has_lost_endpoint() => Binding::to_departed(key),
            (Err(_), _) => return None,
        };
        if let Some(factor) = self.settings.max_share {
            binding = binding.max_share(factor);
        }
        Some(binding)
    }

    /// Counts a request that [`place`](Self::place) has placed or refused.
    pub(crate) fn count(&self, found: &Found, placed: &Result<Placement, UnboundReason>) {
        let counters = &self.shared.counters;
        match (placed, &found.endpoint) {
            (Err(reason), _) => {
                counters.unbound(*reason);
                counters.refused();
            }
            (Ok(_), Err(reason)) if !found.keyed => counters.unbound(*reason),
            (Ok(_), _) => {}
        }
    }

    /// Counts a request that ended in an error after it was placed.
    pub(crate) fn count_error(&self) {
        self.shared.counters.failed();
    }

    /// Stores the session's binding, sets the client's cookie, and adds an [`AffinityOutcome`] to the response. Does
    /// nothing if the response is not from an endpoint.
    pub(crate) fn settle<B>(&self, found: Found, response: &mut Response<B>) {
        let Some(ServedBy(served)) = response.extensions().get().cloned() else { return };
        let missed = match response.extensions().get() {
            Some(BindingOutcome::Missed(reason)) => Some(*reason),
            _ => None,
        };
        let is_temporary = found.endpoint.is_ok() && missed.is_some_and(MissReason::is_temporary);
        let is_kept = found.endpoint.as_ref().is_ok_and(|id| *id == served);
        let now = self.now();
        let may_begin = || {
            let may = self.settings.new_sessions.as_ref().is_none_or(|sessions| sessions.begin(found.client, now));
            if !may {
                self.shared.counters.limited();
            }
            may
        };
        let settlement = Settlement {
            found: &found,
            served: &served,
            binds: !is_kept && !is_temporary,
            status: response.status(),
            now,
            may_begin: &may_begin,
            members: &self.shared.members,
        };
        // Nothing is stored for an excepted request. But mode `cookie` must still remove the endpoint's cookie.
        let mode = &self.shared.mode;
        let is_excepted = matches!(found.endpoint, Err(UnboundReason::Off)) && !matches!(mode, Kind::Cookie(..));
        let is_bound = !is_excepted && mode.settle(&settlement, response.headers_mut());
        let reason = missed.unwrap_or(MissReason::Gone);
        let outcome = match found.endpoint {
            _ if found.keyed => AffinityOutcome::Keyed,
            Ok(_) if is_kept => AffinityOutcome::Kept,
            Ok(from) if is_bound => AffinityOutcome::Moved { from, reason },
            Ok(bound_to) => AffinityOutcome::Diverted { bound_to, reason },
            Err(why) if is_bound => AffinityOutcome::New(why),
            Err(why) => AffinityOutcome::Unbound(why),
        };
        self.shared.counters.answered(&outcome);
        response.extensions_mut().insert(outcome);
    }
}

/// The steps that differ from mode to mode.
impl Kind {
    /// Finds the session of the request, and the session's endpoint if that is known without waiting. Removes from the
    /// head what endpoints must not see.
    fn find(&self, head: &mut Parts, now: SystemTime, members: &PoolMembers, forced: bool) -> Found {
        let mut found = match self {
            Self::None => Found::unbound(UnboundReason::Off),
            Self::Hash(key) => keyed::find_by_hash(key, head),
            Self::Table(key, store) => keyed::find_in_table(key, store, head),
            Self::Cookie(cookie, naming) => cookie::find(cookie, naming, head, now, members, forced),
            Self::Learn(learn, store) => keyed::find_learned(learn, store, head),
            Self::Route(learn, route) => keyed::find_by_route(learn, *route, head, members),
        };
        found.forced = forced;
        found
    }

    /// Prepares a request to which affinity does not apply. In mode `cookie`, removes from the head what endpoints must
    /// not see.
    fn disregard(&self, head: &mut Parts) -> Found {
        match self {
            Self::Cookie(cookie, _) => cookie::disregard(cookie, head),
            _ => Found::unbound(UnboundReason::Off),
        }
    }

    /// Stores the session's binding in the session store or in the response's cookie. Returns whether a new binding to
    /// the endpoint that answered was stored.
    fn settle(&self, settlement: &Settlement<'_>, headers: &mut HeaderMap) -> bool {
        match self {
            Self::None | Self::Hash(_) | Self::Route(..) => false,
            Self::Table(_, store) => keyed::settle_in_table(store, settlement),
            Self::Cookie(cookie, naming) => cookie::settle(cookie, naming, settlement, headers),
            Self::Learn(learn, store) => keyed::settle_learned(learn, store, settlement, headers),
        }
    }

    /// Whether the mode stores bindings in a session store.
    fn has_store(&self) -> bool {
        matches!(self, Self::Table(..) | Self::Learn(..))
    }
}

impl UnavailableSettings {
    /// Returns what happens to a request if no bound endpoint is available. `is_present` is whether the request is
    /// bound to an endpoint that is in the pool.
    fn of(&self, found: &Found, is_present: bool) -> OnUnavailable {
        match &found.endpoint {
            Ok(_) if is_present && found.forced && self.unavailable == OnUnavailable::Rebind => OnUnavailable::Refuse,
            Ok(_) if is_present => self.unavailable,
            Err(UnboundReason::Off) => OnUnavailable::Rebind,
            // The session may exist. A failure of the store must not refuse its requests.
            Err(UnboundReason::StoreUnavailable | UnboundReason::StoreMalformed)
                if self.missing == OnUnavailable::Refuse =>
            {
                OnUnavailable::Rebind
            }
            _ => self.missing,
        }
    }
}

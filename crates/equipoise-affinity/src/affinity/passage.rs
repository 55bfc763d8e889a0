//! One request's way through: what it brings, where it is to go, what is remembered of its answer.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_core::{Availability, Binding, BindingOutcome, EndpointId, MissReason};
use equipoise_tower::{Placement, RequestHead, ServedBy};
use http::{Response, request::Parts};

use super::{Affinity, Rule, Shared, members::Forced};
use crate::{
    fallback::Fallback,
    guard::guarded,
    mode::{Answer, Home, Kind, Memo},
    outcome::{Outcome, Unbound},
    store::{Lookup, StoreError},
};

/// A request on its way: what is remembered of it until its response comes.
pub(crate) struct Track {
    pub(super) home: Result<EndpointId, Unbound>,
    pub(super) keyed: bool,
    /// Whether the state of its endpoint does not matter.
    forced: bool,
    /// Where it came from, if sessions are limited by that and it is known.
    client: Option<IpAddr>,
    session: Option<Bytes>,
    memo: Memo,
}

/// What is known of a request at once, and what has to be asked.
pub(crate) struct Sighting {
    pub(crate) lookup: Option<Lookup>,
    pub(crate) track: Track,
    /// Whether the session had an endpoint that has left.
    lost: bool,
}

impl Affinity {
    /// Whether requests and responses pass untouched.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.shared.mode, Kind::None)
    }

    pub(crate) fn longest_lookup(&self) -> Duration {
        self.settings.lookup
    }

    /// Whom a request belongs to, so far as it can be told at once. What its endpoint is not to see is taken out.
    pub(crate) fn sight(&self, head: &mut Parts) -> Sighting {
        if let Err(unfit) = self.follow() {
            tracing::warn!("{unfit}");
        }
        let Shared { mode, .. } = &*self.shared;
        let holds = |rule: &Option<Arc<Rule>>, head: &Parts| {
            let head = RequestHead::of_parts(head);
            rule.as_ref().is_some_and(|rule| guarded(|| rule(head)).unwrap_or(false))
        };
        let excepted = holds(&self.settings.except, head);
        let forced = !excepted && holds(&self.settings.force, head);
        let limit = self.settings.new_sessions.as_ref().filter(|_| !excepted && mode.has_store());
        let client = limit.and_then(|limit| limit.client(RequestHead::of_parts(head)));
        let sought = if excepted {
            mode.disregard(head)
        } else if forced {
            mode.seek(head, self.now(), &Forced(&self.shared))
        } else {
            mode.seek(head, self.now(), &*self.shared)
        };
        let (home, keyed, lookup, lost) = match sought.home {
            Home::Known(home) => (home, false, None, false),
            Home::Lost(why) => (Err(why), false, None, true),
            Home::Keyed => (Err(Unbound::Unknown), true, None, false),
            Home::Asked(lookup) => (Err(Unbound::Unknown), false, Some(lookup), false),
        };
        let track = Track { home, keyed, forced, client, session: sought.session, memo: sought.memo };
        Sighting { lookup, track, lost }
    }

    /// Where the request is to go; or why it has no binding, if it may then not go anywhere.
    pub(crate) fn place(
        &self,
        sighting: Sighting,
        found: Option<Result<Option<EndpointId>, StoreError>>,
    ) -> Result<(Track, Placement), Unbound> {
        let Sighting { mut track, lost, .. } = sighting;
        if let Some(found) = found {
            track.home = found.map_err(Unbound::from).and_then(|id| id.ok_or(Unbound::Unknown));
        }
        let mut placement = Placement::new();
        if track.keyed {
            if let Some(key) = &track.session {
                placement = placement.key(key.clone());
            }
            return Ok((track, placement));
        }
        // A binding to an endpoint that is not there is none: nobody knows whether it will ever come back.
        let present = track.home.as_ref().is_ok_and(|home| self.shared.roster.pool().availability(home).is_some());
        let fallback = match &track.home {
            // It goes there or nowhere.
            Ok(_) if present && track.forced && self.settings.unavailable == Fallback::Rebind => Fallback::Refuse,
            Ok(_) if present => self.settings.unavailable,
            Err(Unbound::Off) => Fallback::Rebind,
            // It may well have one: that nobody can say so is not the client's fault.
            Err(Unbound::StoreAway | Unbound::StoreGarbage) if self.settings.missing == Fallback::Refuse => {
                Fallback::Rebind
            }
            _ => self.settings.missing,
        };
        match fallback {
            Fallback::Refuse if !present => return Err(track.home.err().unwrap_or(Unbound::Unknown)),
            Fallback::Wait(longest) => placement = placement.queue_timeout(longest),
            _ => {}
        }
        if let Some(mut binding) = self.binding(&track, lost) {
            if present && fallback != Fallback::Rebind {
                binding = binding.strict();
            }
            if track.forced {
                binding = binding.forced();
            }
            placement = placement.binding(binding);
        }
        Ok((track, placement))
    }

    fn binding(&self, track: &Track, lost: bool) -> Option<Binding> {
        let mut binding = match &track.home {
            Ok(home) => Binding::to(home.clone()),
            // No endpoint has an empty id: it is gone, and the session says who stands in.
            Err(_) if lost => Binding::to(""),
            Err(_) => return None,
        };
        if let Some(session) = &track.session {
            binding = binding.session(session);
        }
        if let Some(factor) = self.settings.until {
            binding = binding.max_share(factor);
        }
        Some(binding)
    }

    /// A request was placed, or not let in.
    pub(crate) fn count(&self, placed: &Result<(Track, Placement), Unbound>) {
        let counters = &self.shared.counters;
        match placed {
            Ok((Track { home: Err(why), keyed: false, .. }, _)) => counters.unbound(*why),
            Ok(_) => {}
            Err(why) => {
                counters.unbound(*why);
                counters.refused();
            }
        }
    }

    /// A request that was placed came to nothing.
    pub(crate) fn failed(&self) {
        self.shared.counters.failed();
    }

    /// Remembers who answered, tells the client what it is to bring next time, and notes on the response how the request
    /// was bound.
    pub(crate) fn settle<B>(&self, track: Track, response: &mut Response<B>) {
        let Track { home, keyed, client, session, memo, .. } = track;
        let served = response.extensions().get().map(|ServedBy(id)| id.clone());
        let Some(served) = served else { return };
        let preference = response.extensions().get().copied().unwrap_or(BindingOutcome::Unbound);
        let missed = match preference {
            BindingOutcome::Missed(missed) => Some(missed),
            _ => None,
        };
        let away = home.is_ok() && missed.is_some_and(MissReason::is_momentary);
        let kept = home.as_ref().is_ok_and(|home| *home == served);
        let now = self.now();
        let may_begin = || {
            let may = self.settings.new_sessions.as_ref().is_none_or(|sessions| sessions.begin(client, now));
            if !may {
                self.shared.counters.limited();
            }
            may
        };
        let answer = Answer {
            served: &served,
            home: home.as_ref().ok(),
            binds: !kept && !away,
            session: session.as_deref(),
            status: response.status(),
            now,
            may_begin: &may_begin,
            members: &*self.shared,
        };
        // Of those that are not to be bound nothing is remembered; only a cookie is still to be kept from the client.
        let mode = &self.shared.mode;
        let excepted = matches!(home, Err(Unbound::Off)) && !matches!(mode, Kind::Cookie(..));
        let bound = !excepted && mode.settle(memo, &answer, response.headers_mut());
        let outcome = match (home, missed) {
            _ if keyed => Outcome::Keyed,
            (Ok(_), _) if kept => Outcome::Kept,
            (Ok(from), why) if bound => Outcome::Moved { from, why: why.unwrap_or(MissReason::Gone) },
            (Ok(home), why) => Outcome::Away { home, why: why.unwrap_or(MissReason::Gone) },
            (Err(why), _) if bound => Outcome::New(why),
            (Err(why), _) => Outcome::Unbound(why),
        };
        self.shared.counters.answered(&outcome);
        response.extensions_mut().insert(outcome);
    }
}

/// Whether such an endpoint may have the requests that are bound to it.
pub(super) fn takes(availability: Option<Availability>) -> bool {
    availability
        .is_some_and(|availability| !matches!(availability, Availability::Maintenance | Availability::Unhealthy))
}

impl From<StoreError> for Unbound {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away { .. } => Self::StoreAway,
            StoreError::Garbage { .. } => Self::StoreGarbage,
        }
    }
}

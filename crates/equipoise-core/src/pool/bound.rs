//! Picks for requests that prefer an endpoint or are bound to one. Such a pick chooses that endpoint, a stand-in (the
//! endpoint that serves a session in its place), or the strategy's pick.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    error::PickError,
    pick::admit,
    state::{PassRule, PoolSettings, Snapshot, why_refused},
};
use crate::{
    binding::{Binding, BindingOutcome, MissReason},
    candidate::CandidateResult,
    endpoint::{Admission, Availability, EndpointId, Slot},
    entropy::{mix, unit},
    lease::Selection,
    request::{PickRequest, Prefer},
    strategy::Notes,
    time::Timestamp,
    view::Member,
};

/// The arguments of a pick that are needed to admit its request.
#[derive(Clone, Copy)]
struct PickArgs<'a> {
    request: &'a PickRequest<'a>,
    settings: &'a PoolSettings,
    explained: bool,
}

impl Snapshot {
    /// Selects an endpoint for a request that prefers an endpoint or is bound to one.
    #[cold]
    pub(super) fn select_bound(
        &self,
        request: &PickRequest<'_>,
        settings: &PoolSettings,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Selection, PickError> {
        let Some(prefer) = request.prefer else { return self.select_in_order(request, settings, now, notes) };
        let args = PickArgs { request, settings, explained: notes.is_some() };
        let binding = match prefer {
            Prefer::Endpoint(_) => None,
            Prefer::Bound(binding) => Some(binding),
        };
        let max_share = binding.filter(|binding| !binding.strict).and_then(|binding| binding.max_share);
        let forced = binding.is_some_and(|binding| binding.forced);
        let preferred = self.preferred(prefer.endpoint(), request, forced);
        let reason = match preferred {
            Err(reason) => reason,
            Ok((slot, _)) if max_share.is_some_and(|factor| self.has_its_share(slot, factor)) => MissReason::Overloaded,
            Ok((slot, member)) => match self.admit_with(self.pass_rule_if(slot, forced), member, args) {
                Ok(admission) => return Ok(self.selection(slot, admission, BindingOutcome::Kept)),
                Err(reason) => reason,
            },
        };
        if let Some(binding) = binding {
            if binding.strict {
                return Err(PickError::Bound { missed: reason });
            }
            if let Some((slot, admission)) = self.stand_in(binding, args) {
                if let Some(notes) = &mut notes {
                    notes.results.push((slot, CandidateResult::StandIn));
                }
                return Ok(self.selection(slot, admission, BindingOutcome::Missed(reason)));
            }
            // All other endpoints have their maximum share too, or are full. The preferred endpoint is better than a
            // failed pick.
            if reason == MissReason::Overloaded
                && binding.session.is_some()
                && let Ok((slot, member)) = preferred
                && let Ok(admission) = self.admit_with(self.pass_rule(slot), member, args)
            {
                return Ok(self.selection(slot, admission, BindingOutcome::Kept));
            }
        }
        let selection = self.select_in_order(request, settings, now, notes)?;
        Ok(Selection { binding_outcome: BindingOutcome::Missed(reason), ..selection })
    }

    /// Returns why a request is waiting: the error with which a pick for it fails now.
    pub(super) fn why_waiting(&self, request: &PickRequest<'_>, settings: &PoolSettings) -> PickError {
        let Some(Prefer::Bound(binding)) = request.prefer.filter(|_| request.is_strict()) else {
            return self.why_none(request, settings);
        };
        let missed = match self.preferred(binding.endpoint.as_ref(), request, binding.forced) {
            Err(reason) => reason,
            Ok((slot, member)) => {
                // If the endpoint has capacity, an earlier request is about to get it, or the strategy refuses.
                let otherwise = if settings.needs.leases { MissReason::Refused } else { MissReason::Full };
                why_refused(member, self.pass_rule_if(slot, binding.forced)).unwrap_or(otherwise)
            }
        };
        PickError::Bound { missed }
    }

    /// Returns whether a request needs the pass of the endpoint to which it is bound. A request with a forced binding
    /// takes the pass if it is available, but is admitted without it too.
    fn pass_rule_if(&self, slot: Slot, forced: bool) -> PassRule {
        match self.pass_rule(slot) {
            PassRule::Required if forced => PassRule::Optional,
            rule => rule,
        }
    }

    fn admit_with(&self, pass: PassRule, member: &Member, args: PickArgs<'_>) -> Result<Admission, MissReason> {
        let admission = admit(member, pass, args.request, args.settings, args.explained);
        admission.ok_or_else(|| why_refused(member, pass).unwrap_or(MissReason::Refused))
    }

    /// Returns the endpoint with this id, if its availability allows requests that are bound to it. A forced binding is
    /// accepted in every availability.
    fn preferred(
        &self,
        id: Option<&EndpointId>,
        request: &PickRequest<'_>,
        forced: bool,
    ) -> Result<(Slot, &Member), MissReason> {
        let id = id.ok_or(MissReason::Gone)?;
        let slot = *self.members().index.get(id).ok_or(MissReason::Gone)?;
        let member = self.members().get(slot).ok_or(MissReason::Gone)?;
        match self.availability(slot) {
            _ if forced => {}
            Availability::Up | Availability::Probation | Availability::Draining => {}
            Availability::Unhealthy if self.is_eligible(slot) => {}
            Availability::Unhealthy => return Err(MissReason::Unhealthy),
            Availability::Maintenance => return Err(MissReason::Maintenance),
        }
        if request.excludes(id) { Err(MissReason::Excluded) } else { Ok((slot, member)) }
    }

    fn selection(&self, slot: Slot, admission: Admission, binding_outcome: BindingOutcome) -> Selection {
        // The endpoint need not be eligible itself: it may be draining, for example.
        let others = self.eligible_count() - usize::from(self.is_eligible(slot));
        Selection { slot, admission, binding_outcome, has_alternatives: others > 0 }
    }

    /// Returns whether one more request would give the endpoint more than its maximum share of the requests in flight
    /// in its tier. `factor` is the maximum share as a multiple of the fair share. False if the endpoint is not
    /// eligible.
    fn has_its_share(&self, slot: Slot, factor: f32) -> bool {
        // An idle endpoint never exceeds its share. So the other endpoints need not be read.
        self.members().in_flight(slot) > 0
            && self.eligible_with(slot).is_some_and(|eligible| Share::of(self, eligible, factor).is_had(self, slot))
    }

    /// Selects the stand-in: the endpoint that serves a session while the endpoint to which it is bound cannot. It is
    /// chosen by rendezvous hashing among the eligible endpoints of the first tier that has capacity. Takes O(n log n)
    /// time for n endpoints, or O(n) if all are full. Allocates.
    fn stand_in(&self, binding: &Binding, args: PickArgs<'_>) -> Option<(Slot, Admission)> {
        let session = binding.session?;
        for eligible in self.tiers_by(session) {
            let share = binding.max_share.map(|factor| Share::of(self, eligible, factor));
            let candidate = |&slot: &Slot| {
                let member = self.members().get(slot)?;
                let id = member.endpoint.id();
                let out = Some(id) == binding.endpoint.as_ref()
                    || args.request.excludes(id)
                    || why_refused(member, self.pass_rule(slot)).is_some()
                    || share.as_ref().is_some_and(|share| share.is_had(self, slot));
                // Exponentially distributed with mean 1 / weight. The smallest wins.
                let drawn = || -unit(mix(xxh3_64(id.as_str().as_bytes()) ^ session)).ln() / f64::from(member.weight());
                (!out).then(|| (drawn(), slot, member))
            };
            let mut candidates: Vec<(f64, Slot, &Member)> = eligible.iter().filter_map(candidate).collect();
            candidates.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
            for (_, slot, member) in candidates {
                if let Ok(admission) = self.admit_with(self.pass_rule(slot), member, args) {
                    return Some((slot, admission));
                }
            }
        }
        None
    }
}

/// The maximum number of requests in flight at an endpoint of weight 1. One more request in its tier is counted.
struct Share(f64);

impl Share {
    fn of(snapshot: &Snapshot, eligible: &[Slot], factor: f32) -> Self {
        let (mut all, mut weights) = (1u64, 0u64);
        for &slot in eligible {
            all += u64::from(snapshot.members().in_flight(slot));
            weights += u64::from(snapshot.members().get(slot).map_or(0, Member::weight));
        }
        Self(f64::from(factor) * all as f64 / weights.max(1) as f64)
    }

    /// Returns whether the endpoint has its maximum number of requests in flight, or more.
    fn is_had(&self, snapshot: &Snapshot, slot: Slot) -> bool {
        let weight = snapshot.members().get(slot).map_or(0, Member::weight);
        f64::from(snapshot.members().in_flight(slot)) >= (self.0 * f64::from(weight)).ceil()
    }
}

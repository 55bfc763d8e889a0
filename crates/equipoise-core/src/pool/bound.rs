//! Requests that belong to an endpoint: whether it can take them, and who does if it cannot.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Hooks, PickError,
    snapshot::{Choice, Entry, PassOf, Snapshot, enter, why_not},
};
use crate::{
    binding::{Binding, BindingOutcome, MissReason},
    endpoint::{Availability, EndpointId, Slot},
    entropy::{mix, unit},
    explain::Fate,
    request::{PickRequest, Prefer},
    strategy::Notes,
    time::Timestamp,
    view::Member,
};

/// What it takes to let a request in.
#[derive(Clone, Copy)]
struct Asked<'a> {
    request: &'a PickRequest<'a>,
    hooks: &'a Hooks,
    explained: bool,
}

impl Snapshot {
    /// Resolves a request that prefers an endpoint: that one, who stands in for it, or the strategy's pick.
    #[cold]
    pub(super) fn choose_bound(
        &self,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Choice, PickError> {
        let Some(prefer) = request.prefer else { return self.choose_in_order(request, hooks, now, notes) };
        let asked = Asked { request, hooks, explained: notes.is_some() };
        let binding = match prefer {
            Prefer::Endpoint(_) => None,
            Prefer::Bound(binding) => Some(binding),
        };
        let until = binding.filter(|binding| !binding.strict).and_then(|binding| binding.until);
        let forced = binding.is_some_and(|binding| binding.forced);
        let home = self.home(prefer.endpoint(), request, forced);
        let missed = match home {
            Err(missed) => missed,
            Ok((slot, _)) if until.is_some_and(|factor| self.has_its_share(slot, factor)) => MissReason::Overloaded,
            Ok((slot, member)) => match self.enter_with(self.pass_at_home(slot, forced), member, asked) {
                Ok(entry) => return Ok(self.chosen(slot, entry, BindingOutcome::Kept)),
                Err(missed) => missed,
            },
        };
        if let Some(binding) = binding {
            if binding.strict {
                return Err(PickError::Bound { missed });
            }
            if let Some((slot, entry)) = self.stand_in(binding, asked) {
                if let Some(notes) = &mut notes {
                    notes.fates.push((slot, Fate::StandIn));
                }
                return Ok(self.chosen(slot, entry, BindingOutcome::Missed(missed)));
            }
            // All others have more than their share, or are full: better here than nowhere.
            if missed == MissReason::Overloaded
                && binding.session.is_some()
                && let Ok((slot, member)) = home
                && let Ok(entry) = self.enter(slot, member, asked)
            {
                return Ok(self.chosen(slot, entry, BindingOutcome::Kept));
            }
        }
        let choice = self.choose_in_order(request, hooks, now, notes)?;
        Ok(Choice { preference: BindingOutcome::Missed(missed), ..choice })
    }

    /// Why a request waits: what a pick would say now.
    pub(super) fn why_waiting(&self, request: &PickRequest<'_>, hooks: &Hooks) -> PickError {
        let Some(Prefer::Bound(binding)) = request.prefer.filter(|_| request.is_strict()) else {
            return self.why_nobody(request, hooks);
        };
        let missed = match self.home(&binding.endpoint, request, binding.forced) {
            Err(missed) => missed,
            Ok((slot, member)) => {
                // If it has room, that is about to be given to a request further ahead, or the strategy refuses.
                let otherwise = if hooks.needs.leases { MissReason::Refused } else { MissReason::Full };
                why_not(member, self.pass_at_home(slot, binding.forced)).unwrap_or(otherwise)
            }
        };
        PickError::Bound { missed }
    }

    fn enter(&self, slot: Slot, member: &Member, asked: Asked<'_>) -> Result<Entry, MissReason> {
        self.enter_with(self.pass_of(slot), member, asked)
    }

    /// A forced request takes part in a trial if it comes first, and does not need the pass otherwise.
    fn pass_at_home(&self, slot: Slot, forced: bool) -> PassOf {
        match self.pass_of(slot) {
            PassOf::Needed if forced => PassOf::Offered,
            pass => pass,
        }
    }

    fn enter_with(&self, pass: PassOf, member: &Member, asked: Asked<'_>) -> Result<Entry, MissReason> {
        let entered = enter(member, pass, asked.request, asked.hooks, asked.explained);
        entered.ok_or_else(|| why_not(member, pass).unwrap_or(MissReason::Refused))
    }

    /// Where the endpoint is, if its state lets in requests that are bound to it, or they are forced.
    fn home(&self, id: &EndpointId, request: &PickRequest<'_>, forced: bool) -> Result<(Slot, &Member), MissReason> {
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

    fn chosen(&self, slot: Slot, entry: Entry, preference: BindingOutcome) -> Choice {
        // It may itself be none of the eligible.
        let others = self.eligible_count() - usize::from(self.is_eligible(slot));
        Choice { slot, entry, preference, alternatives: others > 0 }
    }

    /// Whether one more request would be more than the endpoint's share of what its tier has in flight. Whoever drains or
    /// has no weight is out of the comparison.
    fn has_its_share(&self, slot: Slot, factor: f32) -> bool {
        // Nobody has too much with the first request, and there is no need to look at all the others.
        self.members().in_flight(slot) > 0
            && self.eligible_with(slot).is_some_and(|eligible| Share::of(self, eligible, factor).is_had(self, slot))
    }

    /// Who takes the session's requests while its endpoint does not: by rendezvous among the eligible of the first tier
    /// that has room. O(n log n), O(n) where all are full, and allocates.
    fn stand_in(&self, binding: &Binding, asked: Asked<'_>) -> Option<(Slot, Entry)> {
        let session = binding.session?;
        for eligible in self.tiers_by(session) {
            let share = binding.until.map(|factor| Share::of(self, eligible, factor));
            let candidate = |&slot: &Slot| {
                let member = self.members().get(slot)?;
                let id = member.endpoint.id();
                let out = *id == binding.endpoint
                    || asked.request.excludes(id)
                    || why_not(member, self.pass_of(slot)).is_some()
                    || share.as_ref().is_some_and(|share| share.is_had(self, slot));
                // An exponential of mean 1 / weight; the smallest comes first.
                let drawn = || -unit(mix(xxh3_64(id.as_str().as_bytes()) ^ session)).ln() / f64::from(member.weight());
                (!out).then(|| (drawn(), slot, member))
            };
            let mut candidates: Vec<(f64, Slot, &Member)> = eligible.iter().filter_map(candidate).collect();
            candidates.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
            for (_, slot, member) in candidates {
                if let Ok(entry) = self.enter(slot, member, asked) {
                    return Some((slot, entry));
                }
            }
        }
        None
    }
}

/// How much each endpoint of a tier may have in flight for a weight of 1, with one request more.
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

    /// Whether the endpoint has all of its share.
    fn is_had(&self, snapshot: &Snapshot, slot: Slot) -> bool {
        let weight = snapshot.members().get(slot).map_or(0, Member::weight);
        f64::from(snapshot.members().in_flight(slot)) >= (self.0 * f64::from(weight)).ceil()
    }
}

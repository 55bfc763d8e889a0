//! Requests that belong to an endpoint: whether it can take them, and who does if it cannot.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Hooks, PickError,
    snapshot::{Choice, Entry, Snapshot, enter},
};
use crate::{
    binding::{Binding, Missed, Preference},
    endpoint::{Availability, EndpointId, Slot},
    entropy::{mix, unit},
    request::{PickRequest, Prefer},
    view::Member,
};

impl Snapshot {
    /// The endpoint that the request prefers, or who stands in for it; or why it is the strategy that picks.
    #[cold]
    pub(super) fn preferred(
        &self,
        request: &PickRequest<'_>,
        prefer: Prefer<'_>,
        hooks: &Hooks,
        explained: bool,
    ) -> Result<Result<Choice, Missed>, PickError> {
        let binding = match prefer {
            Prefer::Endpoint(_) => None,
            Prefer::Bound(binding) => Some(binding),
        };
        let until = binding.filter(|binding| !binding.strict).and_then(|binding| binding.until);
        let bound = |missed| (missed, None);
        let (missed, overloaded) = match self.reach(prefer.endpoint(), request) {
            Err(missed) => bound(missed),
            Ok((slot, _))
                if until.is_some_and(|factor| {
                    self.share(slot, factor).is_some_and(|share| self.members().in_flight(slot) >= share)
                }) =>
            {
                (Missed::Overloaded, Some(slot))
            }
            Ok((slot, member)) => match enter(member, self.pass_of(slot), request, hooks, explained) {
                Ok(entry) => return Ok(Ok(self.chosen(slot, entry, Preference::Kept))),
                Err(missed) => bound(missed),
            },
        };
        let Some(binding) = binding else { return Ok(Err(missed)) };
        if binding.strict {
            return Err(PickError::Bound { endpoint: binding.endpoint.clone(), missed });
        }
        if let Some((slot, entry)) = self.stand_in(binding, request, hooks, explained) {
            return Ok(Ok(self.chosen(slot, entry, Preference::Missed(missed))));
        }
        // All others have more than their share, or are full: better here than nowhere.
        let last_resort = overloaded.filter(|_| binding.session.is_some());
        if let Some((slot, member)) = last_resort.and_then(|slot| Some((slot, self.members().get(slot)?)))
            && let Ok(entry) = enter(member, self.pass_of(slot), request, hooks, explained)
        {
            return Ok(Ok(self.chosen(slot, entry, Preference::Kept)));
        }
        Ok(Err(missed))
    }

    /// Where the endpoint is, if it takes those who are bound to it.
    fn reach(&self, id: &EndpointId, request: &PickRequest<'_>) -> Result<(Slot, &Member), Missed> {
        let slot = *self.members().index.get(id).ok_or(Missed::Gone)?;
        let member = self.members().get(slot).ok_or(Missed::Gone)?;
        match self.availability(slot) {
            Availability::Open | Availability::Trial | Availability::BoundOnly => {}
            Availability::Unfit if self.is_eligible(slot) => {}
            Availability::Unfit => return Err(Missed::Unfit),
            Availability::Closed => return Err(Missed::Closed),
        }
        if request.excludes(id) { Err(Missed::Excluded) } else { Ok((slot, member)) }
    }

    fn chosen(&self, slot: Slot, entry: Entry, preference: Preference) -> Choice {
        // It may itself be none of the eligible.
        let others = self.eligible_count() - usize::from(self.is_eligible(slot));
        Choice { slot, entry, preference, stands_in: preference != Preference::Kept, alternatives: others > 0 }
    }

    /// The most requests that the endpoint may have in flight before one more is too much; `None` if it is out of the
    /// comparison: draining, or of no weight.
    fn share(&self, slot: Slot, factor: f32) -> Option<u32> {
        // Nobody has too much with the first request, and there is no need to look at all the others.
        if self.members().in_flight(slot) == 0 {
            return Some(1);
        }
        let eligible = self.eligible_with(slot)?;
        let (mut all, mut weights) = (1u64, 0u64);
        for &slot in eligible {
            all += u64::from(self.members().in_flight(slot));
            weights += u64::from(self.members().get(slot).map_or(0, Member::weight));
        }
        let weight = self.members().get(slot)?.weight();
        Some((f64::from(factor) * all as f64 * f64::from(weight) / weights.max(1) as f64).ceil() as u32)
    }

    /// Who takes the session's requests while its endpoint does not: by rendezvous among the eligible of the first tier
    /// that has room. O(n), and O(n) more for each that is full.
    fn stand_in(
        &self,
        binding: &Binding,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        explained: bool,
    ) -> Option<(Slot, Entry)> {
        let session = binding.session?;
        for eligible in self.tiers_by(session) {
            // What each draws; those that have said no have drawn less than the next.
            let mut refused = f64::NEG_INFINITY;
            loop {
                let mut best: Option<(f64, Slot)> = None;
                for &slot in eligible {
                    let Some(member) = self.members().get(slot) else { continue };
                    let id = member.endpoint.id();
                    if *id == binding.endpoint || request.excludes(id) {
                        continue;
                    }
                    let drawn = -unit(mix(xxh3_64(id.as_str().as_bytes()) ^ session)).ln() / f64::from(member.weight());
                    if drawn > refused && best.is_none_or(|(least, _)| drawn < least) {
                        best = Some((drawn, slot));
                    }
                }
                let Some((drawn, slot)) = best else { break };
                let has_share =
                    |factor| self.share(slot, factor).is_none_or(|share| self.members().in_flight(slot) < share);
                if binding.until.is_none_or(has_share)
                    && let Some(member) = self.members().get(slot)
                    && let Ok(entry) = enter(member, self.pass_of(slot), request, hooks, explained)
                {
                    return Some((slot, entry));
                }
                refused = drawn;
            }
        }
        None
    }
}

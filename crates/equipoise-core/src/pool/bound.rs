//! Requests that belong to an endpoint: whether it can take them, and who does if it cannot.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Hooks, PickError,
    snapshot::{Choice, Entry, Snapshot, enter, why_not},
};
use crate::{
    binding::{Binding, Missed, Preference},
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
        let home = self.home(prefer.endpoint(), request);
        let missed = match home {
            Err(missed) => missed,
            Ok((slot, _)) if until.is_some_and(|factor| self.has_its_share(slot, factor)) => Missed::Overloaded,
            Ok((slot, member)) => match self.enter(slot, member, asked) {
                Ok(entry) => return Ok(self.chosen(slot, entry, Preference::Kept)),
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
                return Ok(self.chosen(slot, entry, Preference::Missed(missed)));
            }
            // All others have more than their share, or are full: better here than nowhere.
            if missed == Missed::Overloaded
                && binding.session.is_some()
                && let Ok((slot, member)) = home
                && let Ok(entry) = self.enter(slot, member, asked)
            {
                return Ok(self.chosen(slot, entry, Preference::Kept));
            }
        }
        let choice = self.choose_in_order(request, hooks, now, notes)?;
        Ok(Choice { preference: Preference::Missed(missed), ..choice })
    }

    fn enter(&self, slot: Slot, member: &Member, asked: Asked<'_>) -> Result<Entry, Missed> {
        let pass = self.pass_of(slot);
        let entered = enter(member, pass, asked.request, asked.hooks, asked.explained);
        entered.ok_or_else(|| why_not(member, pass).unwrap_or(Missed::Refused))
    }

    /// Where the endpoint is, if it takes those who are bound to it.
    fn home(&self, id: &EndpointId, request: &PickRequest<'_>) -> Result<(Slot, &Member), Missed> {
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
        Choice { slot, entry, preference, alternatives: others > 0 }
    }

    /// Whether one more request would be more than the endpoint's share of what its tier has in flight. Whoever drains or
    /// has no weight is out of the comparison.
    fn has_its_share(&self, slot: Slot, factor: f32) -> bool {
        let carries = self.members().in_flight(slot);
        // Nobody has too much with the first request, and there is no need to look at all the others.
        if carries == 0 {
            return false;
        }
        let Some(eligible) = self.eligible_with(slot) else { return false };
        let (mut all, mut weights) = (1u64, 0u64);
        for &slot in eligible {
            all += u64::from(self.members().in_flight(slot));
            weights += u64::from(self.members().get(slot).map_or(0, Member::weight));
        }
        let weight = self.members().get(slot).map_or(0, Member::weight);
        let share = (f64::from(factor) * all as f64 * f64::from(weight) / weights.max(1) as f64).ceil();
        f64::from(carries) >= share
    }

    /// Who takes the session's requests while its endpoint does not: by rendezvous among the eligible of the first tier
    /// that has room. O(n), and O(n) more for each that is full.
    fn stand_in(&self, binding: &Binding, asked: Asked<'_>) -> Option<(Slot, Entry)> {
        let session = binding.session?;
        for eligible in self.tiers_by(session) {
            // What each draws; those that have said no have drawn less than the next.
            let mut refused = f64::NEG_INFINITY;
            loop {
                let mut best: Option<(f64, Slot)> = None;
                for &slot in eligible {
                    let Some(member) = self.members().get(slot) else { continue };
                    let id = member.endpoint.id();
                    if *id == binding.endpoint || asked.request.excludes(id) {
                        continue;
                    }
                    let drawn = -unit(mix(xxh3_64(id.as_str().as_bytes()) ^ session)).ln() / f64::from(member.weight());
                    if drawn > refused && best.is_none_or(|(least, _)| drawn < least) {
                        best = Some((drawn, slot));
                    }
                }
                let Some((drawn, slot)) = best else { break };
                let has_its_share = binding.until.is_some_and(|factor| self.has_its_share(slot, factor));
                if !has_its_share
                    && let Some(member) = self.members().get(slot)
                    && let Ok(entry) = self.enter(slot, member, asked)
                {
                    return Some((slot, entry));
                }
                refused = drawn;
            }
        }
        None
    }
}

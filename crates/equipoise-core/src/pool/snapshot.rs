//! What one pick sees: members, availability and pickers of one moment, behind one pointer.

use std::sync::Arc;

use super::{
    Hooks, PickError, Revision,
    spill::{Shares, TierHealth},
};
use crate::{
    endpoint::{Availability, Slot, Tier},
    guard::guarded,
    request::PickRequest,
    strategy::{BuildError, Notes, PickCx, Picker, Strategy},
    time::Timestamp,
    view::{Member, Members, View},
};

pub(crate) struct Snapshot {
    revision: Revision,
    members: Arc<Members>,
    /// By slot.
    availability: Box<[Availability]>,
    /// By slot: the tier that the slot is eligible in.
    eligible_in: Box<[Option<Tier>]>,
    /// In order of priority; only tiers that have members.
    tiers: Box<[TierView]>,
    /// How many endpoints are eligible in all tiers together.
    eligible: usize,
    /// Where tiers share the traffic; `None` where all of it is the first one's.
    shares: Option<Shares>,
}

struct TierView {
    tier: Tier,
    view: View,
    picker: Box<dyn Picker>,
}

/// The outcome of a pick, before a lease is taken.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) slot: Slot,
    /// Whether a permit was taken for it.
    pub(crate) permit: bool,
    /// Whether it is the endpoint that the request preferred.
    pub(crate) preferred: bool,
    /// Whether another endpoint is eligible.
    pub(crate) alternatives: bool,
}

/// How often a tier's picker is asked again after the permit of its choice was gone.
const MOST_TRIES: usize = 64;

impl Snapshot {
    pub(super) fn empty() -> Self {
        Self {
            revision: Revision::default(),
            members: Arc::new(Members::empty()),
            availability: Box::default(),
            eligible_in: Box::default(),
            tiers: Box::default(),
            eligible: 0,
            shares: None,
        }
    }

    /// The snapshot that follows this one, with these members and availability.
    pub(super) fn next(
        &self,
        members: Arc<Members>,
        availability: Box<[Availability]>,
        hooks: &Hooks,
    ) -> Result<Self, BuildError> {
        let (mut tiers, mut health) = (Vec::new(), Vec::new());
        let mut eligible_in: Box<[Option<Tier>]> = availability.iter().map(|_| None).collect();
        for (tier, slots) in self.tiers_of(&members) {
            let open = |slot: &Slot| availability.get(slot.index()) == Some(&Availability::Open);
            let weighty = |slot: &Slot| members.get(*slot).is_some_and(|member| member.spec.weight_value() > 0);
            let eligible: Arc<[Slot]> = slots.iter().copied().filter(|slot| open(slot) && weighty(slot)).collect();
            for slot in &*eligible {
                eligible_in[slot.index()] = Some(tier);
            }
            health.push(TierHealth {
                eligible: eligible.len(),
                members: slots.iter().filter(|slot| weighty(slot)).count(),
            });
            let view = View::new(Arc::clone(&members), slots, eligible);
            let last = self.tiers.iter().find(|last| last.tier == tier).map(|last| &*last.picker);
            tiers.push(TierView { tier, picker: hooks.strategy.build_guarded(&view, last)?, view });
        }
        let eligible = tiers.iter().map(|tier| tier.view.eligible().len()).sum();
        Ok(Self {
            revision: self.revision.next(),
            members,
            availability,
            eligible_in,
            tiers: tiers.into(),
            eligible,
            shares: hooks.spill.shares(&health),
        })
    }

    /// This snapshot with new pickers.
    pub(super) fn rebuilt(&self, hooks: &Hooks) -> Result<Self, BuildError> {
        self.next(Arc::clone(&self.members), self.availability.clone(), hooks)
    }

    /// The slots of each tier that has members, in order of priority.
    fn tiers_of(&self, members: &Arc<Members>) -> Vec<(Tier, Arc<[Slot]>)> {
        if Arc::ptr_eq(members, &self.members) {
            return self.tiers.iter().map(|tier| (tier.tier, Arc::clone(tier.view.shared_members()))).collect();
        }
        let mut tiers = std::collections::BTreeMap::<Tier, Vec<Slot>>::new();
        for (at, member) in members.slots.iter().enumerate() {
            if let Some(member) = member {
                tiers.entry(member.spec.tier_value()).or_default().push(Slot(at as u32));
            }
        }
        tiers.into_iter().map(|(tier, slots)| (tier, slots.into())).collect()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    #[inline]
    pub(crate) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    #[inline]
    pub(crate) fn availability(&self, slot: Slot) -> Availability {
        self.availability.get(slot.index()).copied().unwrap_or(Availability::Closed)
    }

    pub(super) fn all_availability(&self) -> &[Availability] {
        &self.availability
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..self.availability.len() as u32).map(Slot)
    }

    /// Resolves a request to an endpoint and takes the endpoint's permit where it has a limit (but not when the pick
    /// is only explained): the endpoint preferred, else the strategy's pick from the first tier that yields one.
    #[inline]
    pub(crate) fn choose(
        &self,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Choice, PickError> {
        let explained = notes.is_some();
        if let Some(choice) = request.prefer.and_then(|_| self.preferred(request, hooks, explained)) {
            return Ok(choice);
        }
        if let Some(shares) = &self.shares {
            let (before, from) = self.tiers.split_at(shares.draw(request, hooks));
            // The tier drawn, then the others in order.
            for tier in from.iter().take(1).chain(before).chain(from.iter().skip(1)) {
                if let Some(choice) = self.ask(tier, request, hooks, now, notes.as_deref_mut())? {
                    return Ok(choice);
                }
            }
        } else {
            for tier in &self.tiers {
                if let Some(choice) = self.ask(tier, request, hooks, now, notes.as_deref_mut())? {
                    return Ok(choice);
                }
            }
        }
        Err(self.why_nobody(request, hooks))
    }

    /// What one tier has to offer, if anything.
    #[inline]
    fn ask(
        &self,
        tier: &TierView,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Option<Choice>, PickError> {
        if tier.view.eligible().is_empty() {
            return Ok(None);
        }
        let explained = notes.is_some();
        // A permit that was free when the picker looked may be gone a moment later; the endpoint is then full for the
        // next try. Each failed try means that another thread has succeeded; or else that the strategy does not ask
        // whether an endpoint is usable, which must not keep the request here forever.
        for _ in 0..MOST_TRIES {
            let mut cx = PickCx::new(&tier.view, request, hooks.entropy.as_deref(), now, notes.as_deref_mut());
            let picked = guarded(|| tier.picker.pick(&mut cx)).ok_or(PickError::Panicked)?;
            let Some(slot) = picked else { break };
            if let Some(permit) = self.admit(tier, slot, request, hooks, explained)? {
                return Ok(Some(Choice { slot, permit, preferred: false, alternatives: self.eligible > 1 }));
            }
        }
        Ok(None)
    }

    /// Checks what the strategy answered, and lets the request in: `None` if it has to pick again, else whether a
    /// permit was taken.
    #[inline]
    fn admit(
        &self,
        tier: &TierView,
        slot: Slot,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        explained: bool,
    ) -> Result<Option<bool>, PickError> {
        if self.eligible_in.get(slot.index()) != Some(&Some(tier.tier)) {
            return Err(PickError::Misbehaved { slot });
        }
        if !self.members.limited && request.exclude.is_empty() && !hooks.needs.leases {
            return Ok(Some(false));
        }
        match self.members.get(slot).filter(|member| !request.excludes(member.endpoint.id())) {
            Some(member) => Ok(enter(member, request, hooks, explained)),
            None => Err(PickError::Misbehaved { slot }),
        }
    }

    #[cold]
    fn preferred(&self, request: &PickRequest<'_>, hooks: &Hooks, explained: bool) -> Option<Choice> {
        let slot = *self.members.index.get(request.prefer?)?;
        let member = self.members.get(slot)?;
        if self.availability(slot) == Availability::Closed || request.excludes(member.endpoint.id()) {
            return None;
        }
        let permit = enter(member, request, hooks, explained)?;
        // It may itself be none of the eligible.
        let others = self.eligible - usize::from(self.eligible_in[slot.index()].is_some());
        Some(Choice { slot, permit, preferred: true, alternatives: others > 0 })
    }

    #[cold]
    fn why_nobody(&self, request: &PickRequest<'_>, hooks: &Hooks) -> PickError {
        if self.members.index.is_empty() {
            return PickError::Empty;
        }
        if self.eligible == 0 {
            return PickError::Unavailable { members: self.members.index.len() };
        }
        let eligible = self.tiers.iter().flat_map(|tier| tier.view.eligible().iter());
        let left = eligible
            .filter_map(|&slot| self.members.get(slot))
            .filter(|member| !request.excludes(member.endpoint.id()));
        // Not whether they are at their limit now: a permit may have come back since the pick in vain.
        match left.map(|member| member.spec.max_in_flight().is_some()).reduce(|one, other| one && other) {
            None => PickError::Excluded,
            Some(limited) if limited || hooks.needs.leases => PickError::Saturated,
            Some(_) => PickError::Declined,
        }
    }
}

/// Takes the endpoint's permit where it has a limit, and asks the strategy where it wants to be asked; an explanation
/// takes nothing. `None` if either says no, else whether a permit was taken.
fn enter(member: &Member, request: &PickRequest<'_>, hooks: &Hooks, explained: bool) -> Option<bool> {
    let endpoint = &*member.endpoint;
    let limited = member.spec.max_in_flight().is_some();
    if explained {
        return (!limited || !endpoint.permits.exhausted()).then_some(false);
    }
    if limited && !endpoint.permits.try_acquire() {
        return None;
    }
    if hooks.needs.leases && !hooks.strategy.acquired(&endpoint.state, endpoint, request) {
        if limited {
            endpoint.permits.release();
            // Somebody may have found it full in this moment.
            hooks.freed.wake_one_more();
        }
        return None;
    }
    Some(limited)
}

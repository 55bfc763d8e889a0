//! What one pick sees: members, availability and pickers of one moment, behind one pointer.

use std::sync::Arc;

use super::{
    Hooks, PickError, Revision,
    offer::Offers,
    spillover::{Shares, TierHealth},
};
use crate::{
    binding::{BindingOutcome, MissReason},
    endpoint::{Availability, Endpoint, Slot, Tier},
    guard::guarded,
    load::Pass,
    request::PickRequest,
    strategy::{BuildError, Notes, PickCx, Picker, Strategy, Tickets},
    sync::Ordering,
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
    /// In order: who is let in with a pass only.
    trials: Arc<[Slot]>,
    /// Whether anybody has a limit or a pass, so that pools without such need not look.
    limited: bool,
    /// How many endpoints are eligible in all tiers together.
    eligible: usize,
    /// Where tiers share the traffic; `None` where all of it is the first one's.
    shares: Option<Shares>,
}

struct TierView {
    tier: Tier,
    view: View,
    picker: Box<dyn Picker>,
    offers: Offers,
    /// Counts picks while any endpoint is marked as failing.
    turns: Arc<Tickets>,
}

/// The first turn that a tier counts: far from the zero of an endpoint that no turn has picked.
const FIRST_TURN: u64 = 1 << 32;

/// The outcome of a pick, before a lease is taken.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) slot: Slot,
    pub(crate) entry: Entry,
    /// What became of the endpoint that the request preferred.
    pub(crate) preference: BindingOutcome,
    /// Whether another endpoint is eligible.
    pub(crate) alternatives: bool,
}

/// Who has a pass for an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PassOf {
    /// It is not on trial.
    Nobody,
    /// Whoever comes first takes it, and the others come in without.
    Offered,
    /// Nobody comes in without.
    Needed,
}

/// What was taken for a lease to be let in, and is to be given back.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    /// Whether a permit was taken, where the endpoint has a limit.
    pub(crate) permit: bool,
    /// The pass, where it is on trial: in a panic too, where nobody needs it, because somebody has to decide the trial.
    pub(crate) pass: Option<Pass>,
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
            trials: Arc::default(),
            limited: false,
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
        let slots_of = self.tiers_of(&members);
        let weighty = |slot: &Slot| members.get(*slot).is_some_and(|member| member.weight() > 0);
        let has = |slot: &Slot, wanted| availability.get(slot.index()) == Some(&wanted) && weighty(slot);
        let health = slots_of.iter().map(|(_, slots)| {
            let count = |wanted| slots.iter().filter(|slot| has(slot, wanted)).count();
            let eligible = count(Availability::Up);
            TierHealth {
                eligible,
                willing: eligible + count(Availability::Unhealthy) + count(Availability::Probation),
                members: slots.iter().filter(|slot| weighty(slot)).count(),
            }
        });
        let mut health: Vec<TierHealth> = health.collect();
        let panics = hooks.spillover.panics(&health, hooks.panic_threshold);
        let on_trial = |slot: &Slot| availability.get(slot.index()) == Some(&Availability::Probation);
        let calm = slots_of.iter().zip(&panics).filter(|(_, panics)| !**panics);
        let mut trials: Vec<Slot> = calm.flat_map(|((_, slots), _)| slots.iter().copied().filter(on_trial)).collect();
        trials.sort_unstable();
        let trials: Arc<[Slot]> = trials.into();
        let mut tiers = Vec::new();
        let mut eligible_in: Box<[Option<Tier>]> = availability.iter().map(|_| None).collect();
        for (((tier, slots), panics), health) in slots_of.into_iter().zip(panics).zip(&mut health) {
            let serves = |slot: &Slot| {
                has(slot, Availability::Up)
                    || has(slot, Availability::Probation)
                    || panics && has(slot, Availability::Unhealthy)
            };
            let eligible: Arc<[Slot]> = slots.iter().copied().filter(serves).collect();
            // A tier with nobody but on trial would get no share, and nobody to try it.
            if health.eligible == 0 && slots.iter().any(|slot| has(slot, Availability::Probation)) {
                health.eligible = 1;
            }
            for slot in &*eligible {
                eligible_in[slot.index()] = Some(tier);
            }
            let view = View::new(Arc::clone(&members), slots, eligible, Arc::clone(&trials));
            let offers = Offers::new(view.eligible().iter().copied().filter(on_trial));
            let last = self.tiers.iter().find(|last| last.tier == tier);
            let turns = last.map_or_else(|| Arc::new(Tickets::starting_at(FIRST_TURN)), |last| Arc::clone(&last.turns));
            let picker = hooks.strategy.build_guarded(&view, last.map(|last| &*last.picker))?;
            tiers.push(TierView { tier, view, picker, offers, turns });
        }
        let eligible = tiers.iter().map(|tier| tier.view.eligible().len()).sum();
        Ok(Self {
            revision: self.revision.next(),
            limited: members.limited || availability.contains(&Availability::Probation),
            trials,
            members,
            availability,
            eligible_in,
            tiers: tiers.into(),
            eligible,
            shares: hooks.spillover.shares(&health),
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
        self.availability.get(slot.index()).copied().unwrap_or(Availability::Maintenance)
    }

    pub(crate) fn is_eligible(&self, slot: Slot) -> bool {
        self.eligible_in.get(slot.index()).is_some_and(Option::is_some)
    }

    /// Whether the endpoint is let in with a pass only.
    fn is_on_trial(&self, slot: Slot) -> bool {
        self.trials.binary_search(&slot).is_ok()
    }

    pub(super) fn pass_of(&self, slot: Slot) -> PassOf {
        match self.availability(slot) {
            Availability::Probation if self.is_on_trial(slot) => PassOf::Needed,
            Availability::Probation => PassOf::Offered,
            _ => PassOf::Nobody,
        }
    }

    /// Whether it is on trial and its pass is out.
    pub(crate) fn is_tried(&self, slot: Slot) -> bool {
        self.is_on_trial(slot) && self.members.get(slot).is_some_and(|member| member.endpoint.trial.is_out())
    }

    /// Whether this endpoint can admit a request, as far as can be seen without asking the strategy.
    pub(super) fn has_room_at(&self, slot: Slot) -> bool {
        self.members.get(slot).is_some_and(|member| why_not(member, self.pass_of(slot)).is_none())
    }

    /// Whether any eligible endpoint can, from the `seen`th on; `seen` is moved to the first that can.
    pub(super) fn has_room(&self, seen: &mut usize) -> bool {
        let eligible = self.tiers.iter().flat_map(|tier| tier.view.eligible());
        let found = eligible.skip(*seen).position(|&slot| self.has_room_at(slot));
        *seen += found.unwrap_or(self.eligible);
        found.is_some()
    }

    /// Whether the endpoint in this slot differs from that of an earlier snapshot in what decides which requests it admits.
    pub(super) fn differs_at(&self, slot: Slot, last: &Self) -> bool {
        let same = match (self.members.get(slot), last.members.get(slot)) {
            (Some(now), Some(then)) => {
                Arc::ptr_eq(&now.endpoint, &then.endpoint) && now.max_in_flight() == then.max_in_flight()
            }
            (now, _) => now.is_none(),
        };
        !same
            || self.availability(slot) != last.availability(slot)
            || self.is_eligible(slot) != last.is_eligible(slot)
            || self.is_on_trial(slot) != last.is_on_trial(slot)
    }

    /// How many endpoints are eligible in all tiers together.
    pub(super) fn eligible_count(&self) -> usize {
        self.eligible
    }

    /// The eligible of the tier in which this one is eligible.
    pub(super) fn eligible_with(&self, slot: Slot) -> Option<&[Slot]> {
        let tier = (*self.eligible_in.get(slot.index())?)?;
        self.tiers.iter().find(|view| view.tier == tier).map(|tier| tier.view.eligible())
    }

    /// The eligible of each tier, in the order in which what has this lot is to ask them.
    pub(super) fn tiers_by(&self, lot: u64) -> impl Iterator<Item = &[Slot]> {
        let first = self.shares.as_ref().map_or(0, |shares| shares.at(lot));
        self.tiers_from(first).map(|tier| tier.view.eligible())
    }

    /// The tier at this position, then the others in order.
    fn tiers_from(&self, first: usize) -> impl Iterator<Item = &TierView> {
        let (before, from) = self.tiers.split_at(first.min(self.tiers.len()));
        from.iter().take(1).chain(before).chain(from.iter().skip(1))
    }

    pub(super) fn all_availability(&self) -> &[Availability] {
        &self.availability
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..self.availability.len() as u32).map(Slot)
    }

    /// Resolves a request to an endpoint and takes what lets it in where the endpoint has a limit or is on trial (but
    /// not when the pick is only explained): the endpoint preferred, else the strategy's pick from the first tier that yields one.
    #[inline]
    pub(crate) fn choose(
        &self,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Choice, PickError> {
        if request.prefer.is_some() {
            return self.choose_bound(request, hooks, now, notes);
        }
        if self.shares.is_some() {
            return self.choose_in_order(request, hooks, now, notes);
        }
        for tier in &self.tiers {
            if let Some(choice) = self.ask(tier, request, hooks, now, notes.as_deref_mut())? {
                return Ok(choice);
            }
        }
        Err(self.why_nobody(request, hooks))
    }

    /// The strategy's pick from the first tier that yields one, in the order that the shares say.
    #[inline(never)]
    pub(super) fn choose_in_order(
        &self,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Choice, PickError> {
        let first = self.shares.as_ref().map_or(0, |shares| shares.draw(request, hooks));
        for tier in self.tiers_from(first) {
            if let Some(choice) = self.ask(tier, request, hooks, now, notes.as_deref_mut())? {
                return Ok(choice);
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
        if !tier.offers.is_empty()
            && let Some((slot, entry)) = self.offer(&tier.offers, request, hooks, explained)
        {
            return Ok(Some(self.free(slot, entry)));
        }
        let turn = self.turn(tier, request, hooks, explained);
        let mut cap = turn;
        // A permit that was free when the picker looked may be gone a moment later; the endpoint is then full for the
        // next try. Each failed try means that another thread has succeeded; or else that the strategy does not ask
        // whether an endpoint is usable, which must not keep the request here forever.
        for _ in 0..MOST_TRIES {
            let mut cx = PickCx::new(&tier.view, request, hooks.entropy.as_deref(), now, notes.as_deref_mut()).at(cap);
            let picked = guarded(|| tier.picker.pick(&mut cx)).ok_or(PickError::Panicked)?;
            let Some(slot) = picked else {
                // Better a failing endpoint than none.
                if cap.take().is_some() {
                    continue;
                }
                break;
            };
            if let Some(entry) = self.admit(tier, slot, request, hooks, explained)? {
                if let (Some(turn), Some(member), false) = (turn, self.members.get(slot), explained) {
                    member.endpoint.failing.picked(turn);
                }
                return Ok(Some(self.free(slot, entry)));
            }
        }
        Ok(None)
    }

    /// The choice of an endpoint for a request that is bound to none.
    #[inline]
    fn free(&self, slot: Slot, entry: Entry) -> Choice {
        Choice { slot, entry, preference: BindingOutcome::Unbound, alternatives: self.eligible > 1 }
    }

    /// The number of this pick where endpoints are marked as failing and the strategy wants them
    /// [capped](crate::Needs::caps_failing) for this request.
    #[inline]
    fn turn(&self, tier: &TierView, request: &PickRequest<'_>, hooks: &Hooks, explained: bool) -> Option<u64> {
        if !hooks.needs.caps_failing {
            return None;
        }
        let failing = hooks.failing.load(Ordering::Relaxed);
        if failing == 0 {
            return None;
        }
        // Where most endpoints fail, failures say little about one of them.
        let is_exception = u64::from(failing) * 2 <= self.eligible as u64;
        let goes_by_key = hooks.needs.key && request.has_key() && !hooks.needs.caps_failing_by_key;
        (is_exception && !goes_by_key).then(|| if explained { tier.turns.peek() } else { tier.turns.take() })
    }

    /// Checks what the strategy answered, and lets the request in: `None` if it has to pick again.
    #[inline]
    fn admit(
        &self,
        tier: &TierView,
        slot: Slot,
        request: &PickRequest<'_>,
        hooks: &Hooks,
        explained: bool,
    ) -> Result<Option<Entry>, PickError> {
        if self.eligible_in.get(slot.index()) != Some(&Some(tier.tier)) {
            return Err(PickError::Misbehaved { slot });
        }
        if !self.limited && request.exclude.is_empty() && !hooks.needs.leases {
            return Ok(Some(Entry::default()));
        }
        match self.members.get(slot).filter(|member| !request.excludes(member.endpoint.id())) {
            Some(member) => Ok(enter(member, self.pass_of(slot), request, hooks, explained)),
            None => Err(PickError::Misbehaved { slot }),
        }
    }

    #[cold]
    pub(super) fn why_nobody(&self, request: &PickRequest<'_>, hooks: &Hooks) -> PickError {
        if self.members.index.is_empty() {
            return PickError::Empty;
        }
        if self.eligible == 0 {
            return PickError::Unavailable { members: self.members.index.len() };
        }
        let eligible = self.tiers.iter().flat_map(|tier| tier.view.eligible().iter());
        let left = eligible
            .filter_map(|&slot| Some((slot, self.members.get(slot)?)))
            .filter(|(_, member)| !request.excludes(member.endpoint.id()));
        // Not whether they are full now: a permit or a pass may have come back since the pick in vain.
        match left
            // Permits know of a limit that was set since this snapshot was loaded; the pick has heeded it.
            .map(|(slot, member)| {
                member.max_in_flight().is_some() || member.endpoint.max_in_flight().is_some() || self.is_on_trial(slot)
            })
            .reduce(|one, other| one && other)
        {
            None => PickError::Excluded,
            Some(limited) if limited || hooks.needs.leases => PickError::Saturated,
            Some(_) => PickError::Declined,
        }
    }
}

/// Takes the endpoint's permit where it has a limit and its pass where it is on trial, and asks the strategy where it
/// wants to be asked; an explanation takes nothing. `None` if any of them says no.
#[inline]
pub(super) fn enter(
    member: &Member,
    pass: PassOf,
    request: &PickRequest<'_>,
    hooks: &Hooks,
    explained: bool,
) -> Option<Entry> {
    let endpoint = &*member.endpoint;
    let limited = member.max_in_flight().is_some();
    if explained {
        return would_enter(member, pass);
    }
    if pass == PassOf::Needed && endpoint.trial.is_out() {
        return None;
    }
    let mut entry = Entry::default();
    if limited {
        entry.permit = endpoint.permits.try_acquire();
        if !entry.permit {
            return None;
        }
    }
    if pass != PassOf::Nobody {
        entry.pass = endpoint.trial.try_take();
    }
    let may = pass != PassOf::Needed || entry.pass.is_some();
    if may && (!hooks.needs.leases || hooks.strategy.admit(&endpoint.state, endpoint, request)) {
        return Some(entry);
    }
    if entry.give_back(endpoint) {
        hooks.gave_up(endpoint.slot());
    }
    None
}

#[cold]
fn would_enter(member: &Member, pass: PassOf) -> Option<Entry> {
    why_not(member, pass).is_none().then(Entry::default)
}

/// Who but the strategy lets nobody in, as far as can be seen from outside.
pub(super) fn why_not(member: &Member, pass: PassOf) -> Option<MissReason> {
    if member.max_in_flight().is_some() && member.endpoint.permits.exhausted() {
        return Some(MissReason::Full);
    }
    (pass == PassOf::Needed && member.endpoint.trial.is_out()).then_some(MissReason::OnProbation)
}

impl Entry {
    /// Whether there was anything to give back.
    pub(crate) fn give_back(self, endpoint: &Endpoint) -> bool {
        if self.permit {
            endpoint.permits.release();
        }
        if let Some(pass) = self.pass {
            endpoint.trial.give_back(pass);
        }
        self.permit || self.pass.is_some()
    }
}

//! The state of a pool: its settings, which are fixed when it is built, and its snapshot. The snapshot holds what
//! changes: members, availability and pickers. It is immutable. A pick reads it through one pointer, and each change of
//! the pool replaces it as a whole.

use std::{marker::PhantomData, sync::Arc};

use super::{
    changes::Watchers,
    counters::Counters,
    departed::Departures,
    queue::{Queue, UsableBy},
    removal::RemovalHooks,
    spillover::{Shares, Spillover, TierHealth},
};
use crate::{
    binding::MissReason,
    endpoint::{AddressChecks, Availability, PoolContext, Slot, Tier},
    ids::Revision,
    strategy::{AnyStrategy, BuildError, Needs, PickCounter, Picker},
    sync::{AtomicU32, AtomicU64, Event, Mutex, Ordering, Swap},
    view::{Member, Members, View},
};

/// A set of endpoints, and the strategy that picks one of them for each request. Each endpoint has a target of type
/// `T`: what requests are sent with, such as a client or a channel. Use `()` if the address is enough.
///
/// Clones share the same pool. A pick does not wait for changes of the pool. Changes of the pool are made one after the
/// other, and a pick sees either all of a change or nothing of it.
///
/// ```
/// use equipoise_core::{EndpointSpec, PickRequest, Pool, Verdict};
///
/// let pool: Pool<String> = Pool::default();
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |spec| format!("client for {}", spec.address()))?;
///
/// let lease = pool.pick(&PickRequest::new())?;
/// println!("{} through {:?}", lease.endpoint().id(), lease.target());
/// lease.finish(Verdict::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<T> {
    pub(super) inner: Arc<PoolInner>,
    pub(super) target: PhantomData<fn() -> T>,
}

/// A pool without the type of its targets.
pub(super) struct PoolInner {
    pub(super) snapshot: Swap<Snapshot>,
    /// Locked while the pool is changed.
    pub(super) writer: Mutex<()>,
    pub(super) settings: PoolSettings,
    pub(super) queue: Queue,
    pub(super) stripes: usize,
    /// The endpoints that have left.
    pub(super) departures: Departures,
    /// In an allocation of their own, so that counting does not take the memory of `snapshot` out of the caches of other
    /// cores.
    pub(super) counters: Box<Counters>,
    /// Notified when a snapshot is published.
    pub(super) changed: Event,
    /// The time of the next refresh of the strategy, in nanoseconds on the pool's clock.
    pub(super) refresh_at: AtomicU64,
    pub(super) watchers: Watchers,
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), target: PhantomData }
    }
}

impl<T> Pool<T> {
    /// Returns whether both values are clones of one pool.
    ///
    /// ```
    /// use equipoise_core::Pool;
    ///
    /// let pool: Pool<()> = Pool::default();
    /// assert!(pool.is_same(&pool.clone()));
    /// assert!(!pool.is_same(&Pool::default()));
    /// ```
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

/// The settings of a pool, which are fixed when it is built.
pub(super) struct PoolSettings {
    pub(super) strategy: AnyStrategy,
    /// What the strategy needs from the pool. The strategy is asked once, when the pool is built.
    pub(super) needs: Needs,
    pub(super) spillover: Spillover,
    /// If the share of healthy endpoints in a tier is below this threshold, the pool ignores health in the tier.
    pub(super) panic_threshold: f64,
    pub(super) initial_availability: Availability,
    pub(super) address_checks: AddressChecks,
    pub(super) removal_hooks: RemovalHooks,
    /// The clock, the random numbers and the counters. Endpoints and leases use them too.
    pub(super) context: Arc<PoolContext>,
}

/// The state of a pool between two changes.
pub(super) struct Snapshot {
    revision: Revision,
    members: Arc<Members>,
    /// The availability of the endpoint in each slot.
    availability: Box<[Availability]>,
    /// For each slot, the tier in which its endpoint is eligible. `None` if the endpoint is not eligible.
    pub(super) eligible_in: Box<[Option<Tier>]>,
    /// The tiers that have members, in order of priority.
    pub(super) tiers: Box<[TierView]>,
    /// The endpoints on probation that admit a request only with the pass (the right to be the single request of the
    /// probation). Sorted by slot.
    on_probation: Arc<[Slot]>,
    /// Whether any endpoint has a limit or is on probation. If not, picks skip these checks.
    pub(super) limited: bool,
    /// The number of eligible endpoints in all tiers.
    eligible: usize,
    /// The shares of the tiers in the traffic. `None` if the first tier that can serve gets all of it.
    pub(super) shares: Option<Shares>,
}

/// One tier of a snapshot, with the picker that the strategy has built for it.
pub(super) struct TierView {
    pub(super) tier: Tier,
    pub(super) view: View,
    pub(super) picker: Box<dyn Picker>,
    pub(super) offers: Offers,
    /// Counts the picks in this tier while any endpoint is marked as failing.
    pub(super) turns: Arc<PickCounter>,
}

/// The first value of [`TierView::turns`]. It is large because endpoints that were never picked have the value 0, which
/// must look long ago.
const FIRST_TURN: u64 = 1 << 32;

/// The endpoints of one tier that are on probation. The pool offers the pass of each endpoint to a request, and does
/// not wait until the strategy picks the endpoint.
///
/// A strategy that compares endpoints may never pick such an endpoint. An endpoint with a long stream is never the
/// least loaded one, and an endpoint that has failed has a bad estimate.
pub(super) struct Offers {
    slots: Box<[Slot]>,
    /// Where the next check begins, if there are more endpoints than one pick checks.
    next: AtomicU32,
}

/// The maximum number of endpoints on probation that one pick checks. It keeps a pick at O(1) if thousands of endpoints
/// are on probation.
const MAX_CHECKED: usize = 8;

impl Offers {
    fn new(slots: impl Iterator<Item = Slot>) -> Self {
        Self { slots: slots.collect(), next: AtomicU32::new(0) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the endpoints that this pick checks. Successive picks check different ones. An explained pick does not
    /// advance the order.
    pub(super) fn to_check(&self, explained: bool) -> impl Iterator<Item = Slot> {
        let n = self.slots.len();
        let start = match n {
            ..=MAX_CHECKED => 0,
            _ if explained => self.next.load(Ordering::Relaxed),
            _ => self.next.fetch_add(MAX_CHECKED as u32, Ordering::Relaxed),
        };
        (0..n.min(MAX_CHECKED)).filter_map(move |step| self.slots.get((start as usize).wrapping_add(step) % n).copied())
    }
}

impl Snapshot {
    /// Creates the snapshot of a pool without endpoints.
    pub(super) fn empty() -> Self {
        Self {
            revision: Revision::default(),
            members: Arc::new(Members::empty()),
            availability: Box::default(),
            eligible_in: Box::default(),
            tiers: Box::default(),
            on_probation: Arc::default(),
            limited: false,
            eligible: 0,
            shares: None,
        }
    }

    /// Builds the next snapshot with these members and this availability. Calls the strategy to build pickers.
    pub(super) fn next(
        &self,
        members: Arc<Members>,
        availability: Box<[Availability]>,
        settings: &PoolSettings,
    ) -> Result<Self, BuildError> {
        let slots_of = self.tiers_of(&members);
        let weighty = |slot: &Slot| members.get(*slot).is_some_and(|member| member.weight() > 0);
        let has = |slot: &Slot, wanted| availability.get(slot.index()) == Some(&wanted) && weighty(slot);
        let health = slots_of.iter().map(|(_, slots)| {
            let count = |wanted| slots.iter().filter(|slot| has(slot, wanted)).count();
            let eligible = count(Availability::Up);
            TierHealth {
                eligible,
                in_service: eligible + count(Availability::Unhealthy) + count(Availability::Probation),
                members: slots.iter().filter(|slot| weighty(slot)).count(),
            }
        });
        let mut health: Vec<TierHealth> = health.collect();
        let panics = settings.spillover.panics(&health, settings.panic_threshold);
        let is_on_probation = |slot: &Slot| availability.get(slot.index()) == Some(&Availability::Probation);
        let calm = slots_of.iter().zip(&panics).filter(|(_, panics)| !**panics);
        let need_pass = calm.flat_map(|((_, slots), _)| slots.iter().copied().filter(is_on_probation));
        let mut on_probation: Vec<Slot> = need_pass.collect();
        on_probation.sort_unstable();
        let on_probation: Arc<[Slot]> = on_probation.into();
        let mut tiers = Vec::new();
        let mut eligible_in: Box<[Option<Tier>]> = availability.iter().map(|_| None).collect();
        for (((tier, slots), panics), health) in slots_of.into_iter().zip(panics).zip(&mut health) {
            let serves = |slot: &Slot| {
                has(slot, Availability::Up)
                    || has(slot, Availability::Probation)
                    || panics && has(slot, Availability::Unhealthy)
            };
            let eligible: Arc<[Slot]> = slots.iter().copied().filter(serves).collect();
            // A tier whose endpoints are all on probation needs a share of the traffic. Without it, the tier would
            // never get a request that decides about its endpoints.
            if health.eligible == 0 && slots.iter().any(|slot| has(slot, Availability::Probation)) {
                health.eligible = 1;
            }
            for slot in &*eligible {
                eligible_in[slot.index()] = Some(tier);
            }
            let context = Arc::clone(&settings.context);
            let view = View::new(context, Arc::clone(&members), slots, eligible, Arc::clone(&on_probation));
            let offers = Offers::new(view.eligible().iter().copied().filter(is_on_probation));
            let last = self.tiers.iter().find(|last| last.tier == tier);
            let turns =
                last.map_or_else(|| Arc::new(PickCounter::starting_at(FIRST_TURN)), |last| Arc::clone(&last.turns));
            let picker = settings.strategy.build_guarded(&view, last.map(|last| &*last.picker))?;
            tiers.push(TierView { tier, view, picker, offers, turns });
        }
        let eligible = tiers.iter().map(|tier| tier.view.eligible().len()).sum();
        Ok(Self {
            revision: self.revision.next(),
            limited: members.limited || availability.contains(&Availability::Probation),
            on_probation,
            members,
            availability,
            eligible_in,
            tiers: tiers.into(),
            eligible,
            shares: settings.spillover.shares(&health),
        })
    }

    /// Builds a snapshot with the same members and availability, but new pickers.
    pub(super) fn rebuilt(&self, settings: &PoolSettings) -> Result<Self, BuildError> {
        self.next(Arc::clone(&self.members), self.availability.clone(), settings)
    }

    /// Returns the slots of each tier that has members, in order of priority.
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

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    #[inline]
    pub(super) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    #[inline]
    pub(super) fn availability(&self, slot: Slot) -> Availability {
        self.availability.get(slot.index()).copied().unwrap_or(Availability::Maintenance)
    }

    pub(super) fn is_eligible(&self, slot: Slot) -> bool {
        self.eligible_in.get(slot.index()).is_some_and(Option::is_some)
    }

    /// Returns whether the endpoint is on probation and admits a request only with its pass. False in a panic.
    pub(super) fn is_on_probation(&self, slot: Slot) -> bool {
        self.on_probation.binary_search(&slot).is_ok()
    }

    /// Returns whether a request needs the pass of this endpoint.
    pub(super) fn pass_rule(&self, slot: Slot) -> PassRule {
        match self.availability(slot) {
            Availability::Probation if self.is_on_probation(slot) => PassRule::Required,
            Availability::Probation => PassRule::Optional,
            _ => PassRule::None,
        }
    }

    /// Returns whether the endpoint is on probation and its pass is taken.
    pub(super) fn is_tried(&self, slot: Slot) -> bool {
        self.is_on_probation(slot) && self.members.get(slot).is_some_and(|member| member.endpoint.probation.is_out())
    }

    /// Returns which requests the endpoint in this slot can admit. `None` if it is full. Does not ask the strategy.
    pub(super) fn capacity_at(&self, slot: Slot) -> Option<UsableBy> {
        match why_refused(self.members.get(slot)?, self.pass_rule(slot)) {
            None => Some(self.usable_by(slot)),
            // A request with a forced binding does not need the pass.
            Some(MissReason::OnProbation) => Some(UsableBy::Forced),
            Some(_) => None,
        }
    }

    /// Returns which requests can use the capacity of this endpoint if they have the pass or need none.
    pub(super) fn usable_by(&self, slot: Slot) -> UsableBy {
        match self.availability(slot) {
            _ if self.is_eligible(slot) => UsableBy::All,
            Availability::Unhealthy | Availability::Maintenance => UsableBy::Forced,
            Availability::Up | Availability::Probation | Availability::Draining => UsableBy::Bound,
        }
    }

    /// Returns whether any eligible endpoint can admit a request. The search begins with the eligible endpoint of
    /// number `seen`. Sets `seen` to the number of the endpoint that was found.
    pub(super) fn has_capacity(&self, seen: &mut usize) -> bool {
        let eligible = self.tiers.iter().flat_map(|tier| tier.view.eligible());
        let found = eligible.skip(*seen).position(|&slot| self.capacity_at(slot) == Some(UsableBy::All));
        *seen += found.unwrap_or(self.eligible);
        found.is_some()
    }

    /// Returns whether the endpoint in this slot may admit requests that it did not admit in the last snapshot.
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
            || self.is_on_probation(slot) != last.is_on_probation(slot)
    }

    /// Returns the number of eligible endpoints in all tiers.
    #[inline]
    pub(super) fn eligible_count(&self) -> usize {
        self.eligible
    }

    /// Returns the eligible endpoints of the tier in which this endpoint is eligible. `None` if it is not eligible.
    pub(super) fn eligible_with(&self, slot: Slot) -> Option<&[Slot]> {
        let tier = (*self.eligible_in.get(slot.index())?)?;
        self.tiers.iter().find(|view| view.tier == tier).map(|tier| tier.view.eligible())
    }

    /// Returns the eligible endpoints of each tier, in the order in which a request with these random bits tries the
    /// tiers.
    pub(super) fn tiers_by(&self, bits: u64) -> impl Iterator<Item = &[Slot]> {
        let first = self.shares.as_ref().map_or(0, |shares| shares.at(bits));
        self.tiers_from(first).map(|tier| tier.view.eligible())
    }

    /// Returns the tier at position `first`, and then the other tiers in order of priority.
    pub(super) fn tiers_from(&self, first: usize) -> impl Iterator<Item = &TierView> {
        let (before, from) = self.tiers.split_at(first.min(self.tiers.len()));
        from.iter().take(1).chain(before).chain(from.iter().skip(1))
    }

    pub(super) fn all_availability(&self) -> &[Availability] {
        &self.availability
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..self.availability.len() as u32).map(Slot)
    }
}

/// Whether a request needs the pass of an endpoint. An endpoint on probation serves a single request, and the pass is
/// the right to be this request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PassRule {
    /// The endpoint is not on probation, so there is no pass.
    None,
    /// The request takes the pass if it is available, and is admitted without it otherwise. This rule applies in a
    /// panic and to forced bindings.
    Optional,
    /// Only a request that gets the pass is admitted.
    Required,
}

/// Returns why the endpoint would refuse a request now. `None` if the endpoint would admit the request. Does not ask
/// the strategy.
pub(super) fn why_refused(member: &Member, pass: PassRule) -> Option<MissReason> {
    if member.max_in_flight().is_some() && member.endpoint.permits.exhausted() {
        return Some(MissReason::Full);
    }
    (pass == PassRule::Required && member.endpoint.probation.is_out()).then_some(MissReason::OnProbation)
}

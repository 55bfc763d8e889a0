//! What a strategy builds from: the members of one tier, and which of them are eligible.

use std::{any::Any, collections::HashMap, sync::Arc};

use crate::{
    endpoint::{Endpoint, EndpointId, EndpointSpec, MAX_WEIGHT, Slot, Tier},
    entropy::{mix, thread_random},
    load::Handle,
    pool::Revision,
    time::Timestamp,
};

/// One member as the current membership has it.
#[derive(Clone)]
pub(crate) struct Member {
    /// As it was given; what counts is in the methods.
    pub(crate) spec: EndpointSpec,
    pub(crate) overlay: Overlay,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// What was set over a spec, and stays when the spec changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// How much of the spec's weight counts.
    pub(crate) percent: u32,
    /// Instead of the spec's.
    pub(crate) limit: Option<u32>,
}

impl Default for Overlay {
    fn default() -> Self {
        Self { percent: 100, limit: None }
    }
}

impl Member {
    pub(crate) fn weight(&self) -> u32 {
        let weight = u64::from(self.spec.weight_value()) * u64::from(self.overlay.percent) / 100;
        weight.min(u64::from(MAX_WEIGHT)) as u32
    }

    pub(crate) fn max_in_flight(&self) -> Option<u32> {
        self.overlay.limit.or(self.spec.max_in_flight_value())
    }
}

/// Everything that changes with `update` but not when health flips: shared by all views until the next update.
pub(crate) struct Members {
    /// By slot; `None` where nobody lives.
    pub(crate) slots: Box<[Option<Member>]>,
    /// Stripe after stripe, each as long as `slots`: a thread stays within its own part.
    pub(crate) handles: Box<[Option<Arc<Handle>>]>,
    pub(crate) index: HashMap<EndpointId, Slot>,
    /// Whether any member has a limit, so that pools without one need not look.
    pub(crate) limited: bool,
    pub(crate) revision: Revision,
}

impl Members {
    pub(crate) fn empty() -> Self {
        Self {
            slots: Box::default(),
            handles: Box::default(),
            index: HashMap::new(),
            limited: false,
            revision: Revision::default(),
        }
    }

    /// These with another overlay for whoever lives in `slot`.
    pub(crate) fn overlaid(&self, overlays: impl IntoIterator<Item = (Slot, Overlay)>, revision: Revision) -> Self {
        let mut slots = self.slots.clone();
        for (slot, overlay) in overlays {
            if let Some(Some(member)) = slots.get_mut(slot.index()) {
                member.overlay = overlay;
            }
        }
        Self { limited: is_limited(&slots), slots, handles: self.handles.clone(), index: self.index.clone(), revision }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Member> {
        self.slots.get(slot.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn handle(&self, slot: Slot, stripe: usize) -> Option<&Arc<Handle>> {
        self.handles.get(stripe * self.slots.len() + slot.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn in_flight(&self, slot: Slot) -> u32 {
        let stride = self.slots.len();
        let mut at = slot.index();
        let mut sum = 0u32;
        while let Some(handle) = self.handles.get(at) {
            sum = sum.wrapping_add(handle.as_ref().map_or(0, |handle| handle.in_flight()));
            at += stride;
        }
        sum
    }
}

/// Whether any of them has a limit.
pub(crate) fn is_limited(slots: &[Option<Member>]) -> bool {
    slots.iter().flatten().any(|member| member.max_in_flight().is_some())
}

/// The members of one tier, and which of them are eligible: what [`Strategy::build`](crate::Strategy::build) gets,
/// and what a [`Picker`](crate::Picker) sees through its context.
///
/// A pool builds one view and one picker per tier, so a strategy need not know about tiers. Everything in a view is
/// immutable but the load signals ([`in_flight`](Self::in_flight)).
#[derive(Clone)]
pub struct View {
    all: Arc<Members>,
    members: Arc<[Slot]>,
    eligible: Arc<[Slot]>,
    /// In order: who is let in with a [pass](crate::load::Pass) only, in whatever tier.
    trials: Arc<[Slot]>,
    /// Whether anybody may be full or on trial.
    limited: bool,
    /// Of the eligible together.
    eligible_weight: u64,
    /// By slot, where a wrapper gave its own.
    weights: Option<Arc<[u32]>>,
    revision: Revision,
    /// How to find the memory of a wrapped strategy in those of its wrappers, outermost first.
    lenses: Vec<Lens>,
}

type Erased = Arc<dyn Any + Send + Sync>;
type Lens = fn(Erased) -> Option<Erased>;

/// The value as an `S`, also when an [`AnyStrategy`](crate::AnyStrategy) on the way has put it into a box more.
fn unbox<S: Any + Send + Sync>(mut state: Erased) -> Option<Arc<S>> {
    loop {
        state = match state.downcast::<S>() {
            Ok(found) => return Some(found),
            Err(other) => Arc::clone(other.downcast_ref::<Erased>()?),
        };
    }
}

/// The memory of a strategy that wraps another: its own, and the other's.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use equipoise_core::{
///     BuildError, Endpoint, EndpointSpec, Layered, Needs, PickRequest, Pool, RoundRobin, Strategy, View, forward_hooks,
/// };
///
/// /// Counts the leases of each endpoint, whatever the strategy inside does.
/// struct Counted<S>(S);
///
/// impl<S: Strategy> Strategy for Counted<S> {
///     type State = Layered<AtomicU64, S::State>;
///     type Picker = S::Picker;
///     fn state(&self, spec: &EndpointSpec) -> Self::State {
///         Layered::new(AtomicU64::new(0), self.0.state(spec))
///     }
///     fn build(&self, view: &View, last: Option<&S::Picker>) -> Result<S::Picker, BuildError> {
///         self.0.build(&view.within::<AtomicU64, S::State>(), last)
///     }
///     fn needs(&self) -> Needs {
///         self.0.needs().leases()
///     }
///     fn admit(&self, state: &Self::State, endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
///         let taken = self.0.admit(&state.inner, endpoint, request);
///         state.own.fetch_add(u64::from(taken), Ordering::Relaxed);
///         taken
///     }
///     forward_hooks!(self.0, state.inner: on_release, on_latency, on_abandon, on_outcome, on_probation, on_refresh);
/// }
///
/// let pool = Pool::new(Counted(RoundRobin::new()));
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// assert_eq!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "a:80");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Layered<O, I> {
    /// The wrapper's.
    pub own: O,
    /// The wrapped strategy's.
    pub inner: Arc<I>,
}

impl<O, I> Layered<O, I> {
    /// Puts them together.
    pub fn new(own: O, inner: I) -> Self {
        Self { own, inner: Arc::new(inner) }
    }
}

impl View {
    pub(crate) fn new(all: Arc<Members>, members: Arc<[Slot]>, eligible: Arc<[Slot]>, trials: Arc<[Slot]>) -> Self {
        let limited = all.limited || !trials.is_empty();
        let (revision, weights, lenses) = (all.revision, None, Vec::new());
        let view = Self { all, members, eligible, trials, limited, eligible_weight: 0, weights, revision, lenses };
        view.weighed()
    }

    fn weighed(mut self) -> Self {
        self.eligible_weight = self.eligible.iter().map(|&slot| u64::from(self.weight(slot))).sum();
        self
    }

    /// In how many picks the endpoint in `slot` comes up once by its weight, rounded up; at least 1.
    pub(crate) fn turns_of(&self, slot: Slot) -> u64 {
        self.eligible_weight.div_ceil(u64::from(self.weight(slot)).max(1)).max(1)
    }

    pub(crate) fn shared_members(&self) -> &Arc<[Slot]> {
        &self.members
    }

    /// The tier whose members these are; `None` if there are none.
    pub(crate) fn tier(&self) -> Option<Tier> {
        Some(self.all.get(*self.members.first()?)?.spec.tier_value())
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limited
    }

    /// Whether the endpoint in `slot` is let in with a pass only.
    pub(crate) fn is_on_trial(&self, slot: Slot) -> bool {
        self.trials.binary_search(&slot).is_ok()
    }

    /// The view as a wrapped strategy is to see it, whose memory is the inner half of the wrapper's
    /// [`Layered`]`<O, I>`.
    pub fn within<O: Send + Sync + 'static, I: Send + Sync + 'static>(&self) -> Self {
        let lens: Lens = |outer| Some(Arc::clone(&unbox::<Layered<O, I>>(outer)?.inner) as _);
        let mut view = self.clone();
        view.lenses.push(lens);
        view
    }

    /// The view with only those members for which `keep` says so, eligible or not: for strategies that let another
    /// choose within a part, who hand the part to the other's picker with [`PickCx::within`](crate::PickCx::within).
    /// Another choice of members counts as another membership.
    pub fn narrowed(&self, keep: impl Fn(Slot) -> bool) -> Self {
        let kept = |slots: &[Slot]| slots.iter().copied().filter(|&slot| keep(slot)).collect::<Arc<[Slot]>>();
        let members = kept(&self.members);
        let revision = if members.len() == self.members.len() {
            self.revision
        } else {
            self.revision.derived(members.iter().fold(1 << 40, |digest, slot| mix(digest ^ u64::from(slot.0))))
        };
        Self { eligible: kept(&self.eligible), members, revision, ..self.clone() }.weighed()
    }

    /// The view with other weights for its members, at least 1 for those eligible: for strategies that let another
    /// choose, but not by the weights as they were set. Other weights count as another membership.
    pub fn reweighted(&self, weight: impl Fn(Slot) -> u32) -> Self {
        let mut weights = vec![0; self.capacity()];
        for &slot in &*self.members {
            weights[slot.index()] = weight(slot);
        }
        for slot in &*self.eligible {
            weights[slot.index()] = weights[slot.index()].max(1);
        }
        // After the floor, which comes and goes with who is eligible: tables leave out whoever had a weight of 0.
        let digest = self.members.iter().fold(2 << 40, |digest, slot| mix(digest ^ u64::from(weights[slot.index()])));
        Self { weights: Some(weights.into()), revision: self.revision.derived(digest), ..self.clone() }.weighed()
    }

    /// All members of the tier, in the order of their slots, whether eligible or not.
    pub fn members(&self) -> &[Slot] {
        &self.members
    }

    /// The members that may be picked: open or on trial, in a panic also unfit, and of a weight above 0; in the order
    /// of their slots.
    pub fn eligible(&self) -> &[Slot] {
        &self.eligible
    }

    /// One more than the highest slot index that can occur: the length of a table indexed by slot.
    pub fn capacity(&self) -> usize {
        self.all.slots.len()
    }

    /// The endpoint in `slot`, if somebody lives there.
    pub fn endpoint(&self, slot: Slot) -> Option<&Endpoint> {
        Some(&*self.all.get(slot)?.endpoint)
    }

    /// The weight of the endpoint in `slot`, as it counts [for now](crate::Pool::set_weight_percent); 0 for an empty slot.
    pub fn weight(&self, slot: Slot) -> u32 {
        match &self.weights {
            None => self.all.get(slot).map_or(0, Member::weight),
            Some(weights) => weights.get(slot.index()).copied().unwrap_or(0),
        }
    }

    /// The zone of the endpoint in `slot`, if it has one.
    pub fn zone(&self, slot: Slot) -> Option<&str> {
        self.all.get(slot)?.spec.zone_name().map(|zone| &**zone)
    }

    /// How many leases the endpoint in `slot` has out; 0 for an empty slot. Counted from the pick to the release, so a
    /// burst of picks sees itself.
    #[inline]
    pub fn in_flight(&self, slot: Slot) -> u32 {
        self.all.in_flight(slot)
    }

    /// The memory that the strategy keeps of the endpoint in `slot`: the value that
    /// [`Strategy::state`](crate::Strategy::state) made when the endpoint came. Look it up when building and keep it:
    /// it is one allocation per endpoint that survives every update.
    pub fn state<S: Any + Send + Sync>(&self, slot: Slot) -> Option<Arc<S>> {
        let outermost = Arc::clone(&self.all.get(slot)?.endpoint.state);
        unbox(self.lenses.iter().try_fold(outermost, |state, lens| lens(state))?)
    }

    /// When the membership (ids, addresses, weights, tiers, zones, limits) last changed. While it stands still, tables
    /// that depend on membership alone can be taken over from the last picker. Compare for equality: a view that was
    /// [narrowed](Self::narrowed) or [reweighted](Self::reweighted) has a number of its own.
    pub fn membership_revision(&self) -> Revision {
        self.revision
    }

    /// The time on the pool's clock, which is read now: for what [`build`](crate::Strategy::build) has to date.
    /// [`Timestamp::ZERO`] where there are no members.
    pub fn now(&self) -> Timestamp {
        let anybody = self.members.first().and_then(|&slot| self.all.get(slot));
        anybody.map_or(Timestamp::ZERO, |member| member.endpoint.hooks.clock.now())
    }

    /// 64 random bits from the pool's entropy: for what [`build`](crate::Strategy::build) draws. 0 where there are no
    /// members.
    pub fn random(&self) -> u64 {
        let anybody = self.members.first().and_then(|&slot| self.all.get(slot));
        anybody.map_or(0, |member| match &member.endpoint.hooks.entropy {
            None => thread_random(),
            Some(entropy) => entropy.next_u64(),
        })
    }
}

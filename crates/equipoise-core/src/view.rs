//! The members of a pool, and the view of one tier (priority group) from which a strategy builds its picker.

use std::{any::Any, collections::HashMap, sync::Arc};

use crate::{
    endpoint::{Endpoint, EndpointId, EndpointSpec, EndpointState, MAX_WEIGHT, PoolContext, Slot, Tier},
    entropy::mix,
    ids::Revision,
    load::{Handle, LatencyHistogram, Load, RequestCounts, StripeReader, read_histograms},
    time::Timestamp,
};

/// One endpoint of a pool, with its current settings.
#[derive(Clone)]
pub(crate) struct Member {
    /// The spec of the last update. [`weight`](Self::weight) and [`max_in_flight`](Self::max_in_flight) combine it with
    /// the overlay.
    pub(crate) spec: EndpointSpec,
    pub(crate) overlay: Overlay,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// Settings that override those of the spec. They stay when an update brings another spec.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// Percentage of the spec's weight. Default: 100.
    pub(crate) percent: u32,
    /// Replaces the `max_in_flight` of the spec. `None`: the spec's value applies.
    pub(crate) max_in_flight: Option<u32>,
}

impl Default for Overlay {
    fn default() -> Self {
        Self { percent: 100, max_in_flight: None }
    }
}

impl Member {
    pub(crate) fn weight(&self) -> u32 {
        let weight = u64::from(self.spec.weight_value()) * u64::from(self.overlay.percent) / 100;
        weight.min(u64::from(MAX_WEIGHT)) as u32
    }

    pub(crate) fn max_in_flight(&self) -> Option<u32> {
        self.overlay.max_in_flight.or(self.spec.max_in_flight_value())
    }
}

/// The membership of a pool: everything that changes with an update but not with availability. All views share it.
pub(crate) struct Members {
    /// The members by slot. `None` for an empty slot.
    pub(crate) slots: Box<[Option<Member>]>,
    /// The handles of all slots for stripe 0, then for stripe 1, and so on. A thread reads one contiguous part.
    pub(crate) handles: Box<[Option<Arc<Handle>>]>,
    pub(crate) index: HashMap<EndpointId, Slot>,
    /// Whether any member has a maximum number of requests in flight. If not, picks skip the check.
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

    /// Returns a copy with these overlays.
    pub(crate) fn overlaid(&self, overlays: impl IntoIterator<Item = (Slot, Overlay)>, revision: Revision) -> Self {
        let mut slots = self.slots.clone();
        for (slot, overlay) in overlays {
            if let Some(Some(member)) = slots.get_mut(slot.index()) {
                member.overlay = overlay;
            }
        }
        Self { limited: is_limited(&slots), slots, handles: self.handles.clone(), index: self.index.clone(), revision }
    }

    /// Returns the member in this slot. `None` for an empty slot.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Member> {
        self.slots.get(slot.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn handle(&self, slot: Slot, stripe: usize) -> Option<&Arc<Handle>> {
        self.handles.get(stripe * self.slots.len() + slot.index())?.as_ref()
    }

    /// Returns the number of leases in flight on the endpoint in this slot, summed over all stripes.
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

    /// Returns the leases in flight by whether their response has begun, summed over all stripes.
    #[inline]
    pub(crate) fn load(&self, slot: Slot) -> Load {
        let stride = self.slots.len();
        let mut at = slot.index();
        let mut sum = Load::default();
        while let Some(handle) = self.handles.get(at) {
            sum = handle.as_ref().map_or(sum, |handle| sum.plus(handle.load()));
            at += stride;
        }
        sum
    }
}

impl Members {
    fn stripes(&self, slot: Slot) -> impl Iterator<Item = &Arc<Handle>> + Clone {
        self.handles.iter().skip(slot.index()).step_by(self.slots.len().max(1)).flatten()
    }

    /// Returns the counts of the requests of an endpoint so far.
    pub(crate) fn requests(&self, slot: Slot) -> RequestCounts {
        let mut all = RequestCounts::default();
        self.stripes(slot).for_each(|handle| all.add(handle.counts()));
        all
    }

    /// Returns how many bytes were sent to an endpoint and received from it so far.
    pub(crate) fn bytes(&self, slot: Slot) -> (u64, u64) {
        self.stripes(slot).map(|handle| handle.traffic.bytes()).fold(
            (0, 0),
            |(sent, received), (more_sent, more_received)| {
                (sent.wrapping_add(more_sent), received.wrapping_add(more_received))
            },
        )
    }

    /// Returns the histograms of an endpoint so far: of the times to the first byte, and of the whole times. `None` if
    /// the pool keeps no histograms.
    pub(crate) fn histograms(&self, slot: Slot) -> Option<(LatencyHistogram, LatencyHistogram)> {
        read_histograms(self.stripes(slot).map(|handle| &*handle.traffic))
    }

    /// Returns readers of the counts of an endpoint that leaves the pool, one for each stripe.
    pub(crate) fn readers(&self, slot: Slot) -> Box<[StripeReader]> {
        self.stripes(slot).map(Handle::reader).collect()
    }
}

/// Returns whether any of these members has a maximum number of requests in flight.
pub(crate) fn is_limited(slots: &[Option<Member>]) -> bool {
    slots.iter().flatten().any(|member| member.max_in_flight().is_some())
}

/// The endpoints of one tier (priority group) of a pool, from which a strategy picks. A view lists all members of the
/// tier, and those members that are eligible (may be picked).
///
/// A pool builds one view and one picker per tier, so a strategy does not have to know about tiers.
/// [`Strategy::build`](crate::Strategy::build) gets the view, and a [`Picker`](crate::Picker) reads it with
/// [`PickCx::view`](crate::PickCx::view). A view never changes, except for the number of requests [in
/// flight](Self::in_flight).
#[derive(Clone)]
pub struct View {
    context: Arc<PoolContext>,
    /// The members of all tiers.
    all: Arc<Members>,
    members: Arc<[Slot]>,
    eligible: Arc<[Slot]>,
    /// The endpoints on probation in all tiers, sorted. A request needs the pass of such an endpoint.
    on_probation: Arc<[Slot]>,
    /// Whether any endpoint can be at its limit or is on probation.
    limited: bool,
    /// The sum of the weights of the eligible endpoints.
    eligible_weight: u64,
    /// The weights by slot that a wrapping strategy has set. `None`: the weights of the members apply.
    weights: Option<Arc<[u32]>>,
    revision: Revision,
    /// The steps from the state of the outermost wrapping strategy to the state of the wrapped strategy, outermost step
    /// first.
    projections: Vec<Projection>,
}

type Projection = fn(EndpointState) -> Option<EndpointState>;

/// Returns the state as an `S`. Removes the additional `Arc` that each [`AnyStrategy`](crate::AnyStrategy) in between
/// adds.
fn downcast<S: Any + Send + Sync>(mut state: EndpointState) -> Option<Arc<S>> {
    loop {
        state = match state.downcast::<S>() {
            Ok(found) => return Some(found),
            Err(other) => Arc::clone(other.downcast_ref::<EndpointState>()?),
        };
    }
}

/// The state of an endpoint for an outer strategy that wraps an inner strategy: one state of the outer strategy, and
/// one state of the inner strategy.
///
/// An outer strategy uses this type as its [`Strategy::State`](crate::Strategy::State), together with [`View::within`].
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
///     forward_hooks!(self.0, state.inner; except admit);
/// }
///
/// let pool = Pool::new(Counted(RoundRobin::new()));
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// assert_eq!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "a:80");
/// // The count in the state of `a:80` is now 1.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Layered<O, I> {
    /// The state that the outer (wrapping) strategy keeps for the endpoint.
    pub own: O,
    /// The state that the inner (wrapped) strategy keeps for the endpoint. It is in an `Arc`, because the pickers of
    /// the inner strategy share it.
    pub inner: Arc<I>,
}

impl<O, I> Layered<O, I> {
    /// Creates the state of an endpoint from two states: `own` of the outer (wrapping) strategy, and `inner` of the
    /// inner (wrapped) strategy.
    pub fn new(own: O, inner: I) -> Self {
        Self { own, inner: Arc::new(inner) }
    }
}

impl View {
    pub(crate) fn new(
        context: Arc<PoolContext>,
        all: Arc<Members>,
        members: Arc<[Slot]>,
        eligible: Arc<[Slot]>,
        on_probation: Arc<[Slot]>,
    ) -> Self {
        let view = Self {
            context,
            limited: all.limited || !on_probation.is_empty(),
            revision: all.revision,
            all,
            members,
            eligible,
            on_probation,
            eligible_weight: 0,
            weights: None,
            projections: Vec::new(),
        };
        view.weighed()
    }

    fn weighed(mut self) -> Self {
        self.eligible_weight = self.eligible.iter().map(|&slot| u64::from(self.weight(slot))).sum();
        self
    }

    /// Returns n, rounded up and at least 1, if the weight of the endpoint in `slot` gives it one of every n picks.
    pub(crate) fn turns_of(&self, slot: Slot) -> u64 {
        self.eligible_weight.div_ceil(u64::from(self.weight(slot)).max(1)).max(1)
    }

    pub(crate) fn shared_members(&self) -> &Arc<[Slot]> {
        &self.members
    }

    /// Returns the tier of the members. `None` if there are no members.
    pub(crate) fn tier(&self) -> Option<Tier> {
        Some(self.all.get(*self.members.first()?)?.spec.tier_value())
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limited
    }

    /// Returns whether the endpoint in `slot` is on probation, so that a request needs its pass.
    pub(crate) fn is_on_probation(&self, slot: Slot) -> bool {
        self.on_probation.binary_search(&slot).is_ok()
    }

    /// Returns a copy of this view for the inner strategy that an outer strategy wraps. In this view, the state of an
    /// endpoint is a [`Layered<O, I>`](Layered): an `O` of the outer strategy and an `I` of the inner strategy. In the
    /// copy, [`state`](Self::state) returns only the `I`.
    pub fn within<O: Send + Sync + 'static, I: Send + Sync + 'static>(&self) -> Self {
        let inner: Projection = |outer| Some(Arc::clone(&downcast::<Layered<O, I>>(outer)?.inner) as _);
        let mut view = self.clone();
        view.projections.push(inner);
        view
    }

    /// Returns a view with only those members for which `keep` returns true. `keep` is called for all members, eligible
    /// or not. Takes O(n) time for n members.
    ///
    /// An outer strategy uses this method to let an inner strategy pick from a part of the endpoints. For each pick, it
    /// passes the returned view to [`PickCx::within`](crate::PickCx::within). If `keep` returns false for at least one
    /// member, the returned view has another [`membership_revision`](Self::membership_revision) than this view.
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

    /// Returns a view in which each member has the weight that `weight` returns. If `weight` returns 0 for an eligible
    /// endpoint, the endpoint gets the weight 1. Takes O(n) time for n members.
    ///
    /// An outer strategy uses this method to let an inner strategy pick by other weights. The returned view has another
    /// [`membership_revision`](Self::membership_revision) than this view. The new revision depends on the new weights.
    pub fn reweighted(&self, weight: impl Fn(Slot) -> u32) -> Self {
        let mut weights = vec![0; self.capacity()];
        for &slot in &*self.members {
            weights[slot.index()] = weight(slot);
        }
        for slot in &*self.eligible {
            weights[slot.index()] = weights[slot.index()].max(1);
        }
        // The digest is computed after weights were raised to 1. This depends on eligibility, and tables omit endpoints
        // of weight 0.
        let digest = self.members.iter().fold(2 << 40, |digest, slot| mix(digest ^ u64::from(weights[slot.index()])));
        Self { weights: Some(weights.into()), revision: self.revision.derived(digest), ..self.clone() }.weighed()
    }

    /// Returns the slots of all members of the tier (priority group), eligible or not, in ascending order.
    pub fn members(&self) -> &[Slot] {
        &self.members
    }

    /// Returns the slots of the members that may be picked, in ascending order.
    ///
    /// These members have a weight above 0 and are up or on probation. In a
    /// [panic](crate::PoolBuilder::panic_threshold), unhealthy members are eligible too.
    pub fn eligible(&self) -> &[Slot] {
        &self.eligible
    }

    /// Returns the length that a table needs if slots are its indexes: one more than the highest slot of the pool.
    pub fn capacity(&self) -> usize {
        self.all.slots.len()
    }

    /// Returns the endpoint in `slot`. `None` for an empty slot.
    pub fn endpoint(&self, slot: Slot) -> Option<&Endpoint> {
        Some(&*self.all.get(slot)?.endpoint)
    }

    /// Returns the weight of the endpoint in `slot`. 0 for an empty slot.
    ///
    /// The weight includes the effects of [`Pool::set_weight_percent`](crate::Pool::set_weight_percent) and
    /// [`reweighted`](Self::reweighted).
    pub fn weight(&self, slot: Slot) -> u32 {
        match &self.weights {
            None => self.all.get(slot).map_or(0, Member::weight),
            Some(weights) => weights.get(slot.index()).copied().unwrap_or(0),
        }
    }

    /// Returns the zone of the endpoint in `slot`. `None` if the endpoint has no zone, or for an empty slot.
    pub fn zone(&self, slot: Slot) -> Option<&str> {
        self.all.get(slot)?.spec.zone_name().map(|zone| &**zone)
    }

    /// Returns the number of requests in flight at the endpoint in `slot`: its leases that have not ended. 0 for an
    /// empty slot.
    ///
    /// A lease counts from the pick until it is dropped. A pick therefore also counts the leases of concurrent picks. A
    /// call reads one atomic counter for each [stripe](crate::PoolBuilder::stripes) (group of threads).
    #[inline]
    pub fn in_flight(&self, slot: Slot) -> u32 {
        self.all.in_flight(slot)
    }

    /// Returns the number of requests to the endpoint in `slot` that wait for their response: requests
    /// [in flight](Self::in_flight) without a first byte and without a verdict. Returns 0 for an empty slot.
    ///
    /// A request that has got the first byte of its response does not wait, even if the response is a long stream that
    /// is still in flight. The pool counts such responses only if the strategy asks for it with
    /// [`Needs::waiting`](crate::Needs::waiting). For other strategies, this method returns the number of requests in
    /// flight. It costs at most two atomic loads for each [stripe](crate::PoolBuilder::stripes) (group of threads).
    #[inline]
    pub fn waiting(&self, slot: Slot) -> u32 {
        self.load(slot).waiting
    }

    #[inline]
    pub(crate) fn load(&self, slot: Slot) -> Load {
        self.all.load(slot)
    }

    /// Returns the strategy's state of the endpoint in `slot`: the value that
    /// [`Strategy::state`](crate::Strategy::state) returned when the endpoint was added. Returns `None` for an empty
    /// slot, or if the type of the state is not `S`.
    ///
    /// Call this method when building a picker, and store the `Arc` in the picker. The endpoint has the same state
    /// until it is removed.
    pub fn state<S: Any + Send + Sync>(&self, slot: Slot) -> Option<Arc<S>> {
        let outermost = Arc::clone(&self.all.get(slot)?.endpoint.state);
        downcast(self.projections.iter().try_fold(outermost, |state, inner| inner(state))?)
    }

    /// Returns the revision of the pool at which the membership last changed. A change of an id, an address, a weight,
    /// a tier, a zone or a maximum number of requests in flight is a change of membership. A change of availability is
    /// not.
    ///
    /// [`Strategy::build`](crate::Strategy::build) can compare this revision with the revision of the previous picker's
    /// view. If both are equal, the membership is the same, so the new picker can reuse tables that the previous picker
    /// computed from the membership. Compare revisions only for equality: the revisions of [narrowed](Self::narrowed)
    /// and [reweighted](Self::reweighted) views are not in order.
    pub fn membership_revision(&self) -> Revision {
        self.revision
    }

    /// Returns the current time of the pool's clock. Use it in [`Strategy::build`](crate::Strategy::build).
    pub fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Returns 64 random bits from the pool's entropy. Use them for random choices in
    /// [`Strategy::build`](crate::Strategy::build).
    pub fn random(&self) -> u64 {
        self.context.random()
    }
}

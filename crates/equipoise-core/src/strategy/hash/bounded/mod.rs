mod counts;

use std::{
    cell::Cell,
    cmp::Ordering::{Equal, Greater, Less},
    sync::Arc,
};

use self::counts::Bound;
pub use self::counts::LoadCount;
use super::InvalidHashing;
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot, Tier},
    forward_hooks,
    ids::Revision,
    request::PickRequest,
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    sync::spin,
    view::{Layered, View},
};

/// A combinator that limits the requests in flight at each endpoint to a multiple of the mean. This maximum is the
/// *bound* of the endpoint. If the endpoint of a key is at its bound, the request goes to another endpoint.
///
/// Wrap a hashing strategy in `BoundedLoad` if some keys are much more frequent than others. The bound of an endpoint
/// is ⌈c · m · w / W⌉ requests in flight. In this formula,
///
/// - c is the [factor](Self::factor),
/// - m is the number of requests in flight, including the new one, at all eligible endpoints of the tier (priority
///   group),
/// - w is the weight of the endpoint, and
/// - W is the sum of the weights of the eligible endpoints.
///
/// For the wrapped strategy, an endpoint at its bound is unusable. Each key has a fixed order of the endpoints. A
/// request goes to the first usable endpoint in the order of its key. With a smaller factor, the load is more even, but
/// fewer requests go to the first endpoint of their key. For example, assume 1000 requests in flight, 50 endpoints and
/// Zipf-distributed keys. With a factor of 1.25, 31 % of the requests do not go to the first endpoint of their key.
/// With a factor of 2, only 13 % do.
///
/// - **The bound is exact**, even with many threads: a request is counted by compare-and-swap before the lease is given
///   out. When requests at other endpoints end, the mean load falls, and an endpoint may then be above its bound. It
///   gets no request until enough of its own requests have ended.
/// - **All requests of the pool count**, including those without a key. Requests of sessions that belong to an endpoint
///   ([`PickRequest::bound`]) and requests that prefer an endpoint ([`PickRequest::prefer`]) count too, and the bound
///   applies to them.
/// - **A request may find no endpoint** if all endpoints below their bound are excluded or have reached their own
///   [`max_in_flight`](crate::EndpointSpec::max_in_flight). This maximum should therefore not be below the bound of the
///   endpoint. For example, three endpoints have the weights 100, 1 and 1, and the first one has a `max_in_flight` of
///   5. With five requests at the first endpoint and one at each other endpoint, the other endpoints are at their
///   bounds and the first one is full. The next request finds no endpoint. Without exclusions and without
///   `max_in_flight`, one endpoint is always below its bound, because the sum of the bounds is above the number of
///   requests in flight.
/// - **If another combinator wraps `BoundedLoad`**, m and W include only the eligible endpoints that this other
///   combinator lets `BoundedLoad` pick.
///
/// Weakness: all threads share one counter per tier. A request changes the counter twice, and a pick reads it once for
/// each endpoint that it considers. There is no lock. On one thread, the bound adds about 75 ns to a request. Building
/// a picker takes O(n) time for n endpoints. Source: Mirrokni, Thorup and Zadimoghaddam, *Consistent Hashing with
/// Bounded Loads*, SODA 2018.
///
/// ```
/// use equipoise_core::{BoundedLoad, EndpointSpec, PickRequest, Pool, Ring};
///
/// let pool = Pool::new(BoundedLoad::new(Ring::new()).factor(1.5)?);
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let hot = PickRequest::new().key(b"the one that everybody wants");
/// let leases: Vec<_> = (0..8).map(|_| pool.pick(&hot)).collect::<Result<_, _>>()?;
/// assert!(pool.endpoints().iter().all(|endpoint| endpoint.in_flight <= 6)); // 1.5 · 8 / 2
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BoundedLoad<S> {
    inner: S,
    bound: Arc<Bound>,
}

/// The state that [`BoundedLoad`] keeps about an endpoint, together with the wrapped strategy's state of the same
/// endpoint. `I` is the type of the wrapped strategy's state.
pub type BoundedLoadState<I> = Layered<LoadCount, I>;

impl<S: Strategy> BoundedLoad<S> {
    /// Creates a combinator that limits the load of the endpoints from which `inner` picks. The [factor](Self::factor)
    /// is 1.25.
    pub fn new(inner: S) -> Self {
        Self { inner, bound: Arc::new(Bound::new(1.25)) }
    }

    /// Sets the factor: the maximum load of an endpoint, as a multiple of the mean load. The load of an endpoint is its
    /// number of requests in flight, relative to its weight. For example, if two endpoints of equal weight have 8
    /// requests in flight together, the mean is 4. With a factor of 1.5, each endpoint then has at most 6 requests in
    /// flight. Range: finite numbers from 1.0. Usual values are 1.2 to 2. Default: 1.25.
    ///
    /// # Errors
    ///
    /// [`InvalidHashing::Factor`] if `factor` is below 1, infinite or NaN.
    pub fn factor(mut self, factor: f64) -> Result<Self, InvalidHashing> {
        if !(1.0..f64::INFINITY).contains(&factor) {
            return Err(InvalidHashing::Factor { factor });
        }
        self.bound = Arc::new(Bound::new(factor));
        Ok(self)
    }
}

impl<S: Strategy> Strategy for BoundedLoad<S> {
    type State = BoundedLoadState<S::State>;
    type Picker = BoundedLoadPicker<S>;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        Layered::new(LoadCount::default(), self.inner.state(spec))
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let within = view.within::<LoadCount, S::State>();
        let inner = self.inner.build(&within, last.map(|last| &last.inner))?;
        let tier = view.tier().unwrap_or_default();
        let mut eligible = vec![false; view.capacity()];
        let mut weight = 0;
        for &slot in view.eligible() {
            eligible[slot.index()] = true;
            weight += u64::from(view.weight(slot));
        }
        let same = last.filter(|last| last.membership == view.membership_revision());
        let states: States<S> = match same {
            Some(same) => Arc::clone(&same.states),
            None => by_slot(view),
        };
        let (build, previous) = self.bound.begin_build(tier, weight);
        // If a build failed since the last picker was built, it may have moved counts. Then all endpoints are set
        // again.
        let known = same.filter(|same| same.build == previous);
        for &slot in view.members() {
            let at = slot.index();
            if known.is_none_or(|known| known.eligible[at] != eligible[at])
                && let Some(state) = &states[at]
            {
                state.own.set_weight(view.weight(slot));
                self.bound.move_to(&state.own, eligible[at].then_some(tier));
            }
        }
        for gone in last.filter(|_| same.is_none()).iter().flat_map(|last| last.gone(&states)) {
            self.bound.remove_from(&gone.own, tier);
        }
        Ok(BoundedLoadPicker {
            inner,
            bound: Arc::clone(&self.bound),
            states,
            eligible: eligible.into(),
            membership: view.membership_revision(),
            tier,
            build,
        })
    }

    fn needs(&self) -> Needs {
        self.inner.needs().shared_capacity().caps_failing_by_key()
    }

    fn admit(&self, state: &Self::State, endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
        if !self.bound.try_enter(&state.own) {
            return false;
        }
        let taken = self.inner.admit(&state.inner, endpoint, request);
        if !taken {
            self.bound.leave(&state.own);
        }
        taken
    }

    fn on_release(&self, state: &Self::State, endpoint: &Endpoint) {
        self.bound.leave(&state.own);
        self.inner.on_release(&state.inner, endpoint);
    }

    forward_hooks!(self.inner, state.inner; except admit, on_release);
}

/// The picker of [`BoundedLoad`], which picks the endpoint of each request.
pub struct BoundedLoadPicker<S: Strategy> {
    inner: S::Picker,
    bound: Arc<Bound>,
    /// By slot. Successive pickers share it while the membership is the same.
    states: States<S>,
    /// By slot: whether the endpoint is eligible.
    eligible: Box<[bool]>,
    membership: Revision,
    tier: Tier,
    /// The number of the build of its tier that has created it.
    build: u64,
}

/// How often a pick that finds no endpoint tries again while the counts do not change. This number applies if the pick
/// may be right that no endpoint has room.
const FEW_TRIES: u32 = 32;

/// How often such a pick tries again while another pick has counted its request at the endpoint but not yet in the
/// total. That other pick will end, but its thread may have to wait for a processor.
const MANY_TRIES: u32 = 32_000;

type States<S> = Arc<[Option<Arc<BoundedLoadState<<S as Strategy>::State>>>]>;

/// Returns the states of the members of this view, by slot.
fn by_slot<I: Send + Sync + 'static>(view: &View) -> Arc<[Option<Arc<BoundedLoadState<I>>>]> {
    let mut states: Vec<_> = (0..view.capacity()).map(|_| None).collect();
    for &slot in view.members() {
        states[slot.index()] = view.state(slot);
    }
    states.into()
}

impl<S: Strategy> BoundedLoadPicker<S> {
    /// Returns the states of members that are no longer in `present`.
    fn gone<'a>(&'a self, present: &'a States<S>) -> impl Iterator<Item = &'a Arc<BoundedLoadState<S::State>>> {
        let stays = |at: usize, state| matches!(present.get(at), Some(Some(now)) if Arc::ptr_eq(now, state));
        self.states.iter().enumerate().filter_map(move |(at, state)| state.as_ref().filter(|state| !stays(at, state)))
    }
}

impl<S: Strategy> Picker for BoundedLoadPicker<S> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let state = |slot: Slot| self.states.get(slot.index())?.as_ref();
        let has_room = |slot: Slot| state(slot).is_none_or(|state| self.bound.admits(&state.own));
        // While another pick has counted its request at the endpoint and not yet in the total, the bound is too low. So
        // a pick that finds no endpoint checks the counts, and tries again if they say so.
        let (mut tries, mut last) = (0, None);
        loop {
            let before = self.bound.total(self.tier);
            let refused = Cell::new(false);
            let allows = |slot: Slot| {
                let has_room = has_room(slot);
                refused.set(refused.get() || !has_room);
                has_room
            };
            let picked = cx.filtered(&allows, |cx| self.inner.pick(cx));
            if picked.is_some() || cx.is_explained() || !refused.get() {
                return picked;
            }
            let mut usable = |at: usize| self.eligible[at] && cx.usable(Slot(at as u32));
            let states = self.states.iter().enumerate();
            let counts = states.filter_map(|(at, state)| Some((&state.as_ref()?.own, at)));
            let reading = self.bound.read(self.tier, before, counts.map(|(count, at)| (count, usable(at))));
            let changes = last.replace(reading).is_some_and(|last| last != reading) || !reading.is_stable;
            tries = if changes { 0 } else { tries + 1 };
            let max_tries = match reading.sum.cmp(&reading.total) {
                // There is room: since the pick, or at an endpoint that the wrapped strategy has not considered.
                _ if reading.room => FEW_TRIES,
                // All are full.
                Equal => 1,
                // Another pick has counted its request at the endpoint only. Its thread may not be running now.
                Greater => MANY_TRIES,
                // The view is a part of the tier, or endpoints join or leave.
                Less => FEW_TRIES,
            };
            if tries >= max_tries {
                return None;
            }
            spin(tries);
        }
    }
}

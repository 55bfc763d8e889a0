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

/// Bounds the load of each endpoint to a factor of the mean: keys whose endpoint is full go on to another.
///
/// Choose it around a hashing strategy where some keys are much hotter than others. No endpoint is given a request that
/// would put it above ⌈c · m · w / W⌉ requests in flight, where m counts what the eligible endpoints of its tier would
/// then have in all, w is its weight, W that of them all, and c the [factor](Self::factor). The wrapped strategy sees a
/// full endpoint as one that cannot be used, so a key goes on to the same next endpoint each time. The smaller the
/// factor, the evener the load, and the more requests go elsewhere than to their key's first choice: at 1000 in flight
/// over 50 endpoints with keys of Zipf's distribution, 31 % at 1.25, 13 % at 2.
///
/// - **The bound is exact**, also with many threads: an endpoint's place is taken by compare-and-swap before its lease
///   is given out. When others' requests end, the mean falls, and an endpoint may be above the bound until some of its
///   own do; it gets nothing new until then.
/// - **All of the pool's requests count**, also those that [prefer](crate::PickRequest::prefer) their endpoint (they are
///   bounded like others) and those without a key.
/// - **A request may find nobody**: when all endpoints that are not full are excluded from it or at a limit of theirs.
///   So set no limit below an endpoint's bound: of weights 100, 1, 1 with a limit of 5 on the first, the others are full
///   at one request each. Without those there is always one with room, because the bounds add up to more than what is
///   in flight.
/// - **Within combinators** the eligible are those of the view that it is given.
///
/// Its weakness is its price: one counter for the whole tier, which all threads write twice a request and read once for
/// each endpoint that is looked at. There is no lock. On one thread that costs some 75 ns a request. Build O(n).
/// Source: Mirrokni, Thorup and Zadimoghaddam, *Consistent Hashing with Bounded Loads*, SODA 2018.
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

/// What [`BoundedLoad`] remembers of an endpoint, beside what the wrapped strategy does.
pub type BoundedLoadState<I> = Layered<LoadCount, I>;

impl<S: Strategy> BoundedLoad<S> {
    /// Bounds what `inner` picks to 1.25 times the mean.
    pub fn new(inner: S) -> Self {
        Self { inner, bound: Arc::new(Bound::new(1.25)) }
    }

    /// How far above the mean an endpoint's load may be: at least 1, usually from 1.2 to 2.
    ///
    /// # Errors
    ///
    /// When it is below 1 or not finite.
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
        let (build, previous) = self.bound.opens(tier, weight);
        // Another build since the last picker's, which was refused, may have moved counts that this one cannot know of.
        let known = same.filter(|same| same.build == previous);
        for &slot in view.members() {
            let at = slot.index();
            if known.is_none_or(|known| known.eligible[at] != eligible[at])
                && let Some(state) = &states[at]
            {
                state.own.weigh(view.weight(slot));
                self.bound.moves(&state.own, eligible[at].then_some(tier));
            }
        }
        for gone in last.filter(|_| same.is_none()).iter().flat_map(|last| last.gone(&states)) {
            self.bound.drops(&gone.own, tier);
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
        self.inner.needs().shared_room().caps_failing_by_key()
    }

    fn admit(&self, state: &Self::State, endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
        if !self.bound.enters(&state.own) {
            return false;
        }
        let taken = self.inner.admit(&state.inner, endpoint, request);
        if !taken {
            self.bound.leaves(&state.own);
        }
        taken
    }

    fn on_release(&self, state: &Self::State, endpoint: &Endpoint) {
        self.bound.leaves(&state.own);
        self.inner.on_release(&state.inner, endpoint);
    }

    forward_hooks!(self.inner, state.inner; except admit, on_release);
}

/// The picker of [`BoundedLoad`].
pub struct BoundedLoadPicker<S: Strategy> {
    inner: S::Picker,
    bound: Arc<Bound>,
    /// By slot; shared from one picker to the next while the membership stands.
    states: States<S>,
    /// By slot.
    eligible: Box<[bool]>,
    membership: Revision,
    tier: Tier,
    /// Which of its tier's builds made it.
    build: u64,
}

/// How often a pick that finds no endpoint looks again although nothing moves, if that may be right.
const FEW_LOOKS: u32 = 32;

/// The same while another pick is under way. It ends, but its thread may have to wait for a processor.
const MOST_LOOKS: u32 = 32_000;

type States<S> = Arc<[Option<Arc<BoundedLoadState<<S as Strategy>::State>>>]>;

/// The members' alone: who is in another tier counts there.
fn by_slot<I: Send + Sync + 'static>(view: &View) -> Arc<[Option<Arc<BoundedLoadState<I>>>]> {
    let mut states: Vec<_> = (0..view.capacity()).map(|_| None).collect();
    for &slot in view.members() {
        states[slot.index()] = view.state(slot);
    }
    states.into()
}

impl<S: Strategy> BoundedLoadPicker<S> {
    /// Whoever is not among `present` any more.
    fn gone<'a>(&'a self, present: &'a States<S>) -> impl Iterator<Item = &'a Arc<BoundedLoadState<S::State>>> {
        let stays = |at: usize, state| matches!(present.get(at), Some(Some(now)) if Arc::ptr_eq(now, state));
        self.states.iter().enumerate().filter_map(move |(at, state)| state.as_ref().filter(|state| !stays(at, state)))
    }
}

impl<S: Strategy> Picker for BoundedLoadPicker<S> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let state = |slot: Slot| self.states.get(slot.index())?.as_ref();
        let has_room = |slot: Slot| state(slot).is_none_or(|state| self.bound.admits(&state.own));
        // Another pick that has counted its request at the endpoint but not yet in the total hides room for a moment. So a
        // pick in vain looks whether it is right.
        let (mut looks, mut last) = (0, None);
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
            let look = self.bound.look(self.tier, before, counts.map(|(count, at)| (count, usable(at))));
            let changes = last.replace(look).is_some_and(|last| last != look) || !look.is_stable;
            looks = if changes { 0 } else { looks + 1 };
            let most = match look.sum.cmp(&look.total) {
                // Since the pick; or where the wrapped strategy does not look.
                _ if look.room => FEW_LOOKS,
                // All are full.
                Equal => 1,
                // A pick is between its two counts, perhaps on a thread that does not run now.
                Greater => MOST_LOOKS,
                // A part of a view, or endpoints come and go.
                Less => FEW_LOOKS,
            };
            if looks >= most {
                return None;
            }
            spin(looks);
        }
    }
}

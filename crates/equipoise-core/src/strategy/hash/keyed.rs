use std::sync::Arc;

use super::{HashMembers, Table};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    forward_hooks,
    ids::Revision,
    request::PickRequest,
    strategy::{BuildError, Needs, PickCx, Picker, Random, Strategy},
    sync::{AtomicU32, Ordering},
    view::{Layered, View},
};

/// How many candidates a pick tries per member before it falls back to rendezvous hashing over all members.
///
/// It must not depend on which endpoints are eligible, or a change of availability would move keys of other endpoints.
/// With 3, the average number of steps is within one percent of members / eligible members.
const MAX_CANDIDATES_PER_MEMBER: usize = 3;

/// A hashing algorithm: builds the table that maps keys to members. It is sealed; use it as a bound.
pub trait KeyPlacement: sealed::Sealed + Send + Sync + 'static {
    /// The table that the algorithm builds.
    type Table: Table;

    /// Builds the table. It is called only when the membership has changed, and may be slow.
    ///
    /// # Errors
    ///
    /// When no table of these settings can hold the members.
    fn build_table(&self, members: &HashMembers) -> Result<Self::Table, BuildError>;
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// A hashing strategy: places requests by their [key](crate::PickRequest::key). Use it through its aliases
/// [`Maglev`](super::Maglev), [`Ring`](super::Ring), [`Rendezvous`](super::Rendezvous) and [`Jump`](super::Jump). This
/// page describes what all four have in common.
///
/// - **The endpoint of a key depends on the ids and weights of the members only**, not on their availability. An
///   endpoint that goes down and comes back moves its own keys only, and the tables are kept.
/// - **If the endpoint of a key cannot be used** (down, excluded, at its limit, filtered out by a combinator), the key
///   goes to another endpoint that depends on the key. So the keys of one endpoint spread over all others. If k of n
///   endpoints are usable, this takes n / k steps on average. After three steps per member it falls back to rendezvous
///   hashing over all members.
/// - **A request without a key** goes where the [fallback](Self::fallback) strategy sends it. The fallback counts the
///   leases of requests with a key too, but cannot refuse them.
/// - **Two balancers agree** if their members have the same ids and weights and their strategies have the same
///   settings.
///
/// Keys and ids are hashed with XXH3 and the [seed](Self::seed). The seed is not a secret: a client that chooses its
/// keys can choose its endpoint. Put [`BoundedLoad`](super::BoundedLoad) around the strategy if that matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keyed<P, F = Random> {
    pub(super) placement: P,
    fallback: F,
    seed: u64,
}

impl<P: KeyPlacement + Default> Keyed<P> {
    /// Creates the strategy with seed 0, the defaults of the algorithm, and [`Random`] for requests without a key.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P: KeyPlacement, F> Keyed<P, F> {
    /// Sets the strategy for requests without a key. The default is [`Random`]. Any strategy can be used, also one with
    /// state.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Maglev, PeakEwma, PickRequest, Pool};
    ///
    /// let pool = Pool::new(Maglev::new().fallback(PeakEwma::new()));
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let lease = pool.pick(&PickRequest::new())?; // by latency
    /// # drop(lease);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fallback<G: Strategy>(self, fallback: G) -> Keyed<P, G> {
        Keyed { placement: self.placement, fallback, seed: self.seed }
    }

    /// Sets the seed of the hashes. The default is 0. Balancers that must agree on the endpoint of a key need the same
    /// seed.
    ///
    /// Balancers in a row need different seeds: with the same one, each balancer of the second row sees only keys that
    /// the first row has hashed to one place, and uses few of its endpoints.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// The state that [`Keyed`] keeps of an endpoint, together with the state of its fallback.
pub type KeyedState<I> = Layered<Uncounted, I>;

/// The number of leases for requests with a key that the fallback has refused, and so does not count.
#[derive(Debug, Default)]
pub struct Uncounted(AtomicU32);

impl<P: KeyPlacement, F: Strategy> Strategy for Keyed<P, F> {
    type State = KeyedState<F::State>;
    type Picker = KeyedPicker<P::Table, F::Picker>;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        Layered::new(Uncounted::default(), self.fallback.state(spec))
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let layout = match last {
            Some(last) if last.layout.membership == view.membership_revision() => Arc::clone(&last.layout),
            _ => Arc::new(Layout::new(&self.placement, view, self.seed)?),
        };
        Ok(KeyedPicker {
            eligible: Eligible::new(view, layout.members.len()),
            layout,
            fallback: self.fallback.build(&view.within::<Uncounted, F::State>(), last.map(|last| &last.fallback))?,
            seed: self.seed,
        })
    }

    fn needs(&self) -> Needs {
        self.fallback.needs().places_any_key()
    }

    fn admit(&self, state: &Self::State, endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
        let counted = self.fallback.admit(&state.inner, endpoint, request);
        if !counted && request.has_key() {
            state.own.0.fetch_add(1, Ordering::Relaxed);
        }
        counted || request.has_key()
    }

    fn on_release(&self, state: &Self::State, endpoint: &Endpoint) {
        // Leases are interchangeable: the fallback must only count as many as it has admitted.
        let uncounted =
            state.own.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |uncounted| uncounted.checked_sub(1));
        if uncounted.is_err() {
            self.fallback.on_release(&state.inner, endpoint);
        }
    }

    forward_hooks!(self.fallback, state.inner; except admit, on_release);
}

/// The picker of [`Keyed`].
pub struct KeyedPicker<T, F> {
    /// Shared from one picker to the next while the membership stands.
    layout: Arc<Layout<T>>,
    eligible: Eligible,
    fallback: F,
    seed: u64,
}

/// What depends on the membership only.
struct Layout<T> {
    table: T,
    members: HashMembers,
    membership: Revision,
}

impl<T: Table> Layout<T> {
    fn new(placement: &impl KeyPlacement<Table = T>, view: &View, seed: u64) -> Result<Self, BuildError> {
        let members = HashMembers::new::<T>(view, seed);
        let table = placement.build_table(&members)?;
        Ok(Self { table, members, membership: view.membership_revision() })
    }

    #[inline]
    fn find(&self, hash: u64, cx: &mut PickCx<'_>, eligible: impl Fn(Slot) -> bool) -> Option<Slot> {
        for (step, slot) in self.table.candidates(hash).take(MAX_CANDIDATES_PER_MEMBER * self.members.len()).enumerate()
        {
            if cx.is_checked() {
                cx.score(slot, step as f64);
            }
            if eligible(slot) && cx.usable(slot) {
                return Some(slot);
            }
        }
        self.search(hash, cx, eligible)
    }

    /// Not inlined into the pick, because only rendezvous hashing needs it often.
    #[inline(never)]
    fn search(&self, hash: u64, cx: &mut PickCx<'_>, eligible: impl Fn(Slot) -> bool) -> Option<Slot> {
        self.members.rendezvous(hash, |slot| eligible(slot) && cx.usable(slot))
    }
}

impl<T: Table, F: Picker> Picker for KeyedPicker<T, F> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let Some(key) = cx.key() else { return self.fallback.pick(cx) };
        let hash = T::hash(key, self.seed);
        match &self.eligible {
            Eligible::All => self.layout.find(hash, cx, |_| true),
            Eligible::Some(eligible) => self.layout.find(hash, cx, |slot| eligible.get(slot.index()) == Some(&true)),
            Eligible::None => None,
        }
    }
}

/// The members that are eligible.
enum Eligible {
    All,
    /// By slot.
    Some(Box<[bool]>),
    None,
}

impl Eligible {
    /// `members` is the number of members that keys can be placed on.
    fn new(view: &View, members: usize) -> Self {
        match view.eligible().len() {
            0 => Self::None,
            all if all == members => Self::All,
            _ => {
                let mut eligible = vec![false; view.capacity()];
                for slot in view.eligible() {
                    eligible[slot.index()] = true;
                }
                Self::Some(eligible.into())
            }
        }
    }
}

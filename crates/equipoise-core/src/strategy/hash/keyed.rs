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

/// Places requests by their [key](crate::PickRequest::key): what [`Maglev`](super::Maglev), [`Ring`](super::Ring),
/// [`Rendezvous`](super::Rendezvous) and [`Jump`](super::Jump) have in common. Those are the names to use.
///
/// - **Where a key belongs depends on the members alone**, by their ids and weights, not on who is eligible. So an
///   endpoint that goes down and comes back moves its own keys and nobody else's, and tables are kept meanwhile.
/// - **An endpoint that cannot take a request** (down, excluded, full, passed over by a combinator) hands each of its
///   keys to another one that depends on the key, so that they spread over all. With k of n endpoints left this takes
///   n / k steps on average. Whoever cannot be found so is found among all members, by weighted rendezvous.
/// - **A request without a key** goes where the [fallback](Self::fallback) says. The fallback is told of all leases, to
///   see the load as it is, but refuses only requests without a key: those with one it has not placed.
/// - **Two balancers agree** if their members have the same ids and weights and their strategies the same settings.
///
/// Keys and ids are hashed with XXH3 and the [seed](Self::seed). It is no secret: whoever chooses keys can choose where
/// they go; put [`BoundedLoad`](super::BoundedLoad) around it where that matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keyed<P, F = Random> {
    pub(super) placement: P,
    fallback: F,
    seed: u64,
}

impl<P: KeyPlacement + Default> Keyed<P> {
    /// With the defaults: seed 0, and [`Random`] for requests without a key.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P: KeyPlacement, F> Keyed<P, F> {
    /// What chooses for requests without a key; [`Random`] by default. It may be any strategy, with a memory of its own.
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

    /// Another seed is another placement; 0 by default. Balancers that are to agree have the same. Those that stand one
    /// behind another should not: else the second would see only keys that the first has found alike.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// What [`Keyed`] remembers of an endpoint, beside what the fallback does.
pub type KeyedState<I> = Layered<Uncounted, I>;

/// How many leases that went by key the fallback would have refused, and so does not count.
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
        // Which of them ends is all the same: the fallback counts as many of those that are left as it would let in.
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

/// What depends on the members alone.
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

    /// Kept apart from what a pick of a table does: only rendezvous comes here often.
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

/// Which members are eligible.
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

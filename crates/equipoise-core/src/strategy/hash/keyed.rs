use std::sync::Arc;

use super::{HashMembers, Placement, Table, placement::PATIENCE};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    forward_hooks,
    ids::Revision,
    request::PickRequest,
    strategy::{BuildError, Needs, PickCx, Picker, Random, Strategy},
    sync::{AtomicU32, Ordering},
    view::{Layered, View},
};

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

impl<P: Placement + Default> Keyed<P> {
    /// With the defaults: seed 0, and [`Random`] for requests without a key.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P: Placement, F> Keyed<P, F> {
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

impl<P: Placement, F: Strategy> Strategy for Keyed<P, F> {
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
            open: Open::new(view, layout.roster.len()),
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
    open: Open,
    fallback: F,
    seed: u64,
}

/// What depends on the members alone.
struct Layout<T> {
    table: T,
    roster: HashMembers,
    membership: Revision,
}

impl<T: Table> Layout<T> {
    fn new(placement: &impl Placement<Table = T>, view: &View, seed: u64) -> Result<Self, BuildError> {
        let roster = HashMembers::new::<T>(view, seed);
        let table = placement.lay(&roster)?;
        Ok(Self { table, roster, membership: view.membership_revision() })
    }

    #[inline]
    fn find(&self, hash: u64, cx: &mut PickCx<'_>, open: impl Fn(Slot) -> bool) -> Option<Slot> {
        for (step, slot) in self.table.candidates(hash).take(PATIENCE * self.roster.len()).enumerate() {
            if cx.is_checked() {
                cx.score(slot, step as f64);
            }
            if open(slot) && cx.usable(slot) {
                return Some(slot);
            }
        }
        self.search(hash, cx, open)
    }

    /// Kept apart from what a pick of a table does: only rendezvous comes here often.
    #[inline(never)]
    fn search(&self, hash: u64, cx: &mut PickCx<'_>, open: impl Fn(Slot) -> bool) -> Option<Slot> {
        self.roster.dearest(hash, |slot| open(slot) && cx.usable(slot))
    }
}

impl<T: Table, F: Picker> Picker for KeyedPicker<T, F> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let Some(key) = cx.key() else { return self.fallback.pick(cx) };
        let hash = T::hash(key, self.seed);
        match &self.open {
            Open::All => self.layout.find(hash, cx, |_| true),
            Open::Some(open) => self.layout.find(hash, cx, |slot| open.get(slot.index()) == Some(&true)),
            Open::None => None,
        }
    }
}

/// Which members are eligible.
enum Open {
    All,
    /// By slot.
    Some(Box<[bool]>),
    None,
}

impl Open {
    /// `most` is the number of members that could be.
    fn new(view: &View, most: usize) -> Self {
        match view.eligible().len() {
            0 => Self::None,
            eligible if eligible == most => Self::All,
            _ => {
                let mut open = vec![false; view.capacity()];
                for slot in view.eligible() {
                    open[slot.index()] = true;
                }
                Self::Some(open.into())
            }
        }
    }
}

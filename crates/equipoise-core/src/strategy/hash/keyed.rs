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

/// The number of candidates that a pick tries per member before it uses rendezvous hashing over all members.
///
/// It must not depend on which endpoints are eligible. Otherwise a change of availability would move keys of other
/// endpoints. With 3, the average number of steps is within one percent of members / eligible members.
const MAX_CANDIDATES_PER_MEMBER: usize = 3;

/// A hashing algorithm of [`Keyed`]: it builds the table that maps keys to endpoints. Only this crate can implement
/// this trait. Other crates can use it as a trait bound.
pub trait KeyPlacement: sealed::Sealed + Send + Sync + 'static {
    /// The type of the table that maps keys to endpoints.
    type Table: Table;

    /// Builds the table that maps keys to endpoints. Called only when the membership has changed. This method may be
    /// slow.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a table with these settings is too small for all members.
    fn build_table(&self, members: &HashMembers) -> Result<Self::Table, BuildError>;
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// A hashing strategy: the [key](crate::PickRequest::key) of a request decides its endpoint. Use the type through its
/// four aliases [`Maglev`](super::Maglev), [`Ring`](super::Ring), [`Rendezvous`](super::Rendezvous) and
/// [`Jump`](super::Jump). This page describes what the four have in common.
///
/// - **The endpoint of a key depends only on the ids and weights of the members** (all endpoints in the pool's tier,
///   available or not). It does not depend on the availability of the members. If an endpoint becomes unavailable, only
///   its own keys move. They return when the endpoint recovers. The table of the algorithm is not built again.
/// - **If the endpoint of a key cannot be used**, the key goes to another endpoint. Which one depends on the key, so
///   the keys of one endpoint are spread over all others. An endpoint cannot be used if it is unavailable, if the
///   request excludes it, if it has its maximum number of requests in flight, or if a combinator filters it out. If k
///   of n endpoints are usable, a pick tries n / k endpoints on average. After 3 · n tries, the pick uses rendezvous
///   hashing over all members.
/// - **The endpoint of a request without a key** is picked by the [fallback](Self::fallback) strategy. If the fallback
///   strategy counts leases, it also counts the leases of requests with a key, but it cannot refuse requests with a
///   key.
/// - **Two balancers send a key to the same endpoint** if their members have the same ids and weights and their
///   strategies have the same settings.
///
/// Keys and ids are hashed with XXH3 and the [seed](Self::seed). The hash does not protect against attacks: a client
/// that chooses its keys can choose its endpoint. If clients could overload an endpoint in this way, wrap the strategy
/// in [`BoundedLoad`](super::BoundedLoad).
#[derive(Clone, Copy, Debug, Default)]
pub struct Keyed<P, F = Random> {
    pub(super) placement: P,
    fallback: F,
    seed: u64,
}

impl<P: KeyPlacement + Default> Keyed<P> {
    /// Creates the strategy with the default settings of its algorithm. The [seed](Self::seed) is 0. The
    /// [fallback](Self::fallback) for requests without a key is [`Random`].
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P: KeyPlacement, F> Keyed<P, F> {
    /// Sets the fallback: the strategy that picks for requests without a key. Default: [`Random`]. Every strategy can
    /// be the fallback, including those that keep data about endpoints.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Maglev, LogEwma, PickRequest, Pool};
    ///
    /// let pool = Pool::new(Maglev::new().fallback(LogEwma::new()));
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let lease = pool.pick(&PickRequest::new())?; // no key, so `LogEwma` picks
    /// # drop(lease);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn fallback<G: Strategy>(self, fallback: G) -> Keyed<P, G> {
        Keyed { placement: self.placement, fallback, seed: self.seed }
    }

    /// Sets the seed with which keys and endpoint ids are hashed. Default: 0. Balancers that must send a key to the
    /// same endpoint need the same seed.
    ///
    /// If requests pass through two layers of balancers, the layers need different seeds. Otherwise a balancer of the
    /// second layer gets only keys with similar hashes, and sends all of them to a few of its endpoints.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// The state that [`Keyed`] keeps about an endpoint, together with the fallback strategy's state of the same endpoint.
/// `I` is the type of the fallback strategy's state.
pub type KeyedState<I> = Layered<Uncounted, I>;

/// The number of leases on one endpoint that are missing in the counts of the fallback strategy. The fallback strategy
/// has refused the requests of these leases. The requests got their leases nevertheless, because they have a key and
/// the fallback strategy cannot refuse requests with a key.
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
        // Leases are interchangeable. The fallback must only count as many releases as it has admitted.
        let uncounted =
            state.own.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |uncounted| uncounted.checked_sub(1));
        if uncounted.is_err() {
            self.fallback.on_release(&state.inner, endpoint);
        }
    }

    forward_hooks!(self.fallback, state.inner; except admit, on_release);
}

/// The picker of a hashing strategy ([`Keyed`]), which picks the endpoint of each request.
pub struct KeyedPicker<T, F> {
    /// Pickers share it while the membership stays the same.
    layout: Arc<Layout<T>>,
    eligible: Eligible,
    fallback: F,
    seed: u64,
}

/// The parts of a picker that depend only on the membership.
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

    /// Searches all members by rendezvous hashing. Not inlined into the pick, because only
    /// [`Rendezvous`](super::Rendezvous) often needs it.
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
    /// Whether each member is eligible, by slot.
    Some(Box<[bool]>),
    None,
}

impl Eligible {
    /// Reads the eligible members of `view`. `members` is the number of members that keys can be placed on.
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

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::part::{Ranked, Ranking};
use crate::{
    endpoint::{EndpointSpec, Slot},
    forward_hooks,
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    view::View,
};

/// Keeps each client to a few of the endpoints, chosen by rendezvous hashing with a seed of its own.
///
/// Choose it where clients and endpoints are so many that connections between all of them cost too much. Every client
/// needs another seed (a hash of its host name, a random number kept for the life of the process); the same seed
/// chooses the same endpoints again. When an endpoint joins or leaves, at most one of a client's endpoints changes.
///
/// - **Who belongs to the subset depends on the members alone**, not on who is eligible, so an endpoint that goes down
///   and comes back finds its clients again. While fewer than [`at_least`](Self::at_least) of the subset are eligible
///   (by default: while any is not), it is topped up with those that come next in the client's order.
/// - **Nobody is refused who could be served**: if the wrapped strategy finds nobody in the subset for a request (all
///   excluded, or at their limit), the first usable one outside takes it.
/// - Endpoints of weight 0 are not chosen. Other weights do not matter to who is chosen, but to the wrapped strategy.
///
/// Its weakness: chance. How many clients an endpoint gets varies as random placement does, by about the square root
/// of their mean number; [`Aperture`](super::Aperture) is exact but wants to know the client's number. With a hashing
/// strategy inside, keys go to different endpoints from different clients, and topping up moves a few of them.
///
/// Build O(n), O(n log n) when the membership changes; a pick costs what the wrapped one costs, and a few nanoseconds.
/// Source: gRPC proposal A68 (deterministic subsetting by rendezvous), which tops up nothing.
///
/// ```
/// use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool, Subset};
///
/// let pool = Pool::new(Subset::new(P2c::new(), 20, 0x5eed));
/// pool.update((0..1000).map(|n| EndpointSpec::new(format!("10.0.{}.{}:80", n / 250, n % 250))), |_| ())?;
/// let used: std::collections::HashSet<_> =
///     (0..500).map(|_| pool.pick(&PickRequest::new()).map(|lease| lease.endpoint().id().clone())).collect::<Result<_, _>>()?;
/// assert_eq!(used.len(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Subset<S> {
    inner: S,
    size: usize,
    at_least: usize,
    seed: u64,
}

impl<S> Subset<S> {
    /// `inner` chooses among `size` of the endpoints of each tier; zero counts as one.
    pub const fn new(inner: S, size: usize, seed: u64) -> Self {
        let size = if size == 0 { 1 } else { size };
        Self { inner, size, at_least: size, seed }
    }

    /// Tops the subset up only while fewer than `eligible` of it are eligible; by default and at most its size. With 1
    /// it is left alone until nobody is left: for hashing strategies, whose keys then stay.
    #[must_use]
    pub const fn at_least(mut self, eligible: usize) -> Self {
        self.at_least = if eligible < self.size { eligible } else { self.size };
        if self.at_least == 0 {
            self.at_least = 1;
        }
        self
    }

    fn ranking(&self, view: &View) -> Ranking {
        let rank = |slot: Slot| {
            let id = view.endpoint(slot)?.id().as_str();
            Some((xxh3_64_with_seed(id.as_bytes(), self.seed), id, slot))
        };
        let weighty = view.members().iter().copied().filter(|&slot| view.weight(slot) > 0);
        let mut ranked: Vec<(u64, &str, Slot)> = weighty.filter_map(rank).collect();
        ranked.sort_unstable();
        Ranking::new(view, ranked.into_iter().map(|(_, _, slot)| slot).collect(), self.size)
    }
}

impl<S: Strategy> Strategy for Subset<S> {
    type State = S::State;
    type Picker = SubsetPicker<S::Picker>;

    fn state(&self, spec: &EndpointSpec) -> S::State {
        self.inner.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let last = last.map(|last| &last.0);
        let ranking = match last.filter(|last| last.ranking.still_holds(view)) {
            Some(last) => Arc::clone(&last.ranking),
            None => Arc::new(self.ranking(view)),
        };
        Ranked::build(&self.inner, view, ranking, self.at_least, last).map(SubsetPicker)
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner);
}

/// The picker of [`Subset`].
pub struct SubsetPicker<P>(Ranked<P>);

impl<P: Picker> Picker for SubsetPicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.0.pick(cx)
    }
}

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::part::{Ranked, Ranking};
use crate::{
    endpoint::{EndpointSpec, Slot},
    forward_hooks,
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    view::View,
};

/// Restricts each client to a few endpoints, which it chooses by rendezvous hashing with its own seed.
///
/// Choose it if clients and endpoints are so many that connections between all of them cost too much. Each client needs
/// its own seed: a hash of its host name, or a random number that it keeps while it runs. The same seed chooses the
/// same endpoints. If an endpoint joins or leaves, at most one endpoint of a client changes.
///
/// - **The subset depends on the members only**, not on their availability, so an endpoint that goes down and comes
///   back keeps its clients. While fewer than [`at_least`](Self::at_least) of the subset are eligible (by default:
///   while any is not), the next endpoints in the client's order are added.
/// - **A request that the subset cannot serve** (all excluded or at their limit) goes to the first usable endpoint
///   outside.
/// - **Weights** do not affect the choice of the subset, except that endpoints of weight 0 are left out. The wrapped
///   strategy sees the weights.
///
/// Weakness: the subsets are random. The number of clients per endpoint varies by about the square root of its mean.
/// [`Aperture`](super::Aperture) is exact, but needs numbered clients. If the wrapped strategy places by key, a key
/// goes to different endpoints from different clients, and some keys move when endpoints are added.
///
/// Build O(n), O(n log n) when the membership changes. A pick costs a few nanoseconds more than that of the wrapped
/// strategy. Source: gRPC proposal A68 (deterministic subsetting by rendezvous hashing), which adds no endpoints.
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
    /// Lets `inner` choose among `size` endpoints of each tier. A size of 0 counts as 1. `seed` must differ between
    /// clients.
    pub const fn new(inner: S, size: usize, seed: u64) -> Self {
        let size = if size == 0 { 1 } else { size };
        Self { inner, size, at_least: size, seed }
    }

    /// Adds endpoints while fewer than `eligible` of the subset are eligible. The range is 1 to the size of the subset;
    /// other values are clamped. The default is the size. Use 1 with hashing strategies, so that keys move only if the
    /// subset is down.
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

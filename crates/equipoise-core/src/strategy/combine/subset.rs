use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::part::{Ranked, Ranking};
use crate::{
    endpoint::{EndpointSpec, Slot},
    forward_hooks,
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    view::View,
};

/// A combinator that restricts each client to a few endpoints. Each client chooses its endpoints by rendezvous hashing
/// of their ids with its own seed.
///
/// Choose it if there are so many clients and endpoints that connections between all of them cost too much. Each client
/// needs its own seed, such as a hash of its host name, or a random number that it keeps while it runs. The same seed
/// always chooses the same endpoints. If one endpoint is added or removed, at most one endpoint of a client changes.
///
/// - **The subset depends only on the members**, not on their availability. An endpoint that becomes unhealthy and
///   recovers keeps its clients. While fewer than [`min_eligible`](Self::min_eligible) endpoints of the subset are
///   eligible, the next eligible endpoints in the client's order are added. The client's order is the order of the
///   hashes.
/// - **If all endpoints of the subset are excluded or at their limit**, a request goes to the next usable endpoint in
///   the client's order.
/// - **Weights** do not affect which endpoints are in the subset, except that endpoints of weight 0 are never in it.
///   The wrapped strategy uses the weights as usual.
///
/// Weakness: the subsets are random, so the number of clients per endpoint varies. The standard deviation of this
/// number is about the square root of the mean. [`Aperture`](super::Aperture) distributes clients exactly, but needs
/// numbered clients. If the wrapped strategy places requests by key, different clients send the same key to different
/// endpoints, and some keys move when endpoints are added to the subset.
///
/// Building a picker takes O(n) time for n endpoints, and O(n log n) if the membership has changed. A pick takes a few
/// nanoseconds more than a pick of the wrapped strategy. Source: gRPC proposal A68 (deterministic subsetting by
/// rendezvous hashing). In this proposal, a subset gets no additional endpoints when its own endpoints are not
/// eligible.
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
    min_eligible: usize,
    seed: u64,
}

impl<S> Subset<S> {
    /// Creates a combinator that lets `inner` pick from `size` endpoints of each tier (priority group of endpoints). If
    /// a tier has fewer endpoints, all of them are used. A `size` of 0 counts as 1. `seed` must be different for each
    /// client.
    pub const fn new(inner: S, size: usize, seed: u64) -> Self {
        let size = if size == 0 { 1 } else { size };
        Self { inner, size, min_eligible: size, seed }
    }

    /// Sets the minimum number of eligible endpoints in the subset. An endpoint is eligible if it is available and its
    /// weight is above 0. While fewer than `eligible` endpoints of the subset are eligible, other eligible endpoints
    /// are added to the subset, until it has `eligible` eligible endpoints.
    ///
    /// Range: 1 to the size of the subset. A value of 0 counts as 1, and larger values count as the size. Default: the
    /// size of the subset. Use 1 with hashing strategies, so that keys move only if no endpoint of the subset is
    /// eligible.
    #[must_use]
    pub const fn min_eligible(mut self, eligible: usize) -> Self {
        self.min_eligible = if eligible < self.size { eligible } else { self.size };
        if self.min_eligible == 0 {
            self.min_eligible = 1;
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
        Ranked::build(&self.inner, view, ranking, self.min_eligible, last).map(SubsetPicker)
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner);
}

/// The picker of [`Subset`], which picks the endpoint of each request.
pub struct SubsetPicker<P>(Ranked<P>);

impl<P: Picker> Picker for SubsetPicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.0.pick(cx)
    }
}

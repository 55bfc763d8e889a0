mod span;

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use self::span::Span;
use super::{
    InvalidCombinator,
    part::{Ranked, Ranking},
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    forward_hooks,
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    view::View,
};

/// Deterministic aperture: restricts each numbered client to a few endpoints, so that all clients together load all
/// endpoints evenly.
///
/// Endpoints are on a ring, each with an arc as long as its weight. Clients are on the same ring at even distances. A
/// client uses the endpoints under an arc that starts at its place; an endpoint that is only partly covered counts with
/// that part of its weight. The length of the arc is the smallest number of client distances that holds
/// [`minimum`](Self::minimum) endpoints. So all points of the ring are covered equally often, and shares are exact for
/// any number of clients and endpoints.
///
/// Choose it over [`Subset`](super::Subset) if clients know how many they are and which number each has, such as the
/// ordinal in a stateful set. Weakness: these numbers must be right. Two clients with the same number double the load
/// on one arc; a wrong count leaves gaps. If the number of clients changes, each needs a new pool, and all arcs move.
///
/// - **The ring depends on the members only**, not on their availability. All clients must know the same ids and
///   weights.
/// - While fewer than [`at_least`](Self::at_least) of a client's endpoints are eligible, the next ones along the ring
///   are added with their full weight. Shares are then only roughly even.
/// - A request that the arc cannot serve (all excluded or at their limit) goes to the first usable endpoint outside.
/// - The wrapped strategy sees lengths of arcs as weights. Their ratios are those of the weights, except at the ends of
///   the arc.
///
/// Build O(n), O(n log n) when the membership changes. A pick costs that of the wrapped strategy with unequal weights.
/// Source: Finagle's deterministic aperture (minimum 12), which has no weights.
///
/// ```
/// use equipoise_core::{Aperture, EndpointSpec, P2c, PickRequest, Pool};
///
/// // Client 3 of 8.
/// let pool = Pool::new(Aperture::new(P2c::new(), 3, 8)?.minimum(2));
/// pool.update(["a", "b", "c", "d", "e", "f"].map(EndpointSpec::new), |_| ())?;
/// let lease = pool.pick(&PickRequest::new())?;
/// # drop(lease);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Aperture<S> {
    inner: S,
    peer: u32,
    peers: u32,
    minimum: u32,
    at_least: Option<usize>,
}

/// Enough for the power of two choices, also when some fail; the default of Finagle.
const MINIMUM: u32 = 12;

impl<S> Aperture<S> {
    /// Lets `inner` choose among the endpoints of client number `peer`, counted from 0, of `peers` clients.
    ///
    /// # Errors
    ///
    /// [`InvalidCombinator::Peer`] if `peer` is not below `peers`.
    pub fn new(inner: S, peer: u32, peers: u32) -> Result<Self, InvalidCombinator> {
        if peer >= peers {
            return Err(InvalidCombinator::Peer { peer, peers });
        }
        Ok(Self { inner, peer, peers, minimum: MINIMUM, at_least: None })
    }

    /// Sets the minimum number of endpoints of mean weight under the arc. The default is 12, and 0 counts as 1.
    #[must_use]
    pub const fn minimum(mut self, endpoints: u32) -> Self {
        self.minimum = if endpoints == 0 { 1 } else { endpoints };
        self
    }

    /// Adds endpoints while fewer than `eligible` under the arc are eligible. 0 counts as 1. The default is the
    /// [`minimum`](Self::minimum), or all endpoints under the arc if these are fewer because they are heavy.
    #[must_use]
    pub const fn at_least(mut self, eligible: usize) -> Self {
        self.at_least = Some(if eligible == 0 { 1 } else { eligible });
        self
    }

    /// The ring from the client's place on, and the weights of the endpoints by slot.
    fn layout(&self, view: &View) -> (Ranking, Box<[u32]>) {
        let place = |slot: Slot| {
            let id = view.endpoint(slot)?.id().as_str();
            Some((xxh3_64(id.as_bytes()), id, slot))
        };
        let weighty = view.members().iter().copied().filter(|&slot| view.weight(slot) > 0);
        let mut ring: Vec<(u64, &str, Slot)> = weighty.filter_map(place).collect();
        ring.sort_unstable();
        let mut ring: Vec<Slot> = ring.into_iter().map(|(_, _, slot)| slot).collect();
        let weights: Vec<u32> = ring.iter().map(|&slot| view.weight(slot)).collect();
        let span = Span::new(&weights, self.peer, self.peers, self.minimum);
        let mut by_slot = vec![0; view.capacity()];
        for (slot, weight) in ring.iter().zip(span.weights) {
            by_slot[slot.index()] = weight;
        }
        ring.rotate_left(span.first);
        (Ranking::new(view, ring.into(), span.count), by_slot.into())
    }
}

impl<S: Strategy> Strategy for Aperture<S> {
    type State = S::State;
    type Picker = AperturePicker<S::Picker>;

    fn state(&self, spec: &EndpointSpec) -> S::State {
        self.inner.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let (ranking, weights) = match last.filter(|last| last.ranked.ranking.still_holds(view)) {
            Some(last) => (Arc::clone(&last.ranked.ranking), Arc::clone(&last.weights)),
            None => {
                let (ranking, weights) = self.layout(view);
                (Arc::new(ranking), weights.into())
            }
        };
        // With unequal weights an arc may hold fewer endpoints than the minimum. That is not a shortage.
        let at_least = self.at_least.unwrap_or_else(|| ranking.chosen.min(self.minimum as usize));
        let weighed = view.reweighted(|slot| weights[slot.index()]);
        let ranked = Ranked::build(&self.inner, &weighed, ranking, at_least, last.map(|last| &last.ranked))?;
        Ok(AperturePicker { ranked, weights })
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner);
}

/// The picker of [`Aperture`].
pub struct AperturePicker<P> {
    ranked: Ranked<P>,
    weights: Arc<[u32]>,
}

impl<P: Picker> Picker for AperturePicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.ranked.pick(cx)
    }
}

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

/// A combinator that restricts each client to a few endpoints, so that all clients together load all endpoints evenly
/// ("deterministic aperture"). The clients must be numbered.
///
/// All endpoints together form a ring. Each endpoint occupies a part of the ring, and the length of this part is the
/// endpoint's weight. The positions of the clients divide the same ring into equal distances. Each client has an arc
/// that begins at the client's position. The client uses the endpoints inside its arc. If only a part of an endpoint is
/// inside the arc, the endpoint has only this part of its weight for this client.
///
/// All arcs have the same length: a multiple of the distance between two neighbouring clients. This length is the
/// smallest multiple that covers at least [`min_endpoints`](Self::min_endpoints) endpoints of mean weight. Every point
/// of the ring is therefore inside the same number of arcs. As a result, each endpoint gets exactly its share of the
/// traffic by weight, for any number of clients and endpoints.
///
/// Choose it over [`Subset`](super::Subset) if each client knows the number of clients and its own number, such as the
/// ordinal in a stateful set. Weakness: both numbers must be right. If two clients have the same number, the load on
/// their arc doubles. If the number of clients is wrong, some endpoints get too few requests. If the number of clients
/// changes, each client needs a new pool, and all arcs move.
///
/// - **The ring depends only on the members**, not on their availability. All clients must know the same ids and
///   weights.
/// - **While fewer than [`min_eligible`](Self::min_eligible) endpoints of a client are eligible**, the next eligible
///   endpoints on the ring are added with their full weight. The load of the endpoints is then only approximately even.
/// - **If all endpoints of the arc are excluded or at their limit**, a request goes to the next usable endpoint on the
///   ring.
/// - **The wrapped strategy sees other weights**: the weight of an endpoint is the length of its part inside the arc.
///   This changes the ratio between the weights only for the endpoints at the two ends of the arc, which may be inside
///   the arc with only a part of their weight.
///
/// Building a picker takes O(n) time for n endpoints, and O(n log n) if the membership has changed. A pick takes as
/// long as a pick of the wrapped strategy with unequal weights. Source: Finagle's deterministic aperture, which has the
/// same default minimum (12) and no weights.
///
/// ```
/// use equipoise_core::{Aperture, EndpointSpec, P2c, PickRequest, Pool};
///
/// // There are 8 clients, with the numbers 0 to 7. This one has number 3.
/// let pool = Pool::new(Aperture::new(P2c::new(), 3, 8)?.min_endpoints(2));
/// pool.update(["a", "b", "c", "d", "e", "f"].map(EndpointSpec::new), |_| ())?;
/// let used: std::collections::HashSet<_> =
///     (0..500).map(|_| pool.pick(&PickRequest::new()).map(|lease| lease.endpoint().id().clone())).collect::<Result<_, _>>()?;
/// assert_eq!(used.len(), 3); // one whole endpoint, and parts of two others
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Aperture<S> {
    inner: S,
    peer: u32,
    peers: u32,
    min_endpoints: u32,
    min_eligible: Option<usize>,
}

/// The default minimum number of endpoints of a client: enough for the power of two choices, even if some fail. It is
/// Finagle's default.
const MIN_ENDPOINTS: u32 = 12;

impl<S> Aperture<S> {
    /// Creates a combinator that lets `inner` pick from the endpoints of this client. `peers` is the number of clients,
    /// and `peer` is the number of this client. Range of `peer`: 0 to `peers` − 1.
    ///
    /// # Errors
    ///
    /// [`InvalidCombinator::Peer`] if `peer` is not below `peers`. This includes `peers` = 0.
    pub fn new(inner: S, peer: u32, peers: u32) -> Result<Self, InvalidCombinator> {
        if peer >= peers {
            return Err(InvalidCombinator::Peer { peer, peers });
        }
        Ok(Self { inner, peer, peers, min_endpoints: MIN_ENDPOINTS, min_eligible: None })
    }

    /// Sets the minimum number of endpoints that a client uses. If the weights differ, a client uses enough endpoints
    /// that the sum of their weights is at least `endpoints` × the mean weight. If the pool has fewer endpoints, the
    /// client uses all of them. A value of 0 counts as 1. Default: 12.
    #[must_use]
    pub const fn min_endpoints(mut self, endpoints: u32) -> Self {
        self.min_endpoints = if endpoints == 0 { 1 } else { endpoints };
        self
    }

    /// Sets the minimum number of eligible endpoints that the client uses. An endpoint is eligible if it is available
    /// and its weight is above 0. While fewer than `eligible` endpoints inside the client's arc are eligible, the
    /// client also uses the next eligible endpoints on the ring, until it uses `eligible` eligible endpoints.
    ///
    /// Default: the [`min_endpoints`](Self::min_endpoints), or the number of endpoints inside the client's arc if this
    /// number is smaller. This number is smaller if the endpoints inside the arc have large weights. A value of 0
    /// counts as 1.
    #[must_use]
    pub const fn min_eligible(mut self, eligible: usize) -> Self {
        self.min_eligible = Some(if eligible == 0 { 1 } else { eligible });
        self
    }

    /// Returns the endpoints in the order of the ring, beginning at the client's position, and the weights of the
    /// endpoints by slot.
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
        let span = Span::new(&weights, self.peer, self.peers, self.min_endpoints);
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
        // With unequal weights, an arc may contain fewer endpoints than the minimum. This is no reason to add
        // endpoints.
        let min_eligible = self.min_eligible.unwrap_or_else(|| ranking.chosen.min(self.min_endpoints as usize));
        let weighed = view.reweighted(|slot| weights[slot.index()]);
        let ranked = Ranked::build(&self.inner, &weighed, ranking, min_eligible, last.map(|last| &last.ranked))?;
        Ok(AperturePicker { ranked, weights })
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner);
}

/// The picker of [`Aperture`], which picks the endpoint of each request.
pub struct AperturePicker<P> {
    ranked: Ranked<P>,
    weights: Arc<[u32]>,
}

impl<P: Picker> Picker for AperturePicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.ranked.pick(cx)
    }
}

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

/// Keeps each client to a few of the endpoints, so laid out that all clients together load them evenly: the
/// deterministic aperture.
///
/// Endpoints sit on a ring, each on an arc as long as its weight; clients sit on the same ring, evenly spaced. Each
/// client uses the endpoints under an arc that begins where it sits, and one that is covered only in part counts for
/// that part of its weight. The arc is as many client spacings long as hold [`minimum`](Self::minimum) endpoints, so
/// every point of the ring is covered equally often: shares are exact, whatever the numbers.
///
/// Choose it over [`Subset`](super::Subset) where clients know how many they are and which one each of them is (a
/// replica's ordinal in a stateful set). Its weakness: that knowledge. Two clients with one number double the load on
/// one arc; a wrong count leaves gaps. When the number of clients changes, pools are to be made anew, and arcs shift.
///
/// - **The ring depends on the members alone**, not on who is eligible; all clients must know the same ids and weights.
/// - While fewer than [`at_least`](Self::at_least) of a client's endpoints are eligible (by default: than the minimum, or
///   than all under an arc of fewer heavy ones), the next ones along the ring are added, with all of their weight. Shares
///   are then only about even.
/// - Nobody is refused who could be served: see [`Subset`](super::Subset).
/// - The weights that the wrapped strategy sees are lengths of arcs; their ratios are what was set.
///
/// Build O(n), O(n log n) when the membership changes; a pick costs what the wrapped one costs with unequal weights.
/// Source: Finagle's deterministic aperture (minimum 12), which has no weights; arcs by weight are added.
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

/// Enough for the power of two choices to work with, and for some to fail (Finagle's).
const MINIMUM: u32 = 12;

impl<S> Aperture<S> {
    /// `inner` chooses among the endpoints under the arc of client number `peer` (from 0) of `peers`.
    ///
    /// # Errors
    ///
    /// When there is no such client.
    pub fn new(inner: S, peer: u32, peers: u32) -> Result<Self, InvalidCombinator> {
        if peer >= peers {
            return Err(InvalidCombinator::Peer { peer, peers });
        }
        Ok(Self { inner, peer, peers, minimum: MINIMUM, at_least: None })
    }

    /// How many endpoints of mean weight the arc is to hold at least; 12 by default, zero counts as one.
    #[must_use]
    pub const fn minimum(mut self, endpoints: u32) -> Self {
        self.minimum = if endpoints == 0 { 1 } else { endpoints };
        self
    }

    /// Adds endpoints while fewer than `eligible` under the arc are; by default the minimum, or as many as are under the
    /// arc where heavy ones make it fewer. Zero counts as one.
    #[must_use]
    pub const fn at_least(mut self, eligible: usize) -> Self {
        self.at_least = Some(if eligible == 0 { 1 } else { eligible });
        self
    }

    /// The ring from where this client sits, and the weights that the endpoints count for, by slot.
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
        // Of unequal weights an arc may hold fewer than the minimum, and is not short of any.
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

mod bit_set;
mod patience;

use std::{fmt, sync::Arc, time::Duration};

pub use self::patience::FirstFitState;

use self::bit_set::AtomicBitSet;
use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    live::{LiveParts, Registered},
};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    sync::{Ordering, fence},
    time::Timestamp,
    view::View,
};

/// First fit: goes through the endpoints in the order of their [slots](crate::Slot), and picks the first one that has
/// fewer requests in flight than its [maximum](crate::EndpointSpec::max_in_flight).
///
/// Choose it if a few busy endpoints are better than many idle ones. For example, idle endpoints can be shut down, or
/// the first endpoints are cheaper than the others. The slots follow the order in which the endpoints were added. The
/// removal of an endpoint leaves its slot free, and a new endpoint takes the lowest free slot. An endpoint without a
/// maximum is never full. Later endpoints therefore get only requests that exclude this endpoint. An endpoint of weight
/// 0 gets no requests. Apart from that, weights have no effect. Weakness: the load is uneven, because an endpoint gets
/// requests only when the endpoints before it are at their maximum or cannot be used.
///
/// A failing endpoint gets at most [its share of the picks by weight](super::Needs::caps_failing). An endpoint that
/// never responds counts as failing too: if the caller gives up a request, this counts as a failure of the endpoint,
/// provided that the request has waited long enough:
///
/// - If a latency of the endpoint is known, the request must have waited at least twice the longest recent latency, and
///   at least 10 ms.
/// - If no latency of the endpoint is known, the request must have waited at least one second.
///
/// Building a picker takes O(n) time for n endpoints. A pick takes O(log₆₄ n) time. Each request reads the clock twice.
/// A bit set marks the endpoints that may have capacity. A pick that finds an endpoint full clears the bit of the
/// endpoint, and the end of a lease on the endpoint sets the bit again. After an update, all bits are set. A pick skips
/// the endpoints that the request excludes. Source: first fit in bin packing; HAProxy's `balance first`.
///
/// ```
/// use equipoise_core::{EndpointSpec, FirstFit, PickRequest, Pool};
///
/// let pool = Pool::new(FirstFit::new());
/// pool.update(["a", "b", "c"].map(|id| EndpointSpec::new(id).max_in_flight(2)), |_| ())?;
/// let leases = (0..3).map(|_| pool.pick(&PickRequest::new())).collect::<Result<Vec<_>, _>>()?;
/// let ids: Vec<_> = leases.iter().map(|lease| lease.endpoint().id().as_str()).collect();
/// assert_eq!(ids, ["a", "a", "b"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct FirstFit {
    live: Arc<LiveParts<Order>>,
}

impl FirstFit {
    /// Creates the strategy. It has no settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clone for FirstFit {
    /// Creates a new strategy for another pool. It shares no data with the original.
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl fmt::Debug for FirstFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstFit")
    }
}

/// The endpoints in order, and which of them may have capacity.
struct Order {
    slots: Box<[Slot]>,
    /// The position of each slot in the order. `u32::MAX` for endpoints that are not eligible.
    positions: Box<[u32]>,
    with_room: AtomicBitSet,
}

impl Strategy for FirstFit {
    type State = FirstFitState;
    type Picker = FirstFitPicker;

    fn state(&self, _: &EndpointSpec) -> FirstFitState {
        FirstFitState::default()
    }

    fn needs(&self) -> Needs {
        Needs::new().leases().latency().caps_failing()
    }

    fn build(&self, view: &View, _last: Option<&FirstFitPicker>) -> Result<FirstFitPicker, BuildError> {
        let slots: Box<[Slot]> = view.eligible().into();
        let mut positions = vec![u32::MAX; view.capacity()].into_boxed_slice();
        for (at, slot) in slots.iter().enumerate() {
            positions[slot.index()] = at as u32;
        }
        let with_room = AtomicBitSet::full(slots.len());
        Ok(FirstFitPicker(self.live.register(Order { slots, positions, with_room })))
    }

    fn on_latency(&self, state: &FirstFitState, latency: Duration, _now: Timestamp) {
        state.answered(latency);
    }

    fn on_abandon(&self, state: &FirstFitState, waited: Duration, _now: Timestamp) -> bool {
        state.is_too_long(waited)
    }

    fn on_release(&self, _: &FirstFitState, endpoint: &Endpoint) {
        if endpoint.max_in_flight().is_none() {
            return;
        }
        // A release gives back the permit, then reads the bit. `pick` clears the bit, then reads the permits. Each
        // needs a fence in between.
        fence(Ordering::SeqCst);
        self.live.each(|order| {
            // In the order of another pool, this is another endpoint. If it is full, a pick clears the bit again.
            if let Some(&at) = order.positions.get(endpoint.slot().index()) {
                order.with_room.insert(at as usize);
            }
        });
    }
}

/// The picker of [`FirstFit`], which picks the endpoint of each request.
pub struct FirstFitPicker(Registered<Order>);

impl Picker for FirstFitPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let order = &*self.0;
        let mut at = 0;
        loop {
            at = order.with_room.next(at)?;
            let slot = *order.slots.get(at)?;
            if cx.usable(slot) {
                return Some(slot);
            }
            let is_full = || cx.view().endpoint(slot).is_some_and(|endpoint| endpoint.permits.exhausted());
            if is_full() {
                order.with_room.remove(at, || {
                    fence(Ordering::SeqCst);
                    is_full()
                });
            }
            at += 1;
        }
    }
}

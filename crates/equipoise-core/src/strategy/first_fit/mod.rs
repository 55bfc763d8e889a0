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

/// First fit: the first endpoint that is below its [limit](crate::EndpointSpec::max_in_flight), in the order of the
/// slots.
///
/// Choose it if few busy endpoints are better than many idle ones: the others can be shut down, scaled in or used for
/// batch work, or a licence or a warm cache makes the first ones cheap. Slots follow the order in which endpoints
/// joined, and a new endpoint takes the lowest free slot. An endpoint without a limit is never full, so later endpoints
/// get only requests that exclude it. Weights do not count, except 0. Weakness: load is as uneven as the limits allow.
///
/// An endpoint that fails is [capped](super::Needs::caps_failing) at its share by weight. A request that is given up
/// counts as a failure after twice the longest recent latency of its endpoint, and at least after 10 ms; after 1 s if
/// no latency is known. So an endpoint that never answers is capped too.
///
/// Build O(n), pick O(log₆₄ n), two clock readings per request. A bit set marks the endpoints that may have room. A
/// pick that finds an endpoint full clears its bit, and the end of a lease there sets it. After an update all bits are
/// set. Requests that exclude endpoints skip them. Source: first fit in bin packing; HAProxy's `balance first`.
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
    /// Returns a strategy for another pool. It shares nothing with the original.
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl fmt::Debug for FirstFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstFit")
    }
}

/// The endpoints in order, and which of them may have room.
struct Order {
    slots: Box<[Slot]>,
    /// By slot; `u32::MAX` for endpoints that are not eligible.
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
        // Between giving the permit back and looking at the bit, as in `pick` between the bit and the permit.
        fence(Ordering::SeqCst);
        self.live.each(|order| {
            // In another pool's order this is another endpoint. Its bit is cleared again when it is found full.
            if let Some(&at) = order.positions.get(endpoint.slot().index()) {
                order.with_room.insert(at as usize);
            }
        });
    }
}

/// The picker of [`FirstFit`].
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

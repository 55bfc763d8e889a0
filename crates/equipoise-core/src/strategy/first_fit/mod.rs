mod patience;
mod vacancies;

use std::{fmt, sync::Arc, time::Duration};

pub use self::patience::FirstFitState;

use self::vacancies::Vacancies;
use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    live::{Enlisted, LiveParts},
};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    sync::{Ordering, fence},
    time::Timestamp,
    view::View,
};

/// The first endpoint that is not full, in the order of the slots: fills one up to its
/// [limit](crate::EndpointSpec::max_in_flight) before it turns to the next.
///
/// Choose it where few busy endpoints are better than many idle ones: so that the others can be shut down, scaled in or
/// kept for batch work, or where a license or a warm cache makes the first ones cheap. Slots follow the order in which
/// endpoints joined, and a newcomer takes the lowest free one. An endpoint without a limit never fills, so nobody behind
/// it is ever reached (unless requests exclude it). Weights do not count, but for 0. Its weakness is its purpose: load
/// is as uneven as limits allow. An endpoint that fails is [capped](super::Needs::caps_failing) at the share that its
/// weight says. A request that is given up counts as a failure after twice the longest recent latency of its endpoint, or
/// after 1 s if nothing is known of that, and at least after 10 ms. So an endpoint that never answers is capped too.
///
/// Build O(n), two clock readings a request. Pick O(log₆₄ n): a set of bits knows who may have room; an endpoint found full is taken out, and put
/// back by the end of its next lease. After an update everybody counts as having room until found full, once each.
/// Requests that exclude endpoints walk past them. Source: the first fit of bin packing; HAProxy's `balance first`.
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
    /// The strategy; it has no settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clone for FirstFit {
    /// One that serves another pool: it has no settings, and what it is told of is not shared.
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl fmt::Debug for FirstFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstFit")
    }
}

/// Who comes when, and who may have room.
struct Order {
    slots: Box<[Slot]>,
    /// By slot; out of range for those that are not here.
    positions: Box<[u32]>,
    vacancies: Vacancies,
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
        let vacancies = Vacancies::full(slots.len());
        Ok(FirstFitPicker(self.live.enlist(Order { slots, positions, vacancies })))
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
            // In another pool's order that is somebody else, who is found full again if need be.
            if let Some(&at) = order.positions.get(endpoint.slot().index()) {
                order.vacancies.put_in(at as usize);
            }
        });
    }
}

/// The picker of [`FirstFit`].
pub struct FirstFitPicker(Enlisted<Order>);

impl Picker for FirstFitPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let order = &*self.0;
        let mut at = 0;
        loop {
            at = order.vacancies.next(at)?;
            let slot = *order.slots.get(at)?;
            if cx.usable(slot) {
                return Some(slot);
            }
            let is_full = || cx.view().endpoint(slot).is_some_and(|endpoint| endpoint.permits.exhausted());
            if is_full() {
                order.vacancies.take_out(at, || {
                    fence(Ordering::SeqCst);
                    is_full()
                });
            }
            at += 1;
        }
    }
}

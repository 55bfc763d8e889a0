mod counters;
mod edf;
mod schedule;

use std::sync::Arc;

pub use self::edf::Edf;
use self::{counters::Counters, schedule::Schedule};
use super::{BuildError, PickCx, Picker, Strategy};
use crate::{
    endpoint::{EndpointSpec, Slot},
    view::View,
};

/// Smooth weighted round robin, as in nginx: endpoints take turns in proportion to their weights, spread as evenly as
/// possible.
///
/// Choose it if all requests cost about the same and all endpoints are about equally fast. It is exact: after a full
/// cycle, each endpoint has had exactly its share of the requests. It is also the strategy with the cheapest pick. For
/// example, if the endpoints a, b and c have the weights 5, 1 and 1, the cycle is `a a b a c a a`. Weakness: it ignores
/// load, so a slow endpoint gets as many requests as a fast one.
///
/// The order of a cycle is computed when a picker is built. Picks advance a shared counter and take no lock. After an
/// update, the cycle continues where it stopped, so that no endpoint gets an additional turn.
///
/// A pick takes O(1) time. Building a picker takes O(n) time for n endpoints of equal weight, and otherwise O(length of
/// the cycle × number of distinct weights) time. The length of the cycle is the sum of the weights divided by their
/// greatest common divisor. If this length is above 65 536, no cycle is computed. Picks then take O(log n) time, and
/// follow a low-discrepancy sequence (evenly spread numbers) over the weights. The shares are exact in the long run,
/// but the order differs from that of nginx.
///
/// ```
/// use equipoise_core::{EndpointSpec, PickRequest, Pool, RoundRobin};
///
/// let pool = Pool::new(RoundRobin::new());
/// pool.update([EndpointSpec::new("a").weight(2), EndpointSpec::new("b")], |_| ())?;
/// let mut next = || pool.pick(&PickRequest::new()).map(|lease| lease.endpoint().id().to_string());
/// assert_eq!([next()?, next()?, next()?, next()?], ["a", "b", "a", "a"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

impl RoundRobin {
    /// Creates the strategy. It has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Strategy for RoundRobin {
    type State = ();
    type Picker = RoundRobinPicker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, last: Option<&RoundRobinPicker>) -> Result<RoundRobinPicker, BuildError> {
        let slots: Arc<[Slot]> = view.eligible().into();
        let weights: Vec<u32> = slots.iter().map(|&slot| view.weight(slot)).collect();
        let served = last.map_or(0, |last| last.counters.first.value());
        let schedule = Schedule::new(&slots, &weights, last.map(|last| (&last.schedule, served)));
        // A new cycle starts where the last picker stopped. A sequence continues with the next number.
        let first = if schedule.is_laid_out() { 0 } else { served };
        Ok(RoundRobinPicker {
            counters: Counters::starting_at(first, last.map(|last| &last.counters)),
            schedule,
            slots,
        })
    }
}

/// The picker of [`RoundRobin`], which picks the endpoint of each request.
pub struct RoundRobinPicker {
    counters: Counters,
    schedule: Schedule,
    slots: Arc<[Slot]>,
}

impl Picker for RoundRobinPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.counters.pick(|ticket| self.schedule.at(ticket), &self.slots, cx)
    }
}

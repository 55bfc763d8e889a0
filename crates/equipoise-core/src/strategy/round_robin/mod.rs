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

/// Smooth weighted round robin, as in nginx: takes turns in proportion to the weights, spread as evenly as they allow.
///
/// Choose it if requests and endpoints are alike. It is exact: after a full turn each endpoint has had its share. It is
/// also the cheapest strategy. Weights 5, 1, 1 give `a a b a c a a`. Weakness: it ignores load, so a slow endpoint gets
/// as much as a fast one.
///
/// The order of a turn is computed when a picker is built, and a shared counter walks it, so picks take no lock. A new
/// picker continues where the last one stood, so updates neither restart the turn nor favour an endpoint.
///
/// Pick O(1). Build O(n) for equal weights, else O(turn × distinct weights). The length of a turn is the sum of the
/// weights divided by their greatest common divisor. Turns above 65 536 are not computed: picks then follow a
/// low-discrepancy sequence over the weights, with exact shares but another order than nginx, in O(log n).
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
        // A laid-out turn starts where the last one stood; a sequence goes on by its number.
        let first = if schedule.is_laid_out() { 0 } else { served };
        Ok(RoundRobinPicker {
            counters: Counters::starting_at(first, last.map(|last| &last.counters)),
            schedule,
            slots,
        })
    }
}

/// The picker of [`RoundRobin`].
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

mod schedule;

use std::sync::Arc;

use self::schedule::Schedule;
use super::{BuildError, PickCx, Picker, Strategy, Tickets};
use crate::{
    endpoint::{EndpointSpec, Slot},
    entropy::mix,
    view::View,
};

/// Takes turns, in proportion to the weights and as evenly spread as they allow: nginx's smooth weighted round robin.
///
/// Choose it where requests and endpoints are alike: it is exact (after each full turn everybody has had their share)
/// and the cheapest of all. Weights 5, 1, 1 give `a a b a c a a`. Its weakness: it looks at no load, so a slow endpoint
/// gets as much as a fast one.
///
/// The turn is laid out when a picker is built and walked by one shared counter, so that picks take no lock; who was
/// owed a turn is carried over to the next picker, so that updates neither restart the turn nor favour anybody. Pick
/// O(1). Build O(n) for equal weights, else O(turn × distinct weights), where the turn is the sum of the weights
/// divided by their greatest common divisor. A turn of more than 65 536 is not laid out: tickets then walk a
/// low-discrepancy sequence over the weights (shares as exact, order not nginx's; pick O(log n)).
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
    /// The strategy; it has no settings.
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
        let served = last.map_or(0, |last| last.tickets.peek());
        let schedule = Schedule::new(&slots, &weights, last.map(|last| (&last.schedule, served)));
        // A laid-out turn starts where the last one stood; a sequence goes on by its number.
        let tickets = if schedule.is_laid_out() { Tickets::new() } else { Tickets::starting_at(served) };
        let again = Tickets::starting_at(last.map_or(0, |last| last.again.peek()));
        Ok(RoundRobinPicker { tickets, again, schedule, slots })
    }
}

/// The picker of [`RoundRobin`].
pub struct RoundRobinPicker {
    tickets: Tickets,
    /// For requests that exclude somebody. Did they take turns like the others, then with one of two endpoints dead
    /// every turn of the living one would go to a second try, and every first try to the dead one.
    again: Tickets,
    schedule: Schedule,
    slots: Arc<[Slot]>,
}

/// How far a pick walks along the turn to get past unusable endpoints, before it looks at all of them.
const LONGEST_WALK: u64 = 32;

impl Picker for RoundRobinPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        if cx.is_again() {
            return self.pick_again(cx);
        }
        let ticket = cx.ticket(&self.tickets);
        let slot = self.schedule.at(ticket)?;
        if !cx.is_checked() || cx.usable(slot) {
            return Some(slot);
        }
        for step in 1..LONGEST_WALK {
            let slot = self.schedule.at(ticket.wrapping_add(step))?;
            if cx.usable(slot) {
                return Some(slot);
            }
        }
        self.scan(ticket, cx)
    }
}

impl RoundRobinPicker {
    /// Somebody else, by a ticket of its own: scattered over the turn, so that the requests of a dead endpoint do not all
    /// fall to whoever comes after it.
    #[cold]
    fn pick_again(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let ticket = cx.ticket(&self.again);
        for probe in 0..LONGEST_WALK {
            let slot = self.schedule.at(mix(ticket.wrapping_mul(LONGEST_WALK).wrapping_add(probe)))?;
            if cx.usable(slot) {
                return Some(slot);
            }
        }
        self.scan(ticket, cx)
    }

    fn scan(&self, ticket: u64, cx: &mut PickCx<'_>) -> Option<Slot> {
        let start = (ticket % self.slots.len().max(1) as u64) as usize;
        self.slots[start..].iter().chain(&self.slots[..start]).copied().find(|&slot| cx.usable(slot))
    }
}

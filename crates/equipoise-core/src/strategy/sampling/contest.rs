//! The comparison of a few endpoints that P2C, least time and Peak-EWMA share.
//!
//! Three goals: without load, shares follow the weights; under load, requests in flight follow them; and an endpoint that
//! is stuck can always be avoided.
//!
//! - **Equal weights**: two *distinct* endpoints are drawn, and the lower `cost × (in-flight + 1)` wins (the power of two
//!   choices: Mitzenmacher 2001). Of three endpoints all are compared, so that a stuck one has to beat both others.
//! - **Unequal weights**: a *race* (`race.rs`). Each contender scores `cost × (in-flight + E) / weight`, where `E` is
//!   exponential with mean 1, and the lowest wins. Without load, the winner of a race of exponentials is distributed exactly
//!   as the weights. Under load, in-flight per weight decides, and a stuck endpoint loses whatever its weight. Comparing
//!   `(in-flight + 1) / weight` instead starves small weights, and `in-flight / weight` floods them. An idle endpoint of
//!   small weight does not count as emptier than the others while its share is a fraction of a request.
//! - **More than two choices**: with equal weights, that many distinct endpoints are drawn. With unequal weights, the best
//!   of that many weighted draws enters the race.
//! - **Contenders** of a race are all endpoints of a small pool. In a larger one they are those that hold more than an
//!   eighth of the weight each (at most seven), and the better of two weighted draws among the rest. Two draws with
//!   replacement force a share of (w/W)² on an endpoint whatever its state, which is little below an eighth.
//!
//! An idle endpoint whose estimate keeps it from winning would never be measured again. So now and then it is **tried**: it
//! wins with a probability of [`CURIOSITY`](Gauge::CURIOSITY) × the winner's cost / its own. These requests cost a fixed
//! part of what all requests take, whatever the rate of requests, the number of endpoints and the estimate.
//!
//! # Counts of other threads
//!
//! Requests in flight are counted per thread (see [`Handle`](crate::load::Handle)). To read a count that another thread has
//! just changed costs a cache miss, and its next change costs that thread one. So of two endpoints the count of the second
//! is read only if it can change the outcome: not if the first wins even against an idle second. In a pool with little
//! load that halves the reads. The decision is the same as with both counts.

use super::{
    choices::MAX_CHOICES,
    contender::{Contender, Contenders, Cost, Gauge, least, lowest, trial},
    distinct::{several, two_usable},
    race::Race,
    two,
};
use crate::{endpoint::Slot, strategy::PickCx, view::View};

/// The eligible endpoints of a view, laid out for comparisons. Build O(n), pick O(1).
pub(crate) struct Contest {
    slots: Box<[Slot]>,
    /// `None` for equal weights.
    race: Option<Race>,
    /// The number of endpoints drawn, from 2 to [`MAX_CHOICES`].
    choices: usize,
}

impl Contest {
    /// A contest with two choices.
    pub(crate) fn new(view: &View) -> Self {
        Self::with_choices(view, 2)
    }

    /// A contest with this many choices.
    pub(crate) fn with_choices(view: &View, choices: usize) -> Self {
        let slots: Box<[Slot]> = view.eligible().into();
        let weights: Vec<u32> = slots.iter().map(|&slot| view.weight(slot)).collect();
        let equal = weights.iter().all(|weight| Some(weight) == weights.first());
        Self { slots, race: (!equal).then(|| Race::new(&weights)), choices: choices.clamp(2, MAX_CHOICES) }
    }

    /// Returns the slot of the winner; `None` if no endpoint is usable.
    #[inline]
    pub(crate) fn pick(&self, cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        match &self.race {
            None if self.choices == 2 => self.best_of_two(cx, gauge),
            None => self.best_of_several(cx, gauge),
            Some(race) => race.pick(&self.slots, self.choices, cx, gauge),
        }
    }

    #[inline]
    fn contender(&self, at: usize, cx: &PickCx<'_>, gauge: &impl Gauge) -> Option<Contender> {
        let slot = *self.slots.get(at)?;
        Some(Contender::new(slot, 1.0, gauge.read(slot, cx.now()), cx))
    }

    /// Returns the better of two distinct draws.
    #[inline]
    fn best_of_two<G: Gauge>(&self, cx: &mut PickCx<'_>, gauge: &G) -> Option<Slot> {
        let drawn = if cx.is_checked() { two_usable(&self.slots, cx) } else { two(self.slots.len(), cx.random()) };
        let slot = *self.slots.get(drawn.0?)?;
        let Some(other_slot) = drawn.1.and_then(|other| self.slots.get(other).copied()) else {
            return Some(least(&[Contender::new(slot, 1.0, gauge.read(slot, cx.now()), cx)], cx, gauge));
        };
        if self.slots.len() == 3 {
            return self.best_of_three(drawn, cx, gauge);
        }
        let (cost, other_cost) = (gauge.read(slot, cx.now()), gauge.read(other_slot, cx.now()));
        let lowest = lowest([cost.estimate, other_cost.estimate].into_iter());
        let one = Contender::new(slot, 1.0, cost, cx);
        let a = one.score(lowest, gauge);
        // The second scores at least this with nothing in flight. No endpoint can be due to be tried if all estimates are
        // alike.
        let is_alike = |cost: Cost| G::CURIOSITY == 0.0 || cost.estimate.abs() <= lowest * G::NOISE;
        if a <= other_cost.settle(lowest, G::NOISE) && is_alike(cost) && is_alike(other_cost) && !cx.is_explained() {
            return Some(slot);
        }
        let other = Contender::new(other_slot, 1.0, other_cost, cx);
        let b = other.score(lowest, gauge);
        cx.score(one.slot, a);
        cx.score(other.slot, b);
        let (winner, loser, tied) = if b < a { (other, one, false) } else { (one, other, a == b) };
        if loser.in_flight == 0.0
            && !tied
            && let Some(tried) = trial(&[one, other], winner, lowest, cx, gauge)
        {
            return Some(tried);
        }
        Some(winner.slot)
    }

    /// Returns the best of a pool of three, of which two were drawn.
    #[inline(never)]
    fn best_of_three(
        &self,
        drawn: (Option<usize>, Option<usize>),
        cx: &mut PickCx<'_>,
        gauge: &impl Gauge,
    ) -> Option<Slot> {
        let (first, second) = (drawn.0?, drawn.1?);
        let one = self.contender(first, cx, gauge)?;
        let other = self.contender(second, cx, gauge)?;
        if cx.usable(self.slots[3 - first - second])
            && let Some(third) = self.contender(3 - first - second, cx, gauge)
        {
            return Some(least(&[one, other, third], cx, gauge));
        }
        Some(least(&[one, other], cx, gauge))
    }

    /// Returns the best of several distinct draws.
    #[inline(never)]
    fn best_of_several(&self, cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        let mut contenders = Contenders::<MAX_CHOICES>::default();
        several(self.slots.len(), self.choices, cx, |at, cx| {
            if cx.usable(self.slots[at])
                && let Some(contender) = self.contender(at, cx, gauge)
            {
                contenders.push(contender);
            }
            contenders.len()
        });
        if contenders.len() == 0 {
            return None;
        }
        Some(least(contenders.as_slice(), cx, gauge))
    }
}

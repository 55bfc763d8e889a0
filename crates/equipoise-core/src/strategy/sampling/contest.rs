//! The comparison of a few endpoints that [`P2c`], least time and Peak-EWMA share. In [`P2c`], the cost of a request is
//! the same at each endpoint, so that only the requests in flight count.
//!
//! The comparison has three goals. Without load, the shares of requests follow the weights. Under load, the requests in
//! flight follow the weights. An endpoint that has stopped responding can always be avoided.
//!
//! - **Equal weights**: two *distinct* endpoints are drawn. The one with the lower `cost × (in-flight + 1)` wins (the
//!   power of two choices: Mitzenmacher 2001). In a pool of three, all endpoints are compared, so that an endpoint that
//!   does not respond must beat both others.
//! - **Unequal weights**: the endpoints are compared in a *race* (`race.rs`). The score of each contender is `cost ×
//!   (in-flight + E) / weight`, where `E` is an exponentially distributed random number of mean 1. The lowest score
//!   wins. Without load, each contender wins with a probability proportional to its weight. Under load, the requests in
//!   flight per weight decide, and an endpoint that does not respond loses, whatever its weight is. If `(in-flight + 1)
//!   / weight` were compared, endpoints of small weight would get too few requests. If `in-flight / weight` were
//!   compared, they would get too many.
//! - **More than two choices**: let k be the number of choices. With equal weights, k distinct endpoints are drawn.
//!   With unequal weights, k endpoints are drawn by weight, and the best of them takes part in the race.
//! - **Contenders** of a race are all endpoints of a small pool. In a larger pool, they are all endpoints that have
//!   more than an eighth of the total weight (at most seven), and the better one of two that are drawn by weight from
//!   the rest. Two draws with replacement give an endpoint of weight w a share of at least (w/W)², where W is the total
//!   weight, even if it does not respond. For endpoints of at most an eighth of W, this is little.
//!
//! An idle endpoint whose estimate is too high to win would never be measured again. Such an endpoint is therefore
//! sometimes **tried**: it is picked with a probability of [`CURIOSITY`](Gauge::CURIOSITY) × (cost of the winner / its
//! own cost). The cost of these requests is a fixed fraction of the cost of all requests. It does not depend on the
//! rate of requests, the number of endpoints or the estimate.
//!
//! # Counts of other threads
//!
//! Requests in flight are counted per thread (see [`Handle`](crate::load::Handle)). Reading a count that another thread
//! has just changed costs a cache miss, and the next change costs that thread a cache miss too. The count of the second
//! endpoint is therefore read only if it can change the result. It cannot change the result if the first endpoint wins
//! even when the second is idle. In a pool with little load, this halves the number of reads. The result is the same as
//! with both counts.

use super::{
    contender::{
        Choices, Contender, Contenders, Cost, Gauge, InvalidChoices, MAX_CHOICES, least, lowest, several, trial, two,
        two_usable,
    },
    race::Race,
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    time::Timestamp,
    view::View,
};

/// Power of two choices by requests in flight: compares two random endpoints and picks the one with fewer requests in
/// flight, relative to the weights.
///
/// Choose it if requests differ in cost but endpoints are alike, or if latency says little about load. It is almost as
/// good as a comparison of all endpoints, but a pick takes constant time. It also works well if the balancer sees only
/// a part of the load. In two cases, it compares all endpoints: in pools of three endpoints, and in pools of up to
/// eight endpoints with unequal weights.
///
/// While the endpoints are idle, each gets requests in proportion to its weight. Under load, the number of requests in
/// flight at each endpoint is in proportion to its weight. An endpoint that hangs gets few requests, whatever its
/// weight. An endpoint that fails fast looks idle, so a failing endpoint gets at most [its share of the picks by
/// weight](crate::Needs::caps_failing). To send it fewer requests, use [`PeakEwma`](crate::PeakEwma) or outlier
/// detection.
///
/// Building a picker takes O(n) time for n endpoints. A pick takes time proportional to the number of
/// [choices](Self::with_choices). Sources: Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001;
/// for the weights, Efraimidis and Spirakis, *Weighted Random Sampling with a Reservoir*, 2006.
///
/// ```
/// use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool};
///
/// let pool = Pool::new(P2c::new());
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let first = pool.pick(&PickRequest::new())?;
/// let second = pool.pick(&PickRequest::new())?;
/// assert_ne!(first.endpoint().id(), second.endpoint().id()); // the first is still in flight
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct P2c {
    choices: Choices,
}

impl P2c {
    /// Creates a strategy that compares two endpoints per pick. To compare more, use
    /// [`with_choices`](Self::with_choices).
    pub const fn new() -> Self {
        Self { choices: Choices::TWO }
    }

    /// Creates a strategy that compares `choices` endpoints per pick. Range: 2 to 10.
    ///
    /// Two choices give most of the benefit. With more choices, the load is a little more even, but a pick takes
    /// proportionally longer, and several balancers are more likely to pick the same endpoint at the same time.
    ///
    /// ```
    /// use equipoise_core::P2c;
    ///
    /// assert!(P2c::with_choices(3).is_ok());
    /// assert!(P2c::with_choices(1).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidChoices`] if `choices` is not in the range from 2 to 10.
    pub const fn with_choices(choices: usize) -> Result<Self, InvalidChoices> {
        match Choices::new(choices) {
            Ok(choices) => Ok(Self { choices }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Returns the number of endpoints that a pick compares, from 2 to 10.
    pub const fn choices(&self) -> usize {
        self.choices.get()
    }
}

impl Strategy for P2c {
    type State = ();
    type Picker = P2cPicker;

    fn state(&self, _: &EndpointSpec) {}

    fn needs(&self) -> Needs {
        Needs::new().caps_failing()
    }

    fn build(&self, view: &View, _last: Option<&P2cPicker>) -> Result<P2cPicker, BuildError> {
        Ok(P2cPicker(Contest::with_choices(view, self.choices.get())))
    }
}

/// The picker of [`P2c`], which picks the endpoint of each request.
pub struct P2cPicker(Contest);

impl Picker for P2cPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.0.pick(cx, &InFlightOnly)
    }
}

struct InFlightOnly;

impl Gauge for InFlightOnly {
    #[inline]
    fn read(&self, _slot: Slot, _now: Timestamp) -> Cost {
        Cost::UNIT
    }
}

/// The eligible endpoints of a view, prepared for comparisons. Building it takes O(n) time for n endpoints, and a pick
/// O(1).
pub(crate) struct Contest {
    slots: Box<[Slot]>,
    /// The race between endpoints of unequal weights. `None` if all weights are equal.
    race: Option<Race>,
    /// The number of endpoints that are drawn, from 2 to [`MAX_CHOICES`].
    choices: usize,
}

impl Contest {
    /// Creates a contest in which each pick draws two endpoints.
    pub(crate) fn new(view: &View) -> Self {
        Self::with_choices(view, 2)
    }

    /// Creates a contest in which each pick draws `choices` endpoints.
    pub(crate) fn with_choices(view: &View, choices: usize) -> Self {
        Self { slots: view.eligible().into(), race: Race::of(view), choices: choices.clamp(2, MAX_CHOICES) }
    }

    /// Returns the slot of the winner. `None` if no endpoint is usable.
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

    /// Returns the better one of two distinct endpoints that are drawn.
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
        // The score of the second is at least its cost. If all estimates are alike, no endpoint is to be tried.
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

    /// Returns the best endpoint of a pool of three. `drawn` are the positions of two of them.
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

    /// Returns the best one of several distinct endpoints that are drawn.
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

//! The comparison of a few endpoints that P2C, least time and Peak-EWMA share.
//!
//! Three goals: without load, shares follow the weights; under load, requests in flight follow them; and an endpoint that
//! is stuck can always be avoided.
//!
//! - **Equal weights**: two *distinct* endpoints are drawn, and the lower `cost × (in-flight + 1)` wins (the power of two
//!   choices: Mitzenmacher 2001). Of three endpoints all are compared, so that a stuck one has to beat both others.
//! - **Unequal weights**: a *race*. Each contender scores `cost × (in-flight + E) / weight`, where `E` is exponential with
//!   mean 1, and the lowest wins. Without load, the winner of a race of exponentials is distributed exactly as the weights.
//!   Under load, in-flight per weight decides, and a stuck endpoint loses whatever its weight. Comparing
//!   `(in-flight + 1) / weight` instead starves small weights, and `in-flight / weight` floods them. An idle endpoint of
//!   small weight does not count as emptier than the others while its share is a fraction of a request: see [`SLACK`].
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

use super::{Lottery, REDRAWS, below, choices::MOST_CHOICES, distinct::several, exponential::exponential};
use crate::{endpoint::Slot, strategy::PickCx, time::Timestamp, view::View};

/// The largest pool of unequal weights in which all endpoints take part in each race.
const SMALL: usize = 8;
/// In larger pools, an endpoint with more than this share of the weight takes part in each race.
const HEAVY_SHARE: f64 = 1.0 / 8.0;
/// An estimate renewed within this part of the fading time counts as not faded, which saves an exponential per pick.
const FRESH: f64 = 1e-3;
/// The part of a request by which the level exceeds the load of the least loaded contender. Loads below the level count as
/// the level.
///
/// In-flight comes in whole requests: with weights 198:1:1, the small ones mostly hold none however busy the pool is.
/// Without the slack they get six times their share at eight in flight. More slack sheds less load: with weights 2:1, a
/// first endpoint that is fifty times slower gets 12.5 % without, 13.1 % with 0.25 and 15.3 % with 1.0.
const SLACK: f64 = 0.25;
/// The largest number of contenders with two choices: a small pool, or at most seven heavy endpoints and two drawn.
const USUAL_FIELD: usize = SMALL + 2;
/// The largest number of contenders with [`MOST_CHOICES`].
const LARGEST_FIELD: usize = SMALL + MOST_CHOICES;

/// The cost of one request at an endpoint, in any unit.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// The estimate. 0 if nothing was measured yet. Negative if no answer has come yet but a request has waited for one:
    /// the estimate is then at least the absolute value.
    pub(crate) estimate: f64,
    /// The time since the estimate was renewed, in units of the time after which it weighs 1/e. 0 for an endpoint that has
    /// requests in flight.
    pub(crate) idle: f64,
    /// The cost that recent failures add.
    pub(crate) penalty: f64,
}

impl Cost {
    /// The same cost for all endpoints: only requests in flight matter.
    pub(crate) const UNIT: Self = Self { estimate: 1.0, idle: 0.0, penalty: 0.0 };

    /// The cost to compare by, given the lowest estimate among the contenders.
    ///
    /// - An endpoint without a measurement counts as being as good as the lowest, so it is neither starved nor flooded.
    /// - A higher cost that is not renewed fades towards half of the lowest, so that an endpoint is not avoided for ever.
    ///   Lower than that, it would draw a flood before the first answer shows what the endpoint is like now. Not lower than
    ///   the lowest, the last trace of a penalty would keep the endpoint from winning.
    /// - An estimate within the strategy's [noise](Gauge::NOISE) above the lowest counts as the lowest.
    #[inline]
    fn settle(self, lowest: f64, noise: f64) -> f64 {
        // The compiler computes the reciprocal.
        let estimate = (self.estimate.abs() * (1.0 / noise)).max(lowest);
        let cost = if estimate + self.penalty > lowest && self.idle > FRESH {
            let floor = lowest / 2.0;
            floor + (estimate - floor) * (-self.idle).exp()
        } else {
            estimate
        };
        cost + self.penalty
    }
}

/// Reads the cost of an endpoint.
pub(crate) trait Gauge {
    /// The factor below which a difference between estimates does not count.
    const NOISE: f64 = 1.0;

    /// The cost of requests that try slow endpoints, as a part of what all requests take. 0 for no such requests.
    const CURIOSITY: f64 = 0.0;

    /// The cost at an endpoint that has nothing in flight.
    fn read(&self, slot: Slot, now: Timestamp) -> Cost;

    /// Called when this idle endpoint is picked to measure it again, although it would not have won.
    fn on_probation(&self, _slot: Slot) {}
}

/// The eligible endpoints of a view, laid out for comparisons. Build O(n), pick O(1).
pub(crate) struct Contest {
    slots: Box<[Slot]>,
    /// `None` for equal weights.
    weighted: Option<Weighted>,
    /// The number of endpoints drawn, from 2 to [`MOST_CHOICES`].
    choices: usize,
}

struct Weighted {
    /// 1 / weight, by position.
    inverse: Box<[f64]>,
    /// The positions that take part in each race.
    heavy: Box<[u32]>,
    light: Option<Light>,
}

/// The positions from which contenders are drawn.
struct Light {
    positions: Box<[u32]>,
    lottery: Lottery,
    inverse_total: f64,
    inverse_mean: f64,
}

#[derive(Clone, Copy)]
struct Contender {
    slot: Slot,
    in_flight: f64,
    cost: Cost,
    inverse: f64,
}

impl Contender {
    #[inline]
    fn new(slot: Slot, inverse: f64, cost: Cost, cx: &PickCx<'_>) -> Self {
        let in_flight = cx.view().in_flight(slot);
        // What is in flight will renew the estimate. Only without it does time work for the endpoint.
        let idle = if in_flight == 0 { cost.idle } else { 0.0 };
        Self { slot, in_flight: f64::from(in_flight), cost: Cost { idle, ..cost }, inverse }
    }

    /// The cost times the requests in flight, with one more.
    #[inline]
    fn score<G: Gauge>(&self, lowest: f64, _: &G) -> f64 {
        self.cost.settle(lowest, G::NOISE) * (self.in_flight + 1.0)
    }
}

/// The contenders of one race.
struct Field<const MOST: usize> {
    contenders: [Contender; MOST],
    n: usize,
}

impl<const MOST: usize> Default for Field<MOST> {
    fn default() -> Self {
        let none = Contender { slot: Slot(0), in_flight: 0.0, cost: Cost::UNIT, inverse: 0.0 };
        Self { contenders: [none; MOST], n: 0 }
    }
}

impl<const MOST: usize> Field<MOST> {
    fn push(&mut self, contender: Option<Contender>) {
        if let (Some(contender), Some(place)) = (contender, self.contenders.get_mut(self.n)) {
            *place = contender;
            self.n += 1;
        }
    }
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
        Self { slots, weighted: (!equal).then(|| Weighted::new(&weights)), choices: choices.clamp(2, MOST_CHOICES) }
    }

    /// The slot of the winner; `None` if no endpoint is usable.
    #[inline]
    pub(crate) fn pick(&self, cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        match &self.weighted {
            None if self.choices == 2 => self.duel(cx, gauge),
            None => self.melee(cx, gauge),
            Some(weighted) if self.choices == 2 => self.race::<USUAL_FIELD>(weighted, cx, gauge),
            Some(weighted) => self.race::<LARGEST_FIELD>(weighted, cx, gauge),
        }
    }

    #[inline]
    fn contender(&self, at: usize, inverse: f64, cx: &PickCx<'_>, gauge: &impl Gauge) -> Option<Contender> {
        let slot = *self.slots.get(at)?;
        Some(Contender::new(slot, inverse, gauge.read(slot, cx.now()), cx))
    }

    /// The better of two distinct draws.
    #[inline]
    fn duel<G: Gauge>(&self, cx: &mut PickCx<'_>, gauge: &G) -> Option<Slot> {
        let drawn = if cx.is_checked() { self.two_usable(cx) } else { self.two(cx.random()) };
        let slot = *self.slots.get(drawn.0?)?;
        let Some(other_slot) = drawn.1.and_then(|other| self.slots.get(other).copied()) else {
            return Some(least(&[Contender::new(slot, 1.0, gauge.read(slot, cx.now()), cx)], cx, gauge));
        };
        if self.slots.len() == 3 {
            return self.triel(drawn, cx, gauge);
        }
        let (cost, other_cost) = (gauge.read(slot, cx.now()), gauge.read(other_slot, cx.now()));
        let lowest = lowest_of(&[cost, other_cost]);
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

    /// The best of a pool of three, of which two were drawn.
    #[inline(never)]
    fn triel(&self, drawn: (Option<usize>, Option<usize>), cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        let (first, second) = (drawn.0?, drawn.1?);
        let one = self.contender(first, 1.0, cx, gauge)?;
        let other = self.contender(second, 1.0, cx, gauge)?;
        if cx.usable(self.slots[3 - first - second])
            && let Some(third) = self.contender(3 - first - second, 1.0, cx, gauge)
        {
            return Some(least(&[one, other, third], cx, gauge));
        }
        Some(least(&[one, other], cx, gauge))
    }

    /// Two distinct positions, each equally likely. The second is `None` in a pool of one.
    #[inline]
    fn two(&self, bits: u64) -> (Option<usize>, Option<usize>) {
        match self.slots.len() {
            0 => (None, None),
            1 => (Some(0), None),
            n => {
                let one = below(n, bits as u32);
                let other = below(n - 1, (bits >> 32) as u32);
                (Some(one), Some(other + usize::from(other >= one)))
            }
        }
    }

    /// Two distinct usable positions: drawn up to [`REDRAWS`] times, then found by a scan from a random start.
    #[cold]
    fn two_usable(&self, cx: &mut PickCx<'_>) -> (Option<usize>, Option<usize>) {
        let mut found = None;
        for _ in 0..REDRAWS {
            let (one, other) = self.two(cx.random());
            for at in [one, other].into_iter().flatten() {
                if found != Some(at) && cx.usable(self.slots[at]) {
                    match found {
                        None => found = Some(at),
                        Some(_) => return (found, Some(at)),
                    }
                }
            }
        }
        let start = below(self.slots.len(), cx.random() as u32);
        for at in (start..self.slots.len()).chain(0..start) {
            if found != Some(at) && cx.usable(self.slots[at]) {
                match found {
                    None => found = Some(at),
                    Some(_) => return (found, Some(at)),
                }
            }
        }
        (found, None)
    }

    /// The best of several distinct draws.
    #[inline(never)]
    fn melee(&self, cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        let mut field = Field::<MOST_CHOICES>::default();
        several(self.slots.len(), self.choices, cx, |at, cx| {
            if cx.usable(self.slots[at]) {
                field.push(self.contender(at, 1.0, cx, gauge));
            }
            field.n
        });
        if field.n == 0 {
            return None;
        }
        Some(least(&field.contenders[..field.n], cx, gauge))
    }

    // Not inlined, so that the duel stays small: most pools have equal weights.
    #[inline(never)]
    fn race<const MOST: usize>(&self, weighted: &Weighted, cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        let mut field = Field::<MOST>::default();
        if let Some(light) = &weighted.light {
            light.draw(self.choices, cx, |at, cx| {
                self.enter(&mut field, at as usize, weighted, cx, gauge);
                field.n
            });
        }
        let drawn = field.n;
        for &at in &weighted.heavy {
            self.enter(&mut field, at as usize, weighted, cx, gauge);
        }
        if field.n == 0 {
            // All heavy endpoints and all draws were unusable.
            let (one, other) = self.two_usable(cx);
            for at in [one, other].into_iter().flatten() {
                self.enter(&mut field, at, weighted, cx, gauge);
            }
        }
        let field = &field.contenders[..field.n];
        let lowest = lowest_estimate(field);
        let level = field.iter().map(|c| (c.in_flight + SLACK) * c.inverse).fold(f64::INFINITY, f64::min);
        let load = |c: &Contender| (c.in_flight * c.inverse).max(level);
        let (light, heavy) = field.split_at(drawn);
        let mut best = (None, f64::INFINITY);
        if let (Some(group), Some((contender, cost))) = (&weighted.light, better(light, lowest, weighted, cx, gauge)) {
            // The drawn contender stands for its group, so its exponential has the mean of the group.
            let chance = if heavy.is_empty() { 0.0 } else { exponential(cx.random() as u32) * group.inverse_total };
            best = (Some(contender), cost * (load(&contender) + chance));
        }
        for pair in heavy.chunks(2) {
            let bits = cx.random();
            for (&contender, bits) in pair.iter().zip([bits as u32, (bits >> 32) as u32]) {
                let cost = contender.cost.settle(lowest, noise(gauge));
                let score = cost * (load(&contender) + exponential(bits) * contender.inverse);
                cx.score(contender.slot, score);
                if score < best.1 || best.0.is_none() {
                    best = (Some(contender), score);
                }
            }
        }
        let winner = best.0?;
        trial(field, winner, lowest, cx, gauge).or(Some(winner.slot))
    }

    #[inline]
    fn enter<const MOST: usize>(
        &self,
        field: &mut Field<MOST>,
        at: usize,
        weighted: &Weighted,
        cx: &mut PickCx<'_>,
        gauge: &impl Gauge,
    ) {
        if let (Some(&slot), Some(&inverse)) = (self.slots.get(at), weighted.inverse.get(at))
            && cx.usable(slot)
        {
            field.push(self.contender(at, inverse, cx, gauge));
        }
    }
}

impl Weighted {
    fn new(weights: &[u32]) -> Self {
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let (heavy, light): (Vec<u32>, Vec<u32>) = (0..weights.len() as u32)
            .partition(|&at| weights.len() <= SMALL || f64::from(weights[at as usize]) > HEAVY_SHARE * total);
        Self {
            inverse: weights.iter().map(|&weight| 1.0 / f64::from(weight)).collect(),
            heavy: heavy.into(),
            light: (!light.is_empty()).then(|| Light::new(light, weights)),
        }
    }
}

impl Light {
    fn new(positions: Vec<u32>, weights: &[u32]) -> Self {
        let weights: Vec<u32> = positions.iter().map(|&at| weights[at as usize]).collect();
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        Self {
            lottery: Lottery::new(&weights),
            inverse_total: 1.0 / total,
            inverse_mean: weights.len() as f64 / total,
            positions: positions.into(),
        }
    }

    /// Passes weighted draws to `enter` until it returns that `choices` have entered, at most [`REDRAWS`] draws more.
    fn draw(&self, choices: usize, cx: &mut PickCx<'_>, mut enter: impl FnMut(u32, &mut PickCx<'_>) -> usize) {
        for _ in 0..REDRAWS + choices - 2 {
            let at = self.positions[self.lottery.draw(cx.random())];
            if enter(at, cx) == choices {
                break;
            }
        }
    }
}

/// The slot of the lowest score. Of several that tie it is the first, so contenders are passed in random order.
#[inline]
fn least(contenders: &[Contender], cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Slot {
    let lowest = lowest_estimate(contenders);
    let mut best = (contenders[0], f64::INFINITY);
    for &contender in contenders {
        let score = contender.score(lowest, gauge);
        cx.score(contender.slot, score);
        if score < best.1 {
            best = (contender, score);
        }
    }
    trial(contenders, best.0, lowest, cx, gauge).unwrap_or(best.0.slot)
}

/// An idle endpoint to pick instead of the winner, to measure it again. The more contenders, the more rarely each is
/// tried, so that the cost of all together stays the same.
#[inline]
fn trial<G: Gauge>(
    contenders: &[Contender],
    winner: Contender,
    lowest: f64,
    cx: &mut PickCx<'_>,
    gauge: &G,
) -> Option<Slot> {
    let dear = lowest * G::NOISE;
    if G::CURIOSITY == 0.0 || contenders.iter().all(|c| c.cost.estimate.abs() <= dear || c.in_flight > 0.0) {
        return None;
    }
    draw_trial(contenders, winner, lowest, cx, gauge)
}

// Not inlined: rare where no endpoint is slow.
#[inline(never)]
fn draw_trial<G: Gauge>(
    contenders: &[Contender],
    winner: Contender,
    lowest: f64,
    cx: &mut PickCx<'_>,
    gauge: &G,
) -> Option<Slot> {
    let most = winner.score(lowest, gauge);
    let allowed = G::CURIOSITY * most * 2.0 / contenders.len() as f64;
    let tried = contenders.iter().find(|contender| {
        let Cost { estimate, penalty, .. } = contender.cost;
        let estimate = estimate.abs();
        // An endpoint that fails, or has sent `Retry-After`, is not tried until the penalty has faded.
        if contender.in_flight > 0.0 || estimate <= most || penalty > estimate {
            return false;
        }
        let cost = contender.score(lowest, gauge);
        cost > most && cost * unit(cx.random()) < allowed
    })?;
    if !cx.is_explained() {
        gauge.on_probation(tried.slot);
    }
    Some(tried.slot)
}

/// A number from 0 to below 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn noise<G: Gauge>(_: &G) -> f64 {
    G::NOISE
}

/// The best of the drawn contenders, and its settled cost. The draws are weighted already, so a tie goes to the first.
fn better(
    drawn: &[Contender],
    lowest: f64,
    weighted: &Weighted,
    cx: &mut PickCx<'_>,
    gauge: &impl Gauge,
) -> Option<(Contender, f64)> {
    let mean = weighted.light.as_ref().map_or(0.0, |light| light.inverse_mean);
    let mut best: Option<(Contender, f64, f64)> = None;
    for &contender in drawn {
        let cost = contender.cost.settle(lowest, noise(gauge));
        let score = cost * (contender.in_flight * contender.inverse + mean);
        cx.score(contender.slot, score);
        if best.is_none_or(|(_, _, lowest)| score < lowest) {
            best = Some((contender, cost, score));
        }
    }
    best.map(|(contender, cost, _)| (contender, cost))
}

/// The lowest estimate of the contenders: see [`lowest_of`].
#[inline]
fn lowest_estimate(field: &[Contender]) -> f64 {
    lowest(field.iter().map(|contender| contender.cost.estimate))
}

/// The lowest measured estimate; 1 where nothing was measured.
#[inline]
fn lowest_of(costs: &[Cost]) -> f64 {
    lowest(costs.iter().map(|cost| cost.estimate))
}

#[inline]
fn lowest(estimates: impl Iterator<Item = f64>) -> f64 {
    let lowest = estimates.filter(|&estimate| estimate > 0.0).fold(f64::INFINITY, f64::min);
    if lowest.is_finite() { lowest } else { 1.0 }
}

//! The comparison behind P2C, least time and Peak-EWMA.
//!
//! Three demands at once: idle shares follow the weights, in-flight follows them under load, and nobody is forced upon
//! a stuck endpoint.
//!
//! - **Equal weights**: two *distinct* endpoints are drawn, the lower `cost × (in-flight + 1)` wins (the power of two
//!   choices: Mitzenmacher 2001). Of three, all three: a stuck one then has to beat both others.
//! - **Unequal weights**: a *race*. Each contender scores `cost × (in-flight + E) / weight`, with `E` exponential of
//!   mean 1; the lowest wins. Idle, the winner of a race of exponentials is distributed exactly as the weights;
//!   loaded, in-flight per weight decides; and an endpoint that is stuck loses however heavy it is. Comparing
//!   `(in-flight + 1) / weight` instead starves small weights, `in-flight / weight` floods them. An idle small one is
//!   not taken to be emptier than the others when its share is a fraction of a request: see [`SLACK`].
//! - With **more choices** than two, so many distinct endpoints are drawn where weights are equal, and the best of so
//!   many weighted draws enters the race where they are not.
//! - Contenders are all endpoints of a small pool. In a larger one they are those that hold more than an eighth of the
//!   weight each (so at most seven), and the better of two weighted draws among the rest. Two draws with replacement
//!   force (w/W)² of the traffic on an endpoint whatever its state: below an eighth that is next to nothing.
//!
//! An idle endpoint whose estimate keeps it from winning would never be measured again, so now and then it is **tried**:
//! it wins all the same, with a chance of [`CURIOSITY`](Gauge::CURIOSITY) × the winner's cost / its own. Whatever the
//! rate of requests, the number of endpoints and the estimate, trials thus cost a fixed part of what requests take
//! anyway; and where the others are overloaded, so that waiting for the fading of a memory is dear, there are more.

use super::{Lottery, REDRAWS, below, choices::MOST_CHOICES, distinct::several, exponential::exponential};
use crate::{endpoint::Slot, strategy::PickCx, time::Timestamp, view::View};

/// Pools of unequal weights up to this size race all their endpoints.
const SMALL: usize = 8;
/// In larger pools an endpoint of more than this share of the weight is always among the contenders.
const HEAVY_SHARE: f64 = 1.0 / 8.0;
/// An estimate renewed within this part of the fading time has not faded (which saves an exponential per pick).
const FRESH: f64 = 1e-3;
/// Load below the level that the least loaded contender would reach with this much of a request more tells nothing:
/// in-flight comes in whole requests, so of 198:1:1 the small ones mostly hold none however busy the pool is. Without
/// it they get six times their share at eight in flight. More of it sheds less: of 2:1, a first one fifty times slower
/// draws 12.5 % without, 13.1 % with 0.25, 15.3 % with 1.0.
const SLACK: f64 = 0.25;
/// All of a small pool, or at most seven heavy ones, and two drawn.
const USUAL_FIELD: usize = SMALL + 2;
/// The same with as many drawn as may be.
const LARGEST_FIELD: usize = SMALL + MOST_CHOICES;

/// What one request costs at an endpoint, in any unit.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// The estimate; 0 where nothing was measured yet. Below 0, the estimate is at least that far from 0: no answer has
    /// come yet, but a request has waited for one.
    pub(crate) estimate: f64,
    /// For how long the estimate has not been renewed, in units of the time after which it counts for 1/e.
    pub(crate) idle: f64,
    /// What recent failures add.
    pub(crate) penalty: f64,
}

impl Cost {
    /// All endpoints alike: only in-flight counts.
    pub(crate) const UNIT: Self = Self { estimate: 1.0, idle: 0.0, penalty: 0.0 };

    /// The cost to compare by, given the lowest estimate among the contenders.
    ///
    /// - An endpoint without a measurement is taken to be as good as that: neither starved nor flooded.
    /// - A higher cost that is not renewed fades, so that nobody is shunned forever. It fades towards half of the
    ///   lowest: less than that would draw a flood before the first answer shows what the endpoint is like now, and no
    ///   less than the lowest itself would let the last trace of a penalty decide for as long as there is one.
    /// - What lies within the strategy's [noise](Gauge::NOISE) above the lowest counts as the lowest.
    #[inline]
    fn settle(self, lowest: f64, noise: f64) -> f64 {
        // The reciprocal is a constant by the time this runs.
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
    /// Estimates that differ by less than this factor tell nothing.
    const NOISE: f64 = 1.0;

    /// What trials may cost, as a part of what requests take: 0 for none.
    const CURIOSITY: f64 = 0.0;

    fn read(&self, slot: Slot, in_flight: u32, now: Timestamp) -> Cost;

    /// This idle endpoint gets a request to see what it is like by now.
    fn on_probation(&self, _slot: Slot) {}
}

/// The eligible endpoints of a view, laid out for comparisons. Building is O(n), picking O(1).
pub(crate) struct Contest {
    slots: Box<[Slot]>,
    /// `None` for equal weights.
    weighted: Option<Weighted>,
    /// How many are drawn, from 2 to [`MOST_CHOICES`].
    choices: usize,
}

struct Weighted {
    /// 1 / weight, by position.
    inverse: Box<[f64]>,
    /// The positions that take part in every race.
    heavy: Box<[u32]>,
    light: Option<Light>,
}

/// The positions of which two are drawn.
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
    /// Its cost times what it would have in flight.
    #[inline]
    fn score<G: Gauge>(&self, lowest: f64, _: &G) -> f64 {
        self.cost.settle(lowest, G::NOISE) * (self.in_flight + 1.0)
    }
}

/// Who takes part in one race.
struct Field<const MOST: usize> {
    contenders: [Contender; MOST],
    n: usize,
}

impl<const MOST: usize> Default for Field<MOST> {
    fn default() -> Self {
        let nobody = Contender { slot: Slot(0), in_flight: 0.0, cost: Cost::UNIT, inverse: 0.0 };
        Self { contenders: [nobody; MOST], n: 0 }
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
    /// With the best of two draws.
    pub(crate) fn new(view: &View) -> Self {
        Self::with_choices(view, 2)
    }

    /// With the best of `choices` draws.
    pub(crate) fn with_choices(view: &View, choices: usize) -> Self {
        let slots: Box<[Slot]> = view.eligible().into();
        let weights: Vec<u32> = slots.iter().map(|&slot| view.weight(slot)).collect();
        let equal = weights.iter().all(|weight| Some(weight) == weights.first());
        Self { slots, weighted: (!equal).then(|| Weighted::new(&weights)), choices: choices.clamp(2, MOST_CHOICES) }
    }

    /// The slot of the winner, if any endpoint is usable.
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
        let in_flight = cx.view().in_flight(slot);
        Some(Contender { slot, in_flight: f64::from(in_flight), cost: gauge.read(slot, in_flight, cx.now()), inverse })
    }

    #[inline]
    fn duel(&self, cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        let drawn = if cx.is_checked() { self.two_usable(cx) } else { self.two(cx.random()) };
        let one = self.contender(drawn.0?, 1.0, cx, gauge)?;
        let Some(other) = drawn.1.and_then(|other| self.contender(other, 1.0, cx, gauge)) else {
            return Some(least(&[one], cx, gauge));
        };
        if self.slots.len() == 3
            && let (Some(first), Some(second)) = drawn
            && cx.usable(self.slots[3 - first - second])
            && let Some(third) = self.contender(3 - first - second, 1.0, cx, gauge)
        {
            return Some(least(&[one, other, third], cx, gauge));
        }
        let lowest = lowest_estimate(&[one, other]);
        let [a, b] = [one, other].map(|c| c.score(lowest, gauge));
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

    /// Two distinct positions, each equally likely; the second is missing where there is only one.
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

    /// Two distinct usable positions: by drawing again, and where that fails by a scan from a random start.
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

    // Kept out of the way of the duel, which most pools are settled by.
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
            // All heavy ones are unusable and so was every draw.
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
            // The drawn one stands for its whole group, so it draws the group's exponential.
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

    /// Enters weighted draws until `choices` are in (`enter` answers how many), or draw after draw was unusable.
    fn draw(&self, choices: usize, cx: &mut PickCx<'_>, mut enter: impl FnMut(u32, &mut PickCx<'_>) -> usize) {
        for _ in 0..REDRAWS + choices - 2 {
            let at = self.positions[self.lottery.draw(cx.random())];
            if enter(at, cx) == choices {
                break;
            }
        }
    }
}

/// The slot of the least loaded; of several that tie the first, so they are to be given in random order.
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

/// An idle endpoint to be tried instead of the winner. Of many contenders each is tried more rarely, so that together
/// they cost no more.
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

// Kept out of the way of pools where nobody is slow.
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
        // Whoever fails, or asked for a pause, is left alone until that has faded.
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

/// The better of the drawn contenders, and its settled cost. Drawing has already honoured the weights, so a tie goes
/// to the first.
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

/// The lowest estimate there is; 1 where nothing was measured.
#[inline]
fn lowest_estimate(field: &[Contender]) -> f64 {
    let lowest = field
        .iter()
        .map(|contender| contender.cost.estimate)
        .filter(|&estimate| estimate > 0.0)
        .fold(f64::INFINITY, f64::min);
    if lowest.is_finite() { lowest } else { 1.0 }
}

//! The comparison of endpoints with unequal weights: a race. Each endpoint's score contains an exponentially
//! distributed random number, and the lowest score wins.

use super::{
    contender::{Contender, Contenders, Gauge, MAX_CHOICES, REDRAWS, lowest_estimate, trial, two_usable},
    lottery::Lottery,
};
use crate::{endpoint::Slot, entropy::exponential, strategy::PickCx, view::View};

/// The size of the largest pool in which all endpoints take part in each race.
const SMALL: usize = 8;
/// In larger pools, an endpoint with more than this share of the total weight takes part in each race.
const HEAVY_SHARE: f64 = 1.0 / 8.0;
/// A part of a request. The level is the lowest load of the contenders, plus this part of a request. Loads below the
/// level count as the level.
///
/// The slack is needed because the number of requests in flight is a whole number. With weights 198:1:1, the small
/// endpoints mostly have none, however busy the pool is. Without slack and with eight requests in flight, they get six
/// times their share. With more slack, a slow endpoint gets more requests: with weights 2:1 and a first endpoint that
/// is fifty times slower, it gets 12.5 % without slack, 13.1 % with 0.25 and 15.3 % with 1.0.
pub(crate) const SLACK: f64 = 0.25;
/// The maximum number of contenders with two choices: all endpoints of a small pool, or at most seven heavy endpoints
/// and two that are drawn.
const MAX_WITH_TWO_CHOICES: usize = SMALL + 2;
/// The maximum number of contenders with [`MAX_CHOICES`] choices.
pub(crate) const MAX_CONTENDERS: usize = SMALL + MAX_CHOICES;

/// Endpoints with unequal weights, prepared for races.
pub(crate) struct Race {
    /// 1 / weight for each position.
    pub(crate) inverse: Box<[f64]>,
    /// The positions of the endpoints that take part in each race.
    pub(crate) heavy: Box<[u32]>,
    /// The endpoints from which further contenders are drawn. `None` if all endpoints take part in each race.
    pub(crate) light: Option<Light>,
}

/// The endpoints of small weight, from which contenders are drawn.
pub(crate) struct Light {
    positions: Box<[u32]>,
    lottery: Lottery,
    /// 1 / the sum of the weights.
    pub(crate) inverse_total: f64,
    /// 1 / the mean weight.
    pub(crate) inverse_mean: f64,
}

impl Race {
    /// Prepares races between the eligible endpoints of a view. Returns `None` if all weights are equal.
    pub(crate) fn of(view: &View) -> Option<Self> {
        let weights: Vec<u32> = view.eligible().iter().map(|&slot| view.weight(slot)).collect();
        let equal = weights.iter().all(|weight| Some(weight) == weights.first());
        (!equal).then(|| Self::new(&weights))
    }

    /// Prepares races between endpoints with these weights.
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

    /// Returns the slot of the winner among the endpoints in `slots`. `None` if no endpoint is usable.
    #[inline]
    pub(super) fn pick(&self, slots: &[Slot], choices: usize, cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Option<Slot> {
        if choices == 2 {
            self.run::<MAX_WITH_TWO_CHOICES>(slots, choices, cx, gauge)
        } else {
            self.run::<MAX_CONTENDERS>(slots, choices, cx, gauge)
        }
    }

    // Not inlined, so that the code for equal weights stays small. Most pools have equal weights.
    #[inline(never)]
    fn run<const MAX: usize>(
        &self,
        slots: &[Slot],
        choices: usize,
        cx: &mut PickCx<'_>,
        gauge: &impl Gauge,
    ) -> Option<Slot> {
        let mut contenders = Contenders::<MAX>::default();
        let mut enter = |at: usize, cx: &mut PickCx<'_>| {
            if let (Some(&slot), Some(&inverse)) = (slots.get(at), self.inverse.get(at))
                && cx.usable(slot)
            {
                contenders.push(Contender::new(slot, inverse, gauge.read(slot, cx.now()), cx));
            }
            contenders.len()
        };
        let mut drawn = 0;
        if let Some(light) = &self.light {
            light.draw(choices, cx, |at, cx| {
                drawn = enter(at as usize, cx);
                drawn
            });
        }
        let mut count = drawn;
        for &at in &self.heavy {
            count = enter(at as usize, cx);
        }
        if count == 0 {
            // All heavy endpoints and all draws were unusable.
            let (one, other) = two_usable(slots, cx);
            for at in [one, other].into_iter().flatten() {
                enter(at, cx);
            }
        }
        let contenders = contenders.as_slice();
        let lowest = lowest_estimate(contenders);
        let level = contenders.iter().map(|c| (c.in_flight + SLACK) * c.inverse).fold(f64::INFINITY, f64::min);
        let load = |c: &Contender| (c.in_flight * c.inverse).max(level);
        let (light, heavy) = contenders.split_at(drawn);
        let mut best = (None, f64::INFINITY);
        if let Some(group) = &self.light
            && let Some((contender, cost)) = group.better(light, lowest, cx, gauge)
        {
            // The drawn contender represents all light endpoints, so its random number has the mean of them together.
            let chance = if heavy.is_empty() { 0.0 } else { exponential(cx.random() as u32) * group.inverse_total };
            best = (Some(contender), cost * (load(&contender) + chance));
        }
        for pair in heavy.chunks(2) {
            let bits = cx.random();
            for (&contender, bits) in pair.iter().zip([bits as u32, (bits >> 32) as u32]) {
                let cost = contender.settled(lowest, gauge);
                let score = cost * (load(&contender) + exponential(bits) * contender.inverse);
                cx.score(contender.slot, score);
                if score < best.1 || best.0.is_none() {
                    best = (Some(contender), score);
                }
            }
        }
        let winner = best.0?;
        trial(contenders, winner, lowest, cx, gauge).or(Some(winner.slot))
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

    /// Draws positions by weight and passes them to `enter`, until `enter` returns that `choices` of them have been
    /// accepted. Draws at most `choices` + [`REDRAWS`] − 2 times.
    pub(crate) fn draw(
        &self,
        choices: usize,
        cx: &mut PickCx<'_>,
        mut enter: impl FnMut(u32, &mut PickCx<'_>) -> usize,
    ) {
        for _ in 0..REDRAWS + choices - 2 {
            let at = self.positions[self.lottery.draw(cx.random())];
            if enter(at, cx) == choices {
                break;
            }
        }
    }

    /// Returns the best one of the drawn contenders, and its cost for the comparison. If several have the best score,
    /// the first wins. This is fair because they were drawn by weight.
    fn better(
        &self,
        drawn: &[Contender],
        lowest: f64,
        cx: &mut PickCx<'_>,
        gauge: &impl Gauge,
    ) -> Option<(Contender, f64)> {
        let mut best: Option<(Contender, f64, f64)> = None;
        for &contender in drawn {
            let cost = contender.settled(lowest, gauge);
            let score = cost * (contender.in_flight * contender.inverse + self.inverse_mean);
            cx.score(contender.slot, score);
            if best.is_none_or(|(_, _, lowest)| score < lowest) {
                best = Some((contender, cost, score));
            }
        }
        best.map(|(contender, cost, _)| (contender, cost))
    }
}

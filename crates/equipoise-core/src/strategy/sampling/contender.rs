//! The endpoints that are compared in one pick: what a request costs there, their scores, and trials of slow ones.

use crate::{endpoint::Slot, strategy::PickCx, time::Timestamp};

/// An estimate renewed within this part of the fading time counts as not faded, which saves an exponential per pick.
const FRESH: f64 = 1e-3;

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
    pub(super) fn settle(self, lowest: f64, noise: f64) -> f64 {
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

/// Returns the lowest measured estimate; 1 if nothing was measured.
#[inline]
pub(super) fn lowest(estimates: impl Iterator<Item = f64>) -> f64 {
    let lowest = estimates.filter(|&estimate| estimate > 0.0).fold(f64::INFINITY, f64::min);
    if lowest.is_finite() { lowest } else { 1.0 }
}

/// An endpoint that is compared with others in one pick.
#[derive(Clone, Copy)]
pub(super) struct Contender {
    pub(super) slot: Slot,
    /// Its requests in flight.
    pub(super) in_flight: f64,
    pub(super) cost: Cost,
    /// 1 / weight.
    pub(super) inverse: f64,
}

impl Contender {
    #[inline]
    pub(super) fn new(slot: Slot, inverse: f64, cost: Cost, cx: &PickCx<'_>) -> Self {
        let in_flight = cx.view().in_flight(slot);
        // What is in flight will renew the estimate. Only without it does time work for the endpoint.
        let idle = if in_flight == 0 { cost.idle } else { 0.0 };
        Self { slot, in_flight: f64::from(in_flight), cost: Cost { idle, ..cost }, inverse }
    }

    /// Returns the cost to compare by: see [`Cost::settle`].
    #[inline]
    pub(super) fn settled<G: Gauge>(&self, lowest: f64, _: &G) -> f64 {
        self.cost.settle(lowest, G::NOISE)
    }

    /// Returns the cost times the requests in flight, with one more.
    #[inline]
    pub(super) fn score<G: Gauge>(&self, lowest: f64, gauge: &G) -> f64 {
        self.settled(lowest, gauge) * (self.in_flight + 1.0)
    }
}

/// The contenders of one pick, at most `MAX`.
pub(super) struct Contenders<const MAX: usize> {
    contenders: [Contender; MAX],
    len: usize,
}

impl<const MAX: usize> Default for Contenders<MAX> {
    fn default() -> Self {
        let none = Contender { slot: Slot(0), in_flight: 0.0, cost: Cost::UNIT, inverse: 0.0 };
        Self { contenders: [none; MAX], len: 0 }
    }
}

impl<const MAX: usize> Contenders<MAX> {
    pub(super) fn push(&mut self, contender: Contender) {
        if let Some(place) = self.contenders.get_mut(self.len) {
            *place = contender;
            self.len += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_slice(&self) -> &[Contender] {
        &self.contenders[..self.len]
    }
}

/// Returns the slot of the lowest score. Of several that tie it is the first, so contenders are passed in random order.
#[inline]
pub(super) fn least(contenders: &[Contender], cx: &mut PickCx<'_>, gauge: &impl Gauge) -> Slot {
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

/// Returns an idle endpoint to pick instead of the winner, to measure it again. The more contenders, the more rarely each
/// is tried, so that the cost of all together stays the same.
#[inline]
pub(super) fn trial<G: Gauge>(
    contenders: &[Contender],
    winner: Contender,
    lowest: f64,
    cx: &mut PickCx<'_>,
    gauge: &G,
) -> Option<Slot> {
    let alike = lowest * G::NOISE;
    if G::CURIOSITY == 0.0 || contenders.iter().all(|c| c.cost.estimate.abs() <= alike || c.in_flight > 0.0) {
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

/// Returns the lowest measured estimate of the contenders; 1 if nothing was measured.
#[inline]
pub(super) fn lowest_estimate(contenders: &[Contender]) -> f64 {
    lowest(contenders.iter().map(|contender| contender.cost.estimate))
}

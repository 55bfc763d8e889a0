//! The endpoints that are compared in one pick, and which of them is picked.

use super::cost::{Cost, Gauge, lowest};
use crate::{endpoint::Slot, strategy::PickCx};

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

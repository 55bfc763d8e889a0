//! The cost of a request at an endpoint, by which sampling strategies compare endpoints.

use crate::{endpoint::Slot, time::Timestamp};

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

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1};

use super::error::InvalidScenario;

/// Other programs on the machines of the servers, which change the number of cores that a server can use.
///
/// With the given probability a server can use 0.85 to 1.0 times its allocation, otherwise 1.5 to 4 times. Both ranges
/// are uniform, and each server draws anew at random times (Prequal, NSDI 2024, section 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Antagonists {
    probability: f64,
    hold: Duration,
}

impl Antagonists {
    /// Creates antagonists that limit a server to its allocation with this probability, from 0 to 1. A server draws
    /// anew every 10 s on average; [`hold`](Self::hold) changes this.
    pub const fn new(probability: f64) -> Self {
        Self { probability, hold: Duration::from_secs(10) }
    }

    /// Sets the mean time between two draws of a server (exponentially distributed); 10 s by default. Must be above 0.
    #[must_use]
    pub const fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    pub(super) const fn mean_hold(&self) -> Duration {
        self.hold
    }

    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        if !(0.0..=1.0).contains(&self.probability) || self.hold.is_zero() {
            return Err(InvalidScenario::Antagonists { probability: self.probability });
        }
        Ok(())
    }

    /// Draws the cores that a server can use, relative to its allocation.
    pub(crate) fn share(&self, rng: &mut impl Rng) -> f64 {
        if rng.random::<f64>() < self.probability { rng.random_range(0.85..1.0) } else { rng.random_range(1.5..4.0) }
    }

    /// Seconds until the next draw.
    pub(crate) fn next(&self, rng: &mut impl Rng) -> f64 {
        let time: f64 = Exp1.sample(rng);
        time * self.hold.as_secs_f64()
    }
}

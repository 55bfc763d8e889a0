use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1};

use super::error::InvalidScenario;

/// Other programs on the machines of the servers, which change how many cores a server can use. The number of cores
/// that a server is configured with is called its allocation.
///
/// The number of usable cores is drawn anew at random times. With the probability given to [`new`](Self::new), it is
/// 0.85 to 1.0 times the allocation. Otherwise it is 1.5 to 4 times the allocation. Within both ranges, all values are
/// equally likely. This models the testbed of Prequal (NSDI 2024, section 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Antagonists {
    probability: f64,
    hold: Duration,
}

impl Antagonists {
    /// Creates antagonists. `probability` (from 0 to 1) is the probability that a server can use 0.85 to 1.0 times the
    /// cores allocated to it. Otherwise it can use 1.5 to 4 times as many. The usable cores of a server change every 10
    /// s on average. To change this time, call [`hold`](Self::hold).
    pub const fn new(probability: f64) -> Self {
        Self { probability, hold: Duration::from_secs(10) }
    }

    /// Sets the mean time between two changes of the cores that a server can use. The times are exponentially
    /// distributed. Must be above 0. Default: 10 s.
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
            return Err(InvalidScenario::Antagonists { probability: self.probability, hold: self.hold });
        }
        Ok(())
    }

    /// Draws the number of cores that a server can use, relative to its allocation.
    pub(crate) fn share(&self, rng: &mut impl Rng) -> f64 {
        if rng.random::<f64>() < self.probability { rng.random_range(0.85..1.0) } else { rng.random_range(1.5..4.0) }
    }

    /// Draws the time in seconds until the usable cores of a server change.
    pub(crate) fn next(&self, rng: &mut impl Rng) -> f64 {
        let time: f64 = Exp1.sample(rng);
        time * self.hold.as_secs_f64()
    }
}

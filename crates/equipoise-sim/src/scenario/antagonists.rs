use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1};

use super::InvalidScenario;

/// Others on the servers' machines: what a server may use of its machine changes all the time.
///
/// By default it may use up to four times its allocation, as long as nobody else wants it; with the probability given it
/// gets little more or less than the allocation itself (Prequal, NSDI 2024, section 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Antagonists {
    probability: f64,
    hold: Duration,
}

impl Antagonists {
    /// Every 10 s in the mean (exponentially distributed) a server's share is drawn anew: with this probability
    /// allocation · U(0.85, 1.0), else allocation · U(1.5, 4).
    pub const fn new(probability: f64) -> Self {
        Self { probability, hold: Duration::from_secs(10) }
    }

    /// The mean time between two draws.
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

    /// What a server gets next, relative to its allocation.
    pub(crate) fn share(&self, rng: &mut impl Rng) -> f64 {
        if rng.random::<f64>() < self.probability { rng.random_range(0.85..1.0) } else { rng.random_range(1.5..4.0) }
    }

    /// Seconds until the next draw.
    pub(crate) fn next(&self, rng: &mut impl Rng) -> f64 {
        let time: f64 = Exp1.sample(rng);
        time * self.hold.as_secs_f64()
    }
}

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1};

use super::InvalidScenario;

/// When requests come. All are open-loop: whoever waits does not slow the others down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Arrivals {
    /// Independent of each other, at a constant rate.
    #[default]
    Poisson,
    /// As many as with [`Poisson`](Self::Poisson), but each client sends only in bursts.
    Bursts {
        /// How many times the mean rate in a burst; above 1, at most a million. The client sends for one part in `factor`
        /// of the time.
        factor: f64,
        /// How long a burst lasts, in the mean (exponentially distributed, as are the pauses). At least one in a hundred
        /// is to bring its client a request: of shorter ones nothing is left but [`Poisson`](Self::Poisson).
        burst: Duration,
    },
    /// Each client at equal intervals, from a random start.
    Regular,
}

impl Arrivals {
    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        match *self {
            Self::Bursts { factor, burst } if !(factor > 1.0 && factor <= 1e6) || burst.is_zero() => {
                Err(InvalidScenario::Bursts { factor, burst })
            }
            _ => Ok(()),
        }
    }

    /// Whether bursts show, where a client's requests come at this interval in the mean. Those that hardly ever bring one
    /// would be drawn in vain by the million.
    pub(super) fn check_gap(&self, gap: f64) -> Result<(), InvalidScenario> {
        let Self::Bursts { factor, burst } = *self else { return Ok(()) };
        let least = gap / factor / 100.0;
        if burst.as_secs_f64() < least {
            let least = Duration::try_from_secs_f64(least).unwrap_or(Duration::MAX);
            return Err(InvalidScenario::ShortBursts { burst, least });
        }
        Ok(())
    }
}

/// The arrivals at one client.
pub(crate) struct ArrivalSource {
    kind: Arrivals,
    /// Seconds between arrivals, in the mean.
    gap: f64,
    /// Seconds left of the burst.
    burst: f64,
    fresh: bool,
}

impl ArrivalSource {
    pub(crate) fn new(kind: Arrivals, gap: f64) -> Self {
        Self { kind, gap, burst: 0.0, fresh: true }
    }

    /// Seconds until the next.
    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> f64 {
        let fresh = std::mem::take(&mut self.fresh);
        match self.kind {
            Arrivals::Poisson => self.gap * exponential(rng),
            Arrivals::Regular if fresh => self.gap * rng.random::<f64>(),
            Arrivals::Regular => self.gap,
            Arrivals::Bursts { factor, burst } => {
                let burst = burst.as_secs_f64();
                if fresh && rng.random::<f64>() * factor < 1.0 {
                    self.burst = burst * exponential(rng);
                }
                let mut active = self.gap / factor * exponential(rng);
                let mut after = 0.0;
                while active > self.burst {
                    active -= self.burst;
                    after += self.burst + burst * (factor - 1.0) * exponential(rng);
                    self.burst = burst * exponential(rng);
                }
                self.burst -= active;
                after + active
            }
        }
    }
}

fn exponential(rng: &mut impl Rng) -> f64 {
    Exp1.sample(rng)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn every_kind_has_the_rate_that_it_was_given() {
        let bursts = Arrivals::Bursts { factor: 10.0, burst: Duration::from_secs(1) };
        for kind in [Arrivals::Poisson, Arrivals::Regular, bursts] {
            let mut source = ArrivalSource::new(kind, 0.01);
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
            let n = 1_000_000;
            let mean = (0..n).map(|_| source.next(&mut rng)).sum::<f64>() / f64::from(n);
            // A thousand bursts of a hundred times ten: their number varies by 3 %.
            assert!((mean / 0.01 - 1.0).abs() < 0.1, "{kind:?}: {mean}");
        }
    }

    #[test]
    fn bursts_come_faster_than_the_mean_and_leave_pauses() {
        let bursts = Arrivals::Bursts { factor: 10.0, burst: Duration::from_secs(1) };
        let mut source = ArrivalSource::new(bursts, 0.01);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let gaps: Vec<f64> = (0..100_000).map(|_| source.next(&mut rng)).collect();
        let short = gaps.iter().filter(|&&gap| gap < 0.01).count();
        assert!(short > 98_000, "within a burst gaps are a tenth of the mean: {short}");
        assert!(gaps.iter().any(|&gap| gap > 5.0), "between bursts nothing comes for seconds");
    }
}

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1};

use super::error::InvalidScenario;

/// The process by which requests arrive at each client. New requests arrive regardless of how many earlier requests are
/// still open (open-loop arrivals).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Arrivals {
    /// Poisson process: requests arrive independently of each other, at a constant mean rate. This is the default.
    #[default]
    Poisson,
    /// Each client sends requests only in bursts, separated by pauses. The mean rate of a client is the same as
    /// with [`Poisson`](Self::Poisson). Within a burst, requests are a Poisson process.
    Bursts {
        /// Rate of requests within a burst, as a multiple of the mean rate of the client. A client is in a burst for
        /// `1 / factor` of the time. Range: above 1, at most 10⁶.
        factor: f64,
        /// Mean length of a burst. The lengths of bursts and pauses are exponentially distributed.
        ///
        /// The minimum is 1 % of the mean time between two requests of a client, divided by `factor` (how many times
        /// higher the request rate is in a burst). With one request each second and `factor` 10, the minimum is 1 ms.
        /// If bursts were shorter, fewer than one in a hundred would contain a request. With a `burst` below the
        /// minimum, the run fails with an error.
        burst: Duration,
    },
    /// Each client sends requests at equal intervals. Its first request is at a random time within the first interval.
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

    /// Refuses bursts that are so short that nearly all of them contain no request, because drawing them would take
    /// most of the run. `gap` is the mean time in seconds between two requests of a client.
    pub(super) fn check_gap(&self, gap: f64) -> Result<(), InvalidScenario> {
        let Self::Bursts { factor, burst } = *self else { return Ok(()) };
        let min = gap / factor / 100.0;
        if burst.as_secs_f64() < min {
            let min = Duration::try_from_secs_f64(min).unwrap_or(Duration::MAX);
            return Err(InvalidScenario::ShortBursts { burst, min });
        }
        Ok(())
    }
}

/// Draws the times between the requests of one client.
pub(crate) struct ArrivalSource {
    kind: Arrivals,
    /// Mean time between two requests, in seconds.
    gap: f64,
    /// Time in seconds until the current burst ends, not counting pauses.
    burst: f64,
    fresh: bool,
}

impl ArrivalSource {
    pub(crate) fn new(kind: Arrivals, gap: f64) -> Self {
        Self { kind, gap, burst: 0.0, fresh: true }
    }

    /// Draws the time in seconds until the next request.
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
            // With bursts, there are about 1000 bursts of 1000 arrivals each. The number of bursts varies by 3 %.
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

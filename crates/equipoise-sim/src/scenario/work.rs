use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1, StandardNormal};

use super::error::InvalidScenario;

/// The distribution of the work of a request. The work is the time that one core of speed 1.0 needs for the request.
///
/// ```
/// use std::time::Duration;
/// use equipoise_sim::Work;
///
/// let work = Work::exponential(Duration::from_millis(5));
/// assert_eq!(work.mean(), Duration::from_millis(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// The mean work in seconds.
    mean: f64,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant,
    Exponential,
    /// `deviation` is the standard deviation relative to the mean. Both are those of the normal distribution before it
    /// is truncated at zero.
    Normal {
        deviation: f64,
    },
    Pareto {
        alpha: f64,
        spread: f64,
    },
    /// The two sizes relative to the mean, and the share of requests with the second size.
    Bimodal {
        sizes: [f64; 2],
        share: f64,
    },
}

impl Work {
    /// Creates a distribution in which every request has the same work. `work` must be above 0.
    pub const fn constant(work: Duration) -> Self {
        Self { mean: work.as_secs_f64(), shape: Shape::Constant }
    }

    /// Creates an exponential distribution with the mean `mean`, which must be above 0. Most requests have less work
    /// than the mean, and a few have several times as much.
    pub const fn exponential(mean: Duration) -> Self {
        Self { mean: mean.as_secs_f64(), shape: Shape::Exponential }
    }

    /// Creates a normal distribution that is truncated at zero, because work cannot be negative. It is then scaled so
    /// that its mean is `mean`, which must be above 0.
    ///
    /// `deviation` is the standard deviation divided by the mean, both before the truncation. Range: 0 to 10. The
    /// testbed of Prequal (NSDI 2024) uses 1.0.
    pub const fn normal(mean: Duration, deviation: f64) -> Self {
        Self { mean: mean.as_secs_f64(), shape: Shape::Normal { deviation } }
    }

    /// Creates a bounded Pareto distribution with the mean `mean`, which must be above 0. It has a heavy tail: a few
    /// requests have much more work than the mean.
    ///
    /// `alpha` is the exponent. A smaller exponent gives a heavier tail. Range: 0.1 to 100. `spread` is the ratio of
    /// the largest to the smallest possible work. Range: above 1, at most 10¹².
    pub const fn pareto(mean: Duration, alpha: f64, spread: f64) -> Self {
        Self { mean: mean.as_secs_f64(), shape: Shape::Pareto { alpha, spread } }
    }

    /// Creates a distribution of two sizes. A request has the work `large` with the probability `share` (from 0 to 1).
    /// Otherwise it has the work `small`. The mean of the distribution must be above 0.
    pub const fn bimodal(small: Duration, large: Duration, share: f64) -> Self {
        let (small, large) = (small.as_secs_f64(), large.as_secs_f64());
        let mean = small + (large - small) * share;
        Self { mean, shape: Shape::Bimodal { sizes: [small / mean, large / mean], share } }
    }

    /// Returns the mean work of a request.
    pub fn mean(&self) -> Duration {
        Duration::try_from_secs_f64(self.mean).unwrap_or(Duration::MAX)
    }

    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        let refuse = |what| Err(InvalidScenario::Work { what });
        match self.shape {
            Shape::Bimodal { share, .. } if !(0.0..=1.0).contains(&share) => {
                refuse(format!("the share of large requests cannot be {share}: use from 0 to 1"))
            }
            _ if self.mean <= 0.0 => refuse("the mean cannot be 0: use a time above 0".to_owned()),
            Shape::Normal { deviation } if !(0.0..=10.0).contains(&deviation) => {
                refuse(format!("the deviation cannot be {deviation} times the mean: use from 0 to 10"))
            }
            Shape::Pareto { alpha, spread } if !((0.1..=100.0).contains(&alpha) && spread > 1.0 && spread <= 1e12) => {
                refuse(format!(
                    "a Pareto distribution cannot have exponent {alpha} and spread {spread}: use an exponent from 0.1 \
                     to 100, and a spread above 1 and at most 1e12"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Returns a source that draws from the distribution. Constants of the distribution are computed here, once.
    pub(crate) fn source(&self) -> WorkSource {
        let draw = match self.shape {
            Shape::Constant => Draw::Constant,
            Shape::Exponential => Draw::Exponential,
            Shape::Normal { deviation: 0.0 } => Draw::Constant,
            Shape::Normal { deviation } => Draw::Normal { deviation, scale: 1.0 / cut_mean(deviation) },
            Shape::Pareto { alpha, spread } => Draw::Pareto {
                inverse: -1.0 / alpha,
                reach: 1.0 - spread.powf(-alpha),
                scale: 1.0 / pareto_mean(alpha, spread),
            },
            Shape::Bimodal { sizes, share } => Draw::Bimodal { sizes, share },
        };
        WorkSource { mean: self.mean, draw }
    }
}

/// Returns the mean of a normal distribution with mean 1 and standard deviation σ = `deviation` that is truncated at
/// zero: 1 + σ φ(1/σ) / Φ(1/σ).
fn cut_mean(deviation: f64) -> f64 {
    let z = 1.0 / deviation;
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let above = libm::erfc(-z / std::f64::consts::SQRT_2) / 2.0;
    1.0 + deviation * density / above
}

/// Returns the mean of a Pareto distribution that is bounded to the range from 1 to `spread`.
fn pareto_mean(alpha: f64, spread: f64) -> f64 {
    let reach = 1.0 - spread.powf(-alpha);
    if (alpha - 1.0).abs() < 1e-9 {
        return spread.ln() / reach;
    }
    alpha / (alpha - 1.0) * (1.0 - spread.powf(1.0 - alpha)) / reach
}

/// Draws the work of requests from a [`Work`] distribution.
#[derive(Clone, Copy)]
pub(crate) struct WorkSource {
    mean: f64,
    draw: Draw,
}

#[derive(Clone, Copy)]
enum Draw {
    Constant,
    Exponential,
    Normal { deviation: f64, scale: f64 },
    Pareto { inverse: f64, reach: f64, scale: f64 },
    Bimodal { sizes: [f64; 2], share: f64 },
}

impl WorkSource {
    /// Draws the work of a request in seconds.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> f64 {
        let relative = match self.draw {
            Draw::Constant => 1.0,
            Draw::Exponential => Exp1.sample(rng),
            Draw::Normal { deviation, scale } => loop {
                let standard: f64 = StandardNormal.sample(rng);
                let drawn = 1.0 + deviation * standard;
                if drawn >= 0.0 {
                    break drawn * scale;
                }
            },
            Draw::Pareto { inverse, reach, scale } => {
                let unit: f64 = rng.random();
                (1.0 - unit * reach).powf(inverse) * scale
            }
            Draw::Bimodal { sizes: [small, large], share } => {
                if rng.random::<f64>() < share {
                    large
                } else {
                    small
                }
            }
        };
        self.mean * relative
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn every_shape_has_the_mean_that_it_was_given() {
        let mean = Duration::from_millis(80);
        for work in [
            Work::constant(mean),
            Work::exponential(mean),
            Work::normal(mean, 1.0),
            Work::normal(mean, 0.03),
            Work::pareto(mean, 1.5, 1_000.0),
            Work::pareto(mean, 1.0, 100.0),
            Work::bimodal(Duration::from_millis(10), Duration::from_millis(710), 0.1),
        ] {
            let source = work.source();
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
            let n = 1_000_000;
            let drawn = (0..n).map(|_| source.draw(&mut rng)).sum::<f64>() / f64::from(n);
            assert!((drawn / 0.08 - 1.0).abs() < 0.01, "{work:?}: {drawn}");
        }
    }

    #[test]
    fn a_normal_distribution_as_wide_as_its_mean_is_what_prequal_s_testbed_uses() {
        // The mean of a normal distribution N(1, 1) that is cut at zero is 1 + φ(1) / Φ(1) = 1.2876.
        assert!((cut_mean(1.0) - 1.287_6).abs() < 1e-4);
    }
}

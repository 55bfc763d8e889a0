use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, Exp1};

/// How long a message is on its way, in each direction: a fixed time and an exponentially distributed one on top.
///
/// ```
/// use equipoise_sim::Network;
///
/// assert_eq!(Network::default(), Network::none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    least: Duration,
    jitter: Duration,
}

impl Network {
    /// Messages arrive as they are sent.
    pub const fn none() -> Self {
        Self::new(Duration::ZERO, Duration::ZERO)
    }

    /// Within a data centre: 0.1 ms, and 0.05 ms more in the mean.
    pub const fn local() -> Self {
        Self::new(Duration::from_micros(100), Duration::from_micros(50))
    }

    /// `least`, and `jitter` more in the mean.
    pub const fn new(least: Duration, jitter: Duration) -> Self {
        Self { least, jitter }
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::none()
    }

    pub(super) fn longest(&self) -> Duration {
        self.least.max(self.jitter)
    }

    /// Nanoseconds.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> u64 {
        if self.is_none() {
            return 0;
        }
        let jitter: f64 = Exp1.sample(rng);
        (self.least.as_nanos() as u64).saturating_add((jitter * self.jitter.as_nanos() as f64) as u64)
    }
}

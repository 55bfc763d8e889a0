use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, Exp1};

/// The network delay of a message in one direction. It is the sum of a fixed part and an exponentially distributed
/// part. The default is [`none`](Self::none).
///
/// ```
/// use equipoise_sim::Network;
///
/// assert_eq!(Network::default(), Network::none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    min: Duration,
    jitter: Duration,
}

impl Network {
    /// Creates a network without delay.
    pub const fn none() -> Self {
        Self::new(Duration::ZERO, Duration::ZERO)
    }

    /// Creates a network with the delays of a data centre. In each direction, a message takes 0.1 ms plus an
    /// exponentially distributed delay with a mean of 0.05 ms.
    pub const fn local() -> Self {
        Self::new(Duration::from_micros(100), Duration::from_micros(50))
    }

    /// Creates a network in which each message takes the fixed delay `min` plus an exponentially distributed delay with
    /// the mean `jitter`. Requests and responses are delayed in the same way. Both `min` and `jitter` must be at most
    /// 10⁹ s.
    pub const fn new(min: Duration, jitter: Duration) -> Self {
        Self { min, jitter }
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::none()
    }

    pub(super) fn longest(&self) -> Duration {
        self.min.max(self.jitter)
    }

    /// Draws the delay of a message in nanoseconds.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> u64 {
        if self.is_none() {
            return 0;
        }
        let jitter: f64 = Exp1.sample(rng);
        (self.min.as_nanos() as u64).saturating_add((jitter * self.jitter.as_nanos() as f64) as u64)
    }
}

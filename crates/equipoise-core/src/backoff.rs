//! How long a client of a server waits before it connects again.

use std::time::Duration;

/// How long to wait before another attempt to connect, after failures in a row.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// Returns the wait after `failures` failures in a row: zero after none, `min` after the first, then twice as long
    /// after each, up to `max`. `random`, from 0 to 1, shortens it by up to half, so that clients do not all reconnect at
    /// the same time.
    pub fn wait(&self, failures: u32, random: f64) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let whole = self.min.saturating_mul(2_u32.saturating_pow(doublings)).min(self.max);
        whole.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(5) };

    #[test]
    fn the_first_try_is_at_once_and_waits_double_up_to_the_maximum() {
        let waits = [0, 1, 2, 3, 7, 8, 9, u32::MAX].map(|failures| BACKOFF.wait(failures, 0.0).as_millis());
        assert_eq!(waits, [0, 50, 100, 200, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn waits_are_shortened_by_up_to_half() {
        assert_eq!(BACKOFF.wait(1, 1.0), Duration::from_millis(25));
        assert_eq!(BACKOFF.wait(2, 1.0), Duration::from_millis(50));
        assert_eq!(BACKOFF.wait(2, 0.5), Duration::from_millis(75));
    }
}

use std::time::Duration;

/// How long to wait before the next try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row: none at first, then twice as long each time, up to the most. `chance`,
    /// between 0 and 1, takes off up to half, so that balancers that lost the server together do not come back together.
    pub(super) fn wait(&self, failures: u32, chance: f64) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let whole = self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.most);
        whole.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_is_at_once_and_the_rest_wait_twice_as_long_each_up_to_the_most() {
        let backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(5) };
        let waits = [0, 1, 2, 3, 7, 8, 9, u32::MAX].map(|failures| backoff.wait(failures, 0.0).as_millis());
        assert_eq!(waits, [0, 50, 100, 200, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn chance_takes_off_up_to_half() {
        let backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(5) };
        assert_eq!(backoff.wait(2, 1.0), Duration::from_millis(50));
        assert_eq!(backoff.wait(2, 0.5), Duration::from_millis(75));
    }
}

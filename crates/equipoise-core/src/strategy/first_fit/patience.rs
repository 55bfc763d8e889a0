use std::time::Duration;

use crate::{
    sync::{AtomicU64, Ordering},
    time::saturating_nanos,
};

/// The state that [`FirstFit`](super::FirstFit) keeps about an endpoint: its longest recent latency in nanoseconds, or
/// 0 before the first response. Each latency below this value lowers the value by 5 % of the difference.
#[derive(Debug, Default)]
pub struct FirstFitState(AtomicU64);

/// The time after which a request that is given up counts as a failure, if no latency of the endpoint is known.
const UNKNOWN: Duration = Duration::from_secs(1);

/// The shortest time after which a request that is given up counts as a failure. Short latencies vary much.
const SHORTEST: Duration = Duration::from_millis(10);

impl FirstFitState {
    pub(super) fn answered(&self, latency: Duration) {
        let latency = saturating_nanos(latency).max(1);
        let next = |longest: u64| Some(latency.max(longest - longest.saturating_sub(latency) / 20));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Returns whether `waited` is longer than the endpoint usually takes. `waited` is the time after which a request
    /// was given up.
    pub(super) fn is_too_long(&self, waited: Duration) -> bool {
        let most = match self.0.load(Ordering::Relaxed) {
            0 => UNKNOWN,
            longest => Duration::from_nanos(longest.saturating_mul(2)).max(SHORTEST),
        };
        waited >= most
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn twice_the_longest_recent_latency_is_too_long() {
        let (state, millis) = (FirstFitState::default(), Duration::from_millis);
        assert!(!state.is_too_long(millis(999)) && state.is_too_long(millis(1000)), "nothing is known");
        state.answered(millis(30));
        assert!(!state.is_too_long(millis(59)) && state.is_too_long(millis(60)));
        state.answered(millis(10));
        assert!(!state.is_too_long(millis(57)) && state.is_too_long(millis(58)));
        (0..1000).for_each(|_| state.answered(millis(1)));
        assert!(!state.is_too_long(millis(9)) && state.is_too_long(millis(10)));
    }
}

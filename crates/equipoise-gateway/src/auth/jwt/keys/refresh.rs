use std::{sync::Arc, time::Duration};

use equipoise_core::__private::guarded;
use tokio::{task::JoinSet, time::timeout};

use super::{
    fetch::{Fetch, FetchError},
    live::Shared,
    set::KeySet,
};

/// The wait after the first of several failures. It doubles with each further one.
const MIN_RETRY: Duration = Duration::from_secs(1);

/// When keys are read.
pub(super) struct Schedule {
    /// The time until the first attempt.
    pub(super) first: Duration,
    pub(super) interval: Duration,
    /// The maximum time of an attempt.
    pub(super) timeout: Duration,
}

/// Reads the keys each `interval`, and when it is woken up. After a failure, it tries again earlier. Up to a tenth of
/// each wait is left out at random, so that gateways which start together do not stay together. `place` is where the
/// keys are, for the log.
pub(super) async fn keep(shared: Arc<Shared>, mut fetch: Fetch, schedule: Schedule, place: String) {
    let Schedule { first, interval, timeout: limit } = schedule;
    let mut wait = first;
    let mut failures = 0;
    loop {
        let _ = timeout(wait, shared.wake.notified()).await;
        shared.begin();
        let result = attempt(&mut fetch, limit).await;
        wait = match &result {
            Ok(_) => {
                if failures > 0 {
                    tracing::info!(keys = place, "the keys of tokens can be read again");
                }
                failures = 0;
                interval
            }
            Err(error) => {
                tracing::warn!(keys = place, %error, "the keys of tokens cannot be read");
                let retry = MIN_RETRY.saturating_mul(1 << failures.min(16));
                failures += 1;
                retry.min(interval)
            }
        };
        wait = wait.mul_f64(1.0 - 0.1 * rand::random::<f64>());
        shared.end(result, Some(wait));
    }
}

async fn attempt(fetch: &mut Fetch, limit: Duration) -> Result<KeySet, FetchError> {
    let Some(fetching) = guarded(fetch) else { return Err(FetchError::Panicked) };
    // A task of its own, so that a panic ends only this attempt. It is aborted when the set is dropped.
    let mut task = JoinSet::new();
    task.spawn(fetching);
    match timeout(limit, task.join_next()).await {
        Ok(Some(Ok(result))) => result,
        Ok(_) => Err(FetchError::Panicked),
        Err(_) => Err(FetchError::Timeout),
    }
}

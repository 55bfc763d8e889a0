use std::time::Duration;

use equipoise_core::{EndpointId, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Endpoints whose services were not ready within `ready_timeout` for the last request that waited for them.
///
/// Read only by requests whose endpoint's service is not ready.
#[derive(Debug, Default)]
pub(super) struct Unready(Mutex<Vec<(EndpointId, Instant)>>);

impl Unready {
    /// How long requests skip such an endpoint. Then one request waits for it again, so an endpoint that
    /// never gets ready delays one request a second.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Whether a request may wait for the endpoint. The first one that asks after the pause may, and starts the pause
    /// anew.
    pub(super) fn may_wait(&self, endpoint: &EndpointId) -> bool {
        let now = Instant::now();
        match self.0.lock().iter_mut().find(|(id, _)| id == endpoint) {
            Some((_, until)) if *until > now => false,
            Some((_, until)) => {
                *until = now + Self::PAUSE;
                true
            }
            None => true,
        }
    }

    /// A request has waited for the endpoint in vain.
    pub(super) fn timed_out(&self, endpoint: &EndpointId) {
        let now = Instant::now();
        let mut all = self.0.lock();
        // Endpoints that have left the pool or have recovered must not stay for ever.
        all.retain(|(id, until)| id != endpoint && *until + Self::PAUSE > now);
        all.push((endpoint.clone(), now + Self::PAUSE));
    }

    /// A request has waited for the endpoint, and it got ready.
    pub(super) fn got_ready(&self, endpoint: &EndpointId) {
        self.0.lock().retain(|(id, _)| id != endpoint);
    }
}

/// The verdict for an endpoint whose service was not ready.
///
/// `Overloaded` and not a failure: for a tower service, "not ready" means "at capacity". Strategies send such an
/// endpoint less, but outlier detection must not eject endpoints that are busy.
pub(super) fn verdict(waited: bool) -> Verdict {
    if waited { Verdict::Overloaded { retry_after: None } } else { Verdict::Neutral }
}

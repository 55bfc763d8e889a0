//! The data that all requests of a balancer share: the pool, the settings, and the endpoints whose services are not
//! ready.

use std::time::Duration;

use equipoise_core::{EndpointId, Pool, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::observe::Observer;

/// The data that all clones of a balancer and all of its requests share.
pub(super) struct Core<T, P> {
    pub(super) pool: Pool<T>,
    pub(super) settings: Settings<P>,
    pub(super) unready: Unready,
}

/// The settings of a balancer: see the setters of [`Balance`](super::Balance).
#[derive(Clone, Debug)]
pub(super) struct Settings<P> {
    pub(super) protocol: P,
    pub(super) max_attempts: usize,
    pub(super) queue_timeout: Option<Duration>,
    pub(super) ready_timeout: Duration,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) observer: Observer,
}

impl<P> Settings<P> {
    pub(super) fn new(protocol: P) -> Self {
        Self {
            protocol,
            // HAProxy's default: three retries.
            max_attempts: 4,
            queue_timeout: None,
            // A caller with a timeout of 100 ms has time left for a second endpoint.
            ready_timeout: Duration::from_millis(50),
            attempt_timeout: None,
            observer: Observer::default(),
        }
    }
}

/// The endpoints whose services were not ready within `ready_timeout`, each with the time until which other requests do
/// not wait for it.
///
/// Only requests that find the service of their endpoint not ready read this list.
#[derive(Debug, Default)]
pub(super) struct Unready(Mutex<Vec<(EndpointId, Instant)>>);

impl Unready {
    /// How long requests skip an endpoint whose service was not ready. Then one request waits for it again, so an
    /// endpoint that never becomes ready delays one request each second.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Returns whether a request may wait for the endpoint. During the pause, it may not. The first request after the
    /// pause may wait, and starts the next pause.
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

    /// Starts a pause for an endpoint, because its service did not become ready while a request waited for it.
    pub(super) fn timed_out(&self, endpoint: &EndpointId) {
        let now = Instant::now();
        let mut all = self.0.lock();
        // Removes old entries, whose endpoints have left the pool or have recovered.
        all.retain(|(id, until)| id != endpoint && *until + Self::PAUSE > now);
        all.push((endpoint.clone(), now + Self::PAUSE));
    }

    /// Ends the pause of an endpoint, because its service became ready while a request waited for it.
    pub(super) fn got_ready(&self, endpoint: &EndpointId) {
        self.0.lock().retain(|(id, _)| id != endpoint);
    }
}

/// Returns the verdict for an endpoint whose service was not ready. `waited` says whether a request has waited for it.
///
/// The verdict is `Overloaded` and not a failure, because a tower service that is not ready is at capacity. Strategies
/// send such an endpoint less, but outlier detection must not eject endpoints that are only busy.
pub(super) fn verdict(waited: bool) -> Verdict {
    if waited { Verdict::Overloaded { retry_after: None } } else { Verdict::Neutral }
}

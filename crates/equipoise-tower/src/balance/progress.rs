use std::time::Duration;

use equipoise_core::{EndpointId, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::attempt::{Attempt, NestedRetries};

/// How far one request has come: its attempts so far and those it may still make.
pub(super) struct Progress {
    /// Endpoints that must not be picked: those that the request's placement excludes, and those that have failed it.
    pub(super) excluded: Vec<EndpointId>,
    /// Attempts begun so far.
    pub(super) attempts: usize,
    tries: usize,
    /// Attempts given up at once because the endpoint was known not to be ready. They are no attempts.
    skipped: usize,
    /// The retries that are left to balancers below one that retries, where this balancer is such a one.
    above: Option<NestedRetries>,
    /// The same for balancers below this one.
    below: Option<NestedRetries>,
}

impl Progress {
    /// Skips after which an endpoint that is known not to be ready is waited for all the same. Each skip makes the list
    /// of excluded endpoints longer, which every pick compares with.
    const MAX_SKIPS: usize = 16;

    pub(super) fn new(tries: usize, excluded: Vec<EndpointId>, outer: Option<&Attempt>) -> Self {
        let above = outer.and_then(|attempt| attempt.retries.clone());
        let below = above.clone().or_else(|| (tries > 1).then(NestedRetries::default));
        Self { excluded, attempts: 0, tries, skipped: 0, above, below }
    }

    /// Begins an attempt at this endpoint.
    pub(super) fn begin(&mut self, endpoint: &EndpointId) -> Attempt {
        self.attempts += 1;
        self.attempt(endpoint)
    }

    /// The present attempt.
    pub(super) fn attempt(&self, endpoint: &EndpointId) -> Attempt {
        Attempt { number: self.attempts, endpoint: endpoint.clone(), retries: self.below.clone() }
    }

    /// Whether another attempt is allowed.
    pub(super) fn may_retry(&self) -> bool {
        self.attempts < self.tries && self.above.as_ref().is_none_or(|retries| retries.any_left(self.tries))
    }

    /// Takes the permission for another attempt; false if there is none.
    pub(super) fn take_retry(&self) -> bool {
        self.attempts < self.tries && self.above.as_ref().is_none_or(|retries| retries.take(self.tries))
    }

    pub(super) fn may_skip(&self) -> bool {
        self.skipped < Self::MAX_SKIPS
    }

    /// The present attempt turned out to be none.
    pub(super) fn skip(&mut self) {
        self.skipped += 1;
        self.attempts = self.attempts.saturating_sub(1);
    }
}

/// Endpoints whose services have lately let a request wait for the whole of `ready_timeout`.
///
/// Only requests that find a service not ready look here.
#[derive(Debug, Default)]
pub(super) struct Unready(Mutex<Vec<(EndpointId, Instant)>>);

impl Unready {
    /// How long requests pass over such an endpoint at once. Then one request waits for it again, so an endpoint that
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

/// What a wait for readiness that came to nothing says of the endpoint.
///
/// `Overloaded` and not a failure: for a tower service, "not ready" means "at capacity". Strategies send such an
/// endpoint less, but outlier detection must not eject endpoints that are busy.
pub(super) fn verdict(waited: bool) -> Verdict {
    if waited { Verdict::Overloaded { retry_after: None } } else { Verdict::Neutral }
}

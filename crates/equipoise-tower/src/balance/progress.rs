use equipoise_core::EndpointId;

use crate::{
    attempt::{Attempt, NestedRetries},
    error::{BoxError, Error, InvalidAddress},
    failure_stage::FailureStage,
};

/// How far one request has come: its attempts so far and those it may still make.
pub(super) struct Progress {
    /// Attempts begun so far.
    pub(super) attempts: usize,
    /// Whether an endpoint may have processed the request in one of the attempts.
    pub(super) maybe_processed: bool,
    max_attempts: usize,
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

    pub(super) fn new(max_attempts: usize, outer: Option<&Attempt>) -> Self {
        let above = outer.and_then(|attempt| attempt.retries.clone());
        let below = above.clone().or_else(|| (max_attempts > 1).then(NestedRetries::default));
        Self { attempts: 0, maybe_processed: false, max_attempts, skipped: 0, above, below }
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

    /// The error of the present attempt, which the endpoint has failed.
    pub(super) fn failed(&self, endpoint: &EndpointId, source: BoxError, stage: FailureStage) -> Error {
        let (attempts, maybe_processed) = (self.attempts, self.maybe_processed);
        Error::Endpoint { endpoint: endpoint.clone(), source, stage, attempts, maybe_processed }
    }

    /// The error of the present attempt, whose endpoint has an address that cannot be used.
    pub(super) fn invalid_address(&self, endpoint: EndpointId, source: InvalidAddress) -> Error {
        Error::Address { endpoint, source, attempts: self.attempts, maybe_processed: self.maybe_processed }
    }

    /// Whether another attempt is allowed.
    pub(super) fn may_retry(&self) -> bool {
        self.attempts < self.max_attempts
            && self.above.as_ref().is_none_or(|retries| retries.any_left(self.max_attempts))
    }

    /// Takes the permission for another attempt; false if there is none.
    pub(super) fn take_retry(&self) -> bool {
        self.attempts < self.max_attempts && self.above.as_ref().is_none_or(|retries| retries.take(self.max_attempts))
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

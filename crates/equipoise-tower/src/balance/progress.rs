use equipoise_core::EndpointId;

use crate::{
    attempt::{Attempt, NestedRetries},
    error::{BoxError, Error, InvalidAddress},
    failure_stage::FailureStage,
};

/// How far one request has come: its attempts so far and those it may still make.
pub(super) struct Progress {
    /// Attempts begun so far, without those that left an endpoint at once because it was known not to be ready.
    pub(super) attempts: usize,
    /// Whether an endpoint may have processed the request in one of the attempts.
    pub(super) maybe_processed: bool,
    max_attempts: usize,
    /// Endpoints left before they got the request, because their services were not ready.
    moves: usize,
    /// Those among them that were waited for. They count in `attempts`, but not against `max_attempts`.
    waited_moves: usize,
    /// The retries that are left to balancers below one that retries, where this balancer is such a one.
    above: Option<NestedRetries>,
    /// The same for balancers below this one.
    below: Option<NestedRetries>,
}

impl Progress {
    /// Moves after which an endpoint that is known not to be ready is waited for all the same. Each move makes the list
    /// of excluded endpoints longer, which every pick compares with.
    const MAX_MOVES: usize = 16;

    pub(super) fn new(max_attempts: usize, outer: Option<&Attempt>) -> Self {
        let above = outer.and_then(|attempt| attempt.retries.clone());
        let below = above.clone().or_else(|| (max_attempts > 1).then(NestedRetries::default));
        Self { attempts: 0, maybe_processed: false, max_attempts, moves: 0, waited_moves: 0, above, below }
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
        self.attempts_left() && self.above.as_ref().is_none_or(|retries| retries.any_left(self.max_attempts))
    }

    /// Takes the permission for another attempt; false if there is none.
    pub(super) fn take_retry(&self) -> bool {
        self.attempts_left() && self.above.as_ref().is_none_or(|retries| retries.take(self.max_attempts))
    }

    fn attempts_left(&self) -> bool {
        self.attempts.saturating_sub(self.waited_moves) < self.max_attempts
    }

    /// Whether the request may leave an endpoint whose service is not ready without a retry.
    pub(super) fn may_move(&self) -> bool {
        self.moves < Self::MAX_MOVES
    }

    /// Takes the permission to leave the endpoint of the present attempt, whose service is not ready; false if there is
    /// none. This is no retry, since the endpoint never got the request; only a request that has waited may use one up,
    /// once it may not move any more. An attempt that did not wait turns out to be none.
    pub(super) fn take_move(&mut self, waited: bool) -> bool {
        if !self.may_move() {
            return waited && self.take_retry();
        }
        self.moves += 1;
        match waited {
            true => self.waited_moves += 1,
            false => self.attempts = self.attempts.saturating_sub(1),
        }
        true
    }
}

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

use super::{AuthFailure, AuthResult};
use crate::Mechanism;

/// What an [`AuthLayer`](super::AuthLayer) has decided since it was created. Each request is counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthStats {
    /// Requests that were passed on with an identity.
    pub allowed: u64,
    /// Requests that were passed on without an identity, because the layer is optional.
    pub anonymous: u64,
    /// Requests that were denied because they had no credentials.
    pub missing: u64,
    /// Requests that were denied because their credentials were not valid.
    pub invalid: u64,
    /// Requests that a scheme has denied with a response of its own, for example because valid credentials do not allow
    /// the request.
    pub denied: u64,
    /// Requests that were denied because the identity did not meet the requirements of the layer.
    pub forbidden: u64,
    /// Requests that were denied with status 503 because a scheme could not decide.
    pub unavailable: u64,
    /// What each scheme has decided, in the order of the schemes. A request is counted at each scheme that was asked.
    pub schemes: Vec<SchemeStats>,
}

/// What one scheme of an [`AuthLayer`](super::AuthLayer) has decided since the layer was created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemeStats {
    /// The mechanism of the scheme.
    pub mechanism: Mechanism,
    /// Requests that it has accepted.
    pub accepted: u64,
    /// Requests without credentials for it.
    pub missing: u64,
    /// Requests with credentials that were not valid.
    pub invalid: u64,
    /// The reasons why credentials were not valid, with the numbers of requests, ordered by reason. Only the first 32
    /// reasons are counted by themselves.
    pub invalid_reasons: Vec<(&'static str, u64)>,
    /// Requests that it has denied with a response of its own.
    pub denied: u64,
    /// Requests that it could not decide.
    pub unavailable: u64,
}

/// The maximum number of reasons that are counted. Each scheme of this crate has less.
const MAX_REASONS: usize = 32;

/// The counters of a layer that are not those of one scheme.
#[derive(Debug, Default)]
pub(super) struct LayerCounters {
    pub(super) allowed: AtomicU64,
    pub(super) anonymous: AtomicU64,
    pub(super) missing: AtomicU64,
    pub(super) invalid: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) forbidden: AtomicU64,
    pub(super) unavailable: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct SchemeCounters {
    accepted: AtomicU64,
    missing: AtomicU64,
    invalid: AtomicU64,
    reasons: Mutex<BTreeMap<&'static str, u64>>,
    denied: AtomicU64,
    unavailable: AtomicU64,
}

impl LayerCounters {
    pub(super) fn count_failure(&self, failure: &AuthFailure) {
        let counter = match failure {
            AuthFailure::Missing => &self.missing,
            AuthFailure::Invalid { .. } => &self.invalid,
            AuthFailure::Denied(_) => &self.denied,
            AuthFailure::Unavailable { .. } => &self.unavailable,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self, schemes: Vec<SchemeStats>) -> AuthStats {
        AuthStats {
            allowed: self.allowed.load(Relaxed),
            anonymous: self.anonymous.load(Relaxed),
            missing: self.missing.load(Relaxed),
            invalid: self.invalid.load(Relaxed),
            denied: self.denied.load(Relaxed),
            forbidden: self.forbidden.load(Relaxed),
            unavailable: self.unavailable.load(Relaxed),
            schemes,
        }
    }
}

impl SchemeCounters {
    pub(super) fn count(&self, result: &AuthResult) {
        let counter = match result {
            Ok(_) => &self.accepted,
            Err(AuthFailure::Missing) => &self.missing,
            Err(AuthFailure::Invalid { reason, .. }) => {
                self.count_reason(reason);
                &self.invalid
            }
            Err(AuthFailure::Denied(_)) => &self.denied,
            Err(AuthFailure::Unavailable { .. }) => &self.unavailable,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn count_reason(&self, reason: &'static str) {
        let mut reasons = self.reasons.lock();
        if reasons.len() < MAX_REASONS {
            reasons.entry(reason).or_default();
        }
        if let Some(count) = reasons.get_mut(reason) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn stats(&self, mechanism: Mechanism) -> SchemeStats {
        SchemeStats {
            mechanism,
            accepted: self.accepted.load(Relaxed),
            missing: self.missing.load(Relaxed),
            invalid: self.invalid.load(Relaxed),
            invalid_reasons: self.reasons.lock().iter().map(|(reason, count)| (*reason, *count)).collect(),
            denied: self.denied.load(Relaxed),
            unavailable: self.unavailable.load(Relaxed),
        }
    }
}

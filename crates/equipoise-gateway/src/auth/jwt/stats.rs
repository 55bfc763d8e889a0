use std::{
    array,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{keys::KeysStats, refusal::Refusal};

/// What a [`Jwt`](super::Jwt) has decided so far, and the state of its keys. Counters never decrease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwtStats {
    /// The number of requests with a valid token that permits the request.
    pub accepted: u64,
    /// The number of requests with a token whose signature was verified for an earlier request already.
    pub remembered: u64,
    /// The number of requests without a token.
    pub missing: u64,
    /// The number of requests with a refused token, by reason. Reasons that did not occur are left out.
    pub refused: BTreeMap<Refusal, u64>,
    /// The number of requests with a token while there were no keys.
    pub unavailable: u64,
    /// The state of the keys.
    pub keys: KeysStats,
}

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) remembered: AtomicU64,
    pub(super) missing: AtomicU64,
    pub(super) unavailable: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            remembered: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            refused: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        let counters = Refusal::ALL.iter().zip(&self.refused);
        for (_, counter) in counters.filter(|(reason, _)| **reason == refusal) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn stats(&self, keys: KeysStats) -> JwtStats {
        let refused = Refusal::ALL.into_iter().zip(&self.refused).map(|(reason, count)| (reason, count.load(Relaxed)));
        JwtStats {
            accepted: self.accepted.load(Relaxed),
            remembered: self.remembered.load(Relaxed),
            missing: self.missing.load(Relaxed),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            unavailable: self.unavailable.load(Relaxed),
            keys,
        }
    }
}

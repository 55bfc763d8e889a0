//! How a request was bound, and how many were.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use equipoise_core::{EndpointId, MissReason};

use crate::{store::StoreError, token::InvalidToken};

/// How a request was bound. A response extension.
///
/// The endpoint that answered is in [`ServedBy`](equipoise_tower::ServedBy).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AffinityOutcome {
    /// The request had no binding, and still has none.
    Unbound(UnboundReason),
    /// The request had no binding, and is now bound to the endpoint that answered.
    New(UnboundReason),
    /// The endpoint that the request is bound to answered.
    Kept,
    /// Another endpoint answered, and the session is now bound to that one.
    Moved {
        /// The endpoint that the session was bound to.
        from: EndpointId,
        /// Why that endpoint did not take the request.
        reason: MissReason,
    },
    /// Another endpoint answered, and the session stays bound to its own. Either its own is only [busy for the
    /// moment](crate::Affinity::max_share), or the response could not change the binding: the backend [names
    /// itself](crate::Mode::route), or the cookie is set in responses to POST only.
    Diverted {
        /// The endpoint that the session is bound to.
        bound_to: EndpointId,
        /// Why that endpoint did not take the request.
        reason: MissReason,
    },
    /// The strategy placed the request by its key ([`Mode::hash`](crate::Mode::hash)).
    Keyed,
}

impl AffinityOutcome {
    /// Returns the outcome as a label for metrics, such as `kept`. Labels are stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unbound(_) => "unbound",
            Self::New(_) => "new",
            Self::Kept => "kept",
            Self::Moved { .. } => "moved",
            Self::Diverted { .. } => "diverted",
            Self::Keyed => "keyed",
        }
    }
}

/// Why a request has no binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnboundReason {
    /// The mode is [`none`](crate::Mode::none), or [`except`](crate::Affinity::except) selects the request.
    Off,
    /// The request has no cookie or key of the session.
    Absent,
    /// The key is too long, or the cookies are too many or too large.
    Oversized,
    /// The key is bound to no endpoint, or the cookie names none.
    Unknown,
    /// The cookie was idle for too long, or is too old.
    Expired,
    /// The cookie's token is invalid.
    Token(InvalidToken),
    /// The session store did not answer.
    StoreUnavailable,
    /// The session store answered something other than a binding.
    StoreMalformed,
}

impl UnboundReason {
    /// The labels of all reasons, by [index](Self::index).
    pub(crate) const LABELS: [&'static str; 13] = [
        "off",
        "absent",
        "oversized",
        "unknown",
        "expired",
        "store_unavailable",
        "store_malformed",
        "malformed",
        "unknown_key",
        "forged",
        "key_expired",
        "stale",
        "unknown_endpoint",
    ];

    pub(crate) const fn index(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Absent => 1,
            Self::Oversized => 2,
            Self::Unknown => 3,
            Self::Expired => 4,
            Self::StoreUnavailable => 5,
            Self::StoreMalformed => 6,
            Self::Token(InvalidToken::Malformed) => 7,
            Self::Token(InvalidToken::UnknownKey { .. }) => 8,
            Self::Token(InvalidToken::Forged) => 9,
            Self::Token(InvalidToken::KeyExpired { .. }) => 10,
            Self::Token(InvalidToken::Stale) => 11,
            Self::Token(InvalidToken::UnknownEndpoint { .. }) => 12,
        }
    }

    /// Returns the reason as a label for metrics, such as `absent`. Labels are stable.
    pub const fn as_str(&self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

impl From<StoreError> for UnboundReason {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::StoreUnavailable,
            StoreError::Malformed { .. } => Self::StoreMalformed,
        }
    }
}

impl fmt::Display for UnboundReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("affinity is off"),
            Self::Absent => f.write_str("it has no session"),
            Self::Oversized => f.write_str("its key is too long, or its cookies are too many or too large"),
            Self::Unknown => f.write_str("its session is bound to no endpoint"),
            Self::Expired => f.write_str("its session has expired"),
            Self::Token(refused) => write!(f, "its token is invalid: {refused}"),
            Self::StoreUnavailable => f.write_str("the session store is unavailable"),
            Self::StoreMalformed => f.write_str("the session store answered something other than a binding"),
        }
    }
}

impl fmt::Display for AffinityOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbound(why) => write!(f, "unbound: {why}"),
            Self::New(why) => write!(f, "newly bound: {why}"),
            Self::Kept => f.write_str("kept"),
            Self::Moved { from, reason } => write!(f, "moved from {from}: {}", describe(*reason)),
            Self::Diverted { bound_to, reason } => write!(f, "diverted from {bound_to}: {}", describe(*reason)),
            Self::Keyed => f.write_str("placed by its key"),
        }
    }
}

/// Balancers exclude the endpoints that have failed a request.
fn describe(reason: MissReason) -> String {
    match reason {
        MissReason::Excluded => "it has failed the request".to_owned(),
        reason => reason.to_string(),
    }
}

/// Counts requests by outcome.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    kept: AtomicU64,
    keyed: AtomicU64,
    new: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    unbound: [AtomicU64; UnboundReason::LABELS.len()],
    moved: [AtomicU64; MissReason::ALL.len()],
    diverted: [AtomicU64; MissReason::ALL.len()],
}

fn one_more(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counts a request that had no binding.
    pub(crate) fn unbound(&self, why: UnboundReason) {
        one_more(self.unbound.get(why.index()));
    }

    /// Counts a request that was refused for want of a binding.
    pub(crate) fn refused(&self) {
        one_more(Some(&self.refused));
    }

    /// Counts a session that was not stored because its source had reached its limit.
    pub(crate) fn limited(&self) {
        one_more(Some(&self.limited));
    }

    /// Counts a request that ended in an error.
    pub(crate) fn failed(&self) {
        one_more(Some(&self.failed));
    }

    /// Counts a request that an endpoint answered.
    pub(crate) fn answered(&self, outcome: &AffinityOutcome) {
        let of = |counters: &'_ [AtomicU64; MissReason::ALL.len()], why| {
            one_more(MissReason::ALL.iter().position(|missed| *missed == why).and_then(|at| counters.get(at)));
        };
        match outcome {
            AffinityOutcome::Unbound(_) => {}
            AffinityOutcome::Kept => one_more(Some(&self.kept)),
            AffinityOutcome::Keyed => one_more(Some(&self.keyed)),
            AffinityOutcome::New(_) => one_more(Some(&self.new)),
            AffinityOutcome::Moved { reason, .. } => of(&self.moved, *reason),
            AffinityOutcome::Diverted { reason, .. } => of(&self.diverted, *reason),
        }
    }

    pub(crate) fn stats(&self) -> AffinityStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let unbound = UnboundReason::LABELS.iter().zip(&self.unbound).map(|(label, counter)| (*label, read(counter)));
        let missed = |counters: &[AtomicU64; MissReason::ALL.len()]| {
            MissReason::ALL
                .iter()
                .zip(counters)
                .map(|(why, counter)| (*why, read(counter)))
                .filter(|(_, n)| *n > 0)
                .collect()
        };
        AffinityStats {
            kept: read(&self.kept),
            keyed: read(&self.keyed),
            new: read(&self.new),
            refused: read(&self.refused),
            limited: read(&self.limited),
            failed: read(&self.failed),
            unbound: unbound.filter(|(_, n)| *n > 0).collect(),
            moved: missed(&self.moved),
            diverted: missed(&self.diverted),
        }
    }
}

/// Numbers of requests by outcome: see [`Affinity::stats`](crate::Affinity::stats). `Display` writes one number per
/// line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AffinityStats {
    /// Requests that were answered by the endpoint they are bound to.
    pub kept: u64,
    /// Requests that the strategy placed by their key ([`Mode::hash`](crate::Mode::hash)).
    pub keyed: u64,
    /// Requests that had no binding and got one.
    pub new: u64,
    /// Requests that were refused because they had no binding ([`Fallback::Refuse`](crate::Fallback::Refuse)).
    pub refused: u64,
    /// Sessions that were not stored because their source had reached its [limit](crate::Affinity::session_limit).
    pub limited: u64,
    /// Requests that ended in an error after they were placed: the endpoint failed, or it could not take the request
    /// and no other was allowed to.
    pub failed: u64,
    /// Requests that came without a binding, by [reason](UnboundReason::as_str). Reasons that have not occurred are
    /// left out.
    pub unbound: Vec<(&'static str, u64)>,
    /// Requests whose session moved to another endpoint, by reason. Reasons that have not occurred are left out.
    pub moved: Vec<(MissReason, u64)>,
    /// Requests that another endpoint answered while the session stayed, by reason. Reasons that have not occurred are
    /// left out.
    pub diverted: Vec<(MissReason, u64)>,
}

impl AffinityStats {
    /// Returns how many requests came without a binding, for any reason.
    pub fn misses(&self) -> u64 {
        self.unbound.iter().map(|(_, n)| n).sum()
    }

    /// Returns how many requests came without a binding for this [reason](UnboundReason::as_str); 0 for an unknown one.
    pub fn unbound_for(&self, reason: &str) -> u64 {
        self.unbound.iter().filter(|(label, _)| *label == reason).map(|(_, n)| n).sum()
    }
}

impl fmt::Display for AffinityStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kept {}\nkeyed {}\nnew {}\nrefused {}\nlimited {}\nfailed {}",
            self.kept, self.keyed, self.new, self.refused, self.limited, self.failed
        )?;
        for (why, n) in &self.unbound {
            write!(f, "\nunbound ({why}) {n}")?;
        }
        for (why, n) in &self.moved {
            write!(f, "\nmoved ({why}) {n}")?;
        }
        for (why, n) in &self.diverted {
            write!(f, "\ndiverted ({why}) {n}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let reasons = [
            UnboundReason::Off,
            UnboundReason::Absent,
            UnboundReason::Oversized,
            UnboundReason::Unknown,
            UnboundReason::Expired,
            UnboundReason::StoreUnavailable,
            UnboundReason::StoreMalformed,
            UnboundReason::Token(InvalidToken::Malformed),
            UnboundReason::Token(InvalidToken::UnknownKey { kid: 1 }),
            UnboundReason::Token(InvalidToken::Forged),
            UnboundReason::Token(InvalidToken::KeyExpired { kid: 1 }),
            UnboundReason::Token(InvalidToken::Stale),
        ];
        let counters = Counters::default();
        for why in reasons {
            counters.unbound(why);
            assert_eq!(counters.stats().unbound_for(why.as_str()), 1, "{why}");
        }
        for reason in MissReason::ALL {
            counters.answered(&AffinityOutcome::Moved { from: "a".into(), reason });
        }
        assert_eq!(counters.stats().moved, MissReason::ALL.map(|why| (why, 1)));
    }
}

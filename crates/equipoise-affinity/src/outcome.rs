//! The outcome of a request with session affinity: whether the endpoint of the session answered. Also counts the
//! requests with each outcome.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use equipoise_core::{EndpointId, MissReason};

use crate::{store::StoreError, token::InvalidToken};

/// The outcome of session affinity for a request: for example, whether the request was answered by the endpoint of its
/// session. A session is bound to the endpoint that is stored for the session. Each response from an endpoint has this
/// value as an extension, except in the mode [`Mode::none`](crate::Mode::none).
///
/// The id of the endpoint that answered is in the extension [`ServedBy`](equipoise_tower::ServedBy).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AffinityOutcome {
    /// When the request arrived, its session was not bound to an endpoint. The session is still not bound. The value is
    /// the reason why the session was not bound when the request arrived.
    Unbound(UnboundReason),
    /// When the request arrived, its session was not bound to an endpoint. The session is now bound to the endpoint
    /// that answered. The value is the reason why the session was not bound before.
    New(UnboundReason),
    /// The endpoint that the session is bound to has answered the request.
    Kept,
    /// The session was bound to an endpoint, but another endpoint answered the request. The session is now bound to the
    /// endpoint that answered.
    Moved {
        /// The id of the endpoint that the session was bound to before.
        from: EndpointId,
        /// Why the endpoint that the session was bound to did not answer the request.
        reason: MissReason,
    },
    /// Another endpoint answered this request, but the session stays bound to its own endpoint. There are two causes:
    ///
    /// - The session's endpoint is only [temporarily](MissReason::is_temporary) unable to serve requests, for example
    ///   because it has reached its limit or its [maximum share](crate::Affinity::max_share).
    /// - The session could not be bound to the endpoint that answered. For example, in
    ///   [`Mode::route`](crate::Mode::route), only a backend can change the endpoint, by setting another session key.
    ///   Another example is a cookie that the balancer sets only in responses to `POST` requests.
    Diverted {
        /// The id of the endpoint that the session is bound to.
        bound_to: EndpointId,
        /// Why the endpoint that the session is bound to did not answer the request.
        reason: MissReason,
    },
    /// The strategy chose the endpoint by the request's session key. This happens only in the mode
    /// [`Mode::hash`](crate::Mode::hash), which stores no endpoints of sessions.
    Keyed,
}

impl AffinityOutcome {
    /// Returns a stable label for metrics and logs: `unbound`, `new`, `kept`, `moved`, `diverted` or `keyed`.
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

/// Why the session of a request is not bound to an endpoint when the request arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnboundReason {
    /// Affinity does not apply to the request: the mode is [`Mode::none`](crate::Mode::none), or the closure of
    /// [`Affinity::except`](crate::Affinity::except) returned `true` for the request.
    Off,
    /// The request does not have the cookie or the session key that identifies its session.
    Absent,
    /// The request exceeds one of these limits:
    ///
    /// - The session key is longer than [`SessionKey::max_len`](crate::key::SessionKey::max_len) or
    ///   [`Learn::max_key_len`](crate::learn::Learn::max_key_len) allows.
    /// - The request has more cookies with the name of the session's cookie than
    ///   [`max_cookies`](crate::cookie::PersistenceCookieBuilder::max_cookies) allows.
    /// - The `Cookie` lines of the request are together longer than
    ///   [`max_bytes`](crate::cookie::PersistenceCookieBuilder::max_bytes) allows.
    Oversized,
    /// The request has a session key or a cookie, but no endpoint is known for it:
    ///
    /// - In the modes [`Mode::table`](crate::Mode::table) and [`Mode::learn`](crate::Mode::learn): the session store
    ///   contains no endpoint for the key.
    /// - In the mode [`Mode::cookie`](crate::Mode::cookie): the cookie does not name an endpoint of the pool.
    /// - In the mode [`Mode::route`](crate::Mode::route): the key does not contain the id of a known endpoint.
    /// - In the mode [`Mode::hash`](crate::Mode::hash): this is the reason for every request with a key, because this
    ///   mode stores no endpoints of sessions.
    Unknown,
    /// The request's cookie is ignored because of a date in it:
    ///
    /// - The last use of the cookie is longer ago than
    ///   [`idle_timeout`](crate::cookie::PersistenceCookieBuilder::idle_timeout).
    /// - The session of the cookie began longer ago than
    ///   [`lifetime`](crate::cookie::PersistenceCookieBuilder::lifetime).
    /// - One of these dates is more than 24 hours in the future.
    Expired,
    /// The token in the request's cookie is invalid. The value says why.
    Token(InvalidToken),
    /// The session store could not be reached, did not answer in time, or panicked.
    StoreUnavailable,
    /// The session store answered with data that does not name an endpoint in the store's format, such as data of
    /// another application.
    StoreMalformed,
}

impl UnboundReason {
    /// The labels of all reasons, at the positions that [`index`](Self::index) returns.
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

    /// Returns a stable label for metrics and logs, such as `absent` or `store_unavailable`. For an invalid token, the
    /// label says why the token is invalid, such as `forged`.
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

/// Describes why the bound endpoint did not get the request. An excluded endpoint has failed the request: this is why
/// balancers exclude endpoints.
fn describe(reason: MissReason) -> String {
    match reason {
        MissReason::Excluded => "it has failed the request".to_owned(),
        reason => reason.to_string(),
    }
}

/// Counters of requests, one for each outcome.
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
    /// Counts a request that had no binding when it arrived.
    pub(crate) fn unbound(&self, why: UnboundReason) {
        one_more(self.unbound.get(why.index()));
    }

    /// Counts a request that affinity refused because it had no binding.
    pub(crate) fn refused(&self) {
        one_more(Some(&self.refused));
    }

    /// Counts a session that was not stored because its source had reached the session limit.
    pub(crate) fn limited(&self) {
        one_more(Some(&self.limited));
    }

    /// Counts a request that ended in an error after it was placed.
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

/// Numbers of requests by outcome, since the [`Affinity`](crate::Affinity) was created. Returned by
/// [`Affinity::stats`](crate::Affinity::stats). `Display` writes one number per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AffinityStats {
    /// Number of requests that were answered by the endpoint that their session is bound to.
    pub kept: u64,
    /// Number of requests for which the strategy chose the endpoint by the request's session key. This happens only in
    /// the mode [`Mode::hash`](crate::Mode::hash).
    pub keyed: u64,
    /// Number of requests by which a session was newly bound. When the request arrived, its session was not bound to an
    /// endpoint. The session was then bound to the endpoint that answered.
    pub new: u64,
    /// Number of requests that were refused because their session was not bound to an endpoint. This happens only if
    /// [`Affinity::missing`](crate::Affinity::missing) is [`OnUnavailable::Refuse`](crate::OnUnavailable::Refuse).
    pub refused: u64,
    /// Number of new sessions that were not stored, because clients with the same source (address or network) had
    /// already started as many sessions as the [session limit](crate::Affinity::session_limit) allows.
    pub limited: u64,
    /// Number of requests that ended in an error of the balancer or of an endpoint. For example, the endpoint failed,
    /// or the session's endpoint could not serve the request and
    /// [`OnUnavailable::Refuse`](crate::OnUnavailable::Refuse) forbids other endpoints. Requests that were refused
    /// because their session was not bound to an endpoint are counted in [`refused`](Self::refused) instead.
    pub failed: u64,
    /// Numbers of requests whose session was not bound to an endpoint when the request arrived, by reason. Each pair
    /// has the label of a reason ([`UnboundReason::as_str`]), and the number of requests with this reason. Reasons that
    /// have not occurred are left out.
    pub unbound: Vec<(&'static str, u64)>,
    /// Numbers of requests whose session moved to another endpoint, by reason. Each pair has a reason why the session's
    /// previous endpoint did not answer the request, and the number of requests with this reason. Reasons that have not
    /// occurred are left out.
    pub moved: Vec<(MissReason, u64)>,
    /// Numbers of diverted requests, by reason. A diverted request was answered by another endpoint than the session's
    /// endpoint, and the session stayed bound to the session's endpoint. Each pair has a reason why the session's
    /// endpoint did not answer the request, and the number of requests with this reason. Reasons that have not occurred
    /// are left out.
    pub diverted: Vec<(MissReason, u64)>,
}

impl AffinityStats {
    /// Returns how many requests belonged to a session that was not bound to an endpoint when the request arrived: the
    /// sum of all numbers in [`unbound`](Self::unbound).
    pub fn misses(&self) -> u64 {
        self.unbound.iter().map(|(_, n)| n).sum()
    }

    /// Returns how many requests belonged to a session that was not bound to an endpoint for one reason. `reason` is a
    /// label of [`UnboundReason::as_str`], such as `absent`. Returns 0 for an unknown label.
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

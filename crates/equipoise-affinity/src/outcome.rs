use std::fmt;

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

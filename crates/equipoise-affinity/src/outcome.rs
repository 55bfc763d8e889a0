use std::fmt;

use equipoise_core::{EndpointId, MissReason};

use crate::{store::StoreError, token::Refused};

/// A response extension: how the request was bound.
///
/// Which endpoint answered is in [`ServedBy`](equipoise_tower::ServedBy).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It had no binding, and has none now.
    Unbound(Unbound),
    /// It had no binding, and now belongs to the endpoint that answered.
    New(Unbound),
    /// The endpoint that it belongs to answered.
    Kept,
    /// Another one answered, and it belongs to that one now.
    Moved {
        /// Where it belonged.
        from: EndpointId,
        /// Why it could not stay there.
        why: MissReason,
    },
    /// Another one answered, and it goes on belonging where it did: that one has
    /// [too much to do](crate::Affinity::until_saturated) for the moment, or nothing on the way back could say otherwise
    /// (as where the backend [names itself](crate::Mode::route), or the cookie is set on POST only).
    Away {
        /// Where it belongs.
        home: EndpointId,
        /// Why it was not answered there.
        why: MissReason,
    },
    /// Its key was given to the strategy, which places by it.
    Keyed,
}

/// Why a request has no binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unbound {
    /// Affinity is off.
    Off,
    /// It brings no cookie, no key.
    Absent,
    /// Its key is too long, or its cookies are too many or too large.
    Oversized,
    /// Nobody has bound its key, or what it names is no endpoint.
    Unknown,
    /// Its cookie has been idle or has lived for too long.
    Expired,
    /// Its token is not to be believed.
    Token(Refused),
    /// The session store could not be asked.
    StoreAway,
    /// The session store answered what is no binding.
    StoreGarbage,
}

impl Unbound {
    /// Every reason as a metric's label, by [index](Self::index).
    pub(crate) const LABELS: [&'static str; 13] = [
        "off",
        "absent",
        "oversized",
        "unknown",
        "expired",
        "store_away",
        "store_garbage",
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
            Self::StoreAway => 5,
            Self::StoreGarbage => 6,
            Self::Token(Refused::Malformed) => 7,
            Self::Token(Refused::UnknownKey { .. }) => 8,
            Self::Token(Refused::Forged) => 9,
            Self::Token(Refused::KeyExpired { .. }) => 10,
            Self::Token(Refused::Stale) => 11,
            Self::Token(Refused::UnknownEndpoint { .. }) => 12,
        }
    }

    /// The reason as a metric's label.
    pub const fn as_str(&self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

impl From<StoreError> for Unbound {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away { .. } => Self::StoreAway,
            StoreError::Garbage { .. } => Self::StoreGarbage,
        }
    }
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("affinity is off"),
            Self::Absent => f.write_str("it brings no session"),
            Self::Oversized => f.write_str("its key is too long, or its cookies are too many or too large"),
            Self::Unknown => f.write_str("nobody has bound its session"),
            Self::Expired => f.write_str("its session has expired"),
            Self::Token(refused) => write!(f, "its token is not believed: {refused}"),
            Self::StoreAway => f.write_str("the session store is away"),
            Self::StoreGarbage => f.write_str("the session store answered what is no binding"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbound(why) => write!(f, "unbound: {why}"),
            Self::New(why) => write!(f, "newly bound: {why}"),
            Self::Kept => f.write_str("kept"),
            Self::Moved { from, why } => write!(f, "moved from {from}: {}", reason(*why)),
            Self::Away { home, why } => write!(f, "away from {home}: {}", reason(*why)),
            Self::Keyed => f.write_str("placed by its key"),
        }
    }
}

/// Balancers exclude whom they have tried.
fn reason(why: MissReason) -> String {
    match why {
        MissReason::Excluded => "it has failed the request".to_owned(),
        why => why.to_string(),
    }
}

use super::Session;

/// Why a token binds to nobody. The request is unbound and goes on; the reason is for a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Not 56 characters of base64, or of another format version: no token of this kind.
    #[error("no token")]
    Malformed,
    /// Signed, so it says, by a key that is not in the ring: dropped since, not yet known here, or another cluster's.
    #[error("the ring has no key {kid}")]
    UnknownKey {
        /// The id of the key.
        kid: u8,
    },
    /// The MAC is wrong: altered, made up, another cookie's or another cluster's.
    #[error("forged, or of another cookie or cluster")]
    Forged,
    /// Authentic, but its key's [`not_after`](super::Key::not_after) has passed.
    #[error("signed by key {kid}, whose time is over")]
    KeyExpired {
        /// The id of the key.
        kid: u8,
    },
    /// Authentic, but unused for longer than the idle time, or the session is older than its life.
    #[error("idle for too long, or too old")]
    Stale,
    /// Authentic and fresh, but its endpoint is not among the [members](super::Tokens::members). The session goes on
    /// elsewhere: a new token for it keeps its number and its age.
    #[error("the endpoint is not in the pool")]
    UnknownEndpoint {
        /// The session.
        session: Session,
    },
}

impl Refused {
    /// The reason as a metric's label: `malformed`, `unknown_key`, `forged`, `key_expired`, `stale` or
    /// `unknown_endpoint`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey { .. } => "unknown_key",
            Self::Forged => "forged",
            Self::KeyExpired { .. } => "key_expired",
            Self::Stale => "stale",
            Self::UnknownEndpoint { .. } => "unknown_endpoint",
        }
    }
}

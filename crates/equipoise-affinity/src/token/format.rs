use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::read::seconds;

pub(super) type Tag = [u8; 8];

const VERSION: u8 = 1;
const BODY: usize = 26;
const MAC: usize = 16;
const LEN: usize = BODY + MAC;
/// 42 bytes are exactly 56 characters, with no bit left over. Each token can therefore be written in one way only.
const TEXT: usize = LEN / 3 * 4;

/// The contents of a token that its MAC protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) kid: u8,
    pub(super) session: TokenSession,
    pub(super) issued_at: u32,
    pub(super) tag: Tag,
}

impl Body {
    pub(super) fn sign(&self, mac: Hmac<Sha256>) -> String {
        let mut bytes = [0; LEN];
        let (body, seal) = bytes.split_at_mut(BODY);
        let fields = [VERSION, self.kid]
            .into_iter()
            .chain(self.session.began.to_be_bytes())
            .chain(self.issued_at.to_be_bytes())
            .chain(self.session.nonce)
            .chain(self.tag);
        body.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let whole = mac.chain_update(&*body).finalize().into_bytes();
        seal.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// A token whose MAC has not been checked.
pub(super) struct Unverified {
    pub(super) kid: u8,
    bytes: [u8; LEN],
}

impl Unverified {
    pub(super) fn read(text: &[u8]) -> Result<Self, InvalidToken> {
        let mut bytes = [0; LEN];
        if text.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(LEN) {
            return Err(InvalidToken::Malformed);
        }
        match bytes {
            [VERSION, kid, ..] => Ok(Self { kid, bytes }),
            _ => Err(InvalidToken::Malformed),
        }
    }

    pub(super) fn verify(self, mac: Hmac<Sha256>) -> Result<Body, InvalidToken> {
        let (body, seal) = self.bytes.split_at(BODY);
        mac.chain_update(body).verify_truncated_left(seal).map_err(|_| InvalidToken::Forged)?;
        let body: &[u8; BODY] = body.first_chunk().ok_or(InvalidToken::Malformed)?;
        let &[_, kid, b0, b1, b2, b3, s0, s1, s2, s3, ref rest @ ..] = body;
        let &[n0, n1, n2, n3, n4, n5, n6, n7, ref tag @ ..] = rest;
        let session =
            TokenSession { nonce: [n0, n1, n2, n3, n4, n5, n6, n7], began: u32::from_be_bytes([b0, b1, b2, b3]) };
        Ok(Body { kid, session, issued_at: u32::from_be_bytes([s0, s1, s2, s3]), tag: *tag })
    }
}

/// The session that a token belongs to. It consists of a random number that identifies the session, and the time when
/// the session began. Both stay the same when the session gets a new token, even if the new token names another
/// endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenSession {
    pub(super) nonce: [u8; 8],
    pub(super) began: u32,
}

impl TokenSession {
    /// Creates a session that begins at `now` and has a new random number.
    pub fn start(now: SystemTime) -> Self {
        Self { nonce: rand::random(), began: token_time(now) }
    }

    /// Returns the session's random number. If all balancers hash this number to choose an endpoint, they all choose
    /// the same endpoint for the session.
    pub fn key(&self) -> &[u8; 8] {
        &self.nonce
    }

    /// Returns the time when the session began. Fractions of a second are dropped.
    pub fn began(&self) -> SystemTime {
        system_time(self.began)
    }
}

/// Returns a time as tokens contain it: in seconds since 1970. Returns the nearest possible value for times before 1970
/// and after 2106.
pub(super) fn token_time(time: SystemTime) -> u32 {
    u32::try_from(seconds(time)).unwrap_or(u32::MAX)
}

/// Returns the time that a token contains as seconds since 1970.
pub(super) fn system_time(seconds: u32) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.into())).unwrap_or(UNIX_EPOCH)
}

/// Why a token is invalid. A request with an invalid token is not bound to an endpoint, so it may be sent to any
/// endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// The cookie's value is not 56 characters of base64, or the token's format version is not 1.
    #[error("not a token")]
    Malformed,
    /// The key ring has no key with the token's key id. The key has been removed, has not been added to this balancer
    /// yet, or belongs to another cluster.
    #[error("the ring has no key {kid}")]
    UnknownKey {
        /// The key id in the token.
        kid: u8,
    },
    /// The token's MAC is wrong. The token was changed or forged, or was issued for another cookie or by another
    /// cluster.
    #[error("forged, or issued for another cookie or cluster")]
    Forged,
    /// The token's MAC is correct, but the [`not_after`](super::TokenKey::not_after) time of its key has passed.
    #[error("signed by key {kid}, which has expired")]
    KeyExpired {
        /// The key id in the token.
        kid: u8,
    },
    /// The token's MAC is correct, but the token is too old: it was issued longer ago than `idle_timeout`, or its
    /// session began longer ago than `lifetime`. Both are arguments of [`Tokens::read`](super::Tokens::read).
    #[error("idle for too long, or too old")]
    Stale,
    /// The token's MAC is correct, but its endpoint is not one of the [members](super::Tokens::members) (the endpoints
    /// that tokens may name). The session can move: pass `session` to [`Tokens::issue`](super::Tokens::issue) with
    /// another endpoint.
    #[error("the endpoint is not in the pool")]
    UnknownEndpoint {
        /// The session of the token.
        session: TokenSession,
    },
}

impl InvalidToken {
    /// Returns the reason as a label for metrics: `malformed`, `unknown_key`, `forged`, `key_expired`, `stale` or
    /// `unknown_endpoint`. Labels are stable.
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

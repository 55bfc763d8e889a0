use std::{fmt, time::SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Minimum length of a secret, in bytes: half of SHA-256's output. Shorter secrets can be guessed.
const SHORTEST: usize = 16;

/// A secret key that signs and checks tokens, with an id from 0 to 255. Each token contains the id of its key.
///
/// ```
/// use equipoise_affinity::token::{TokenKey, KeyError};
///
/// let key = TokenKey::new(1, b"32 bytes from a secret store ....")?;
/// assert_eq!(format!("{key:?}"), "TokenKey { kid: 1, not_after: None, .. }");
/// assert_eq!(TokenKey::new(1, b"hunter2").unwrap_err(), KeyError::TooShort { len: 7 });
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone)]
pub struct TokenKey {
    kid: u8,
    not_after: Option<SystemTime>,
    // The secret as a block of 64 bytes (RFC 2104). A longer secret is hashed first. The rest of the block is zeros.
    secret: [u8; 64],
}

impl TokenKey {
    /// Creates a key with the id `kid` from a secret of random bytes. The secret must have at least 16 bytes; 32 are
    /// recommended. More than 64 bytes do not make the key safer.
    ///
    /// Balancers that read each other's cookies must have the same secrets with the same ids.
    ///
    /// # Errors
    ///
    /// [`KeyError::TooShort`] if the secret has less than 16 bytes.
    pub fn new(kid: u8, secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let bytes = secret.as_ref();
        if bytes.len() < SHORTEST {
            return Err(KeyError::TooShort { len: bytes.len() });
        }
        let hashed;
        let bytes = if bytes.len() > 64 {
            hashed = Sha256::digest(bytes);
            &hashed[..]
        } else {
            bytes
        };
        let mut secret = [0; 64];
        secret.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(Self { kid, not_after: None, secret })
    }

    /// Creates a key with the id `kid` from 32 bytes of a cryptographic random number generator. Use such a key for a
    /// single balancer: no other balancer can read the tokens that the key has signed, and no token is valid after the
    /// process has ended.
    pub fn generate(kid: u8) -> Self {
        let mut secret = [0; 64];
        let random: [u8; 32] = rand::random();
        secret.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        Self { kid, not_after: None, secret }
    }

    /// Sets the time until which the key is valid. After `end`, it signs no tokens, and a token that it has signed is
    /// invalid: [`InvalidToken::KeyExpired`](super::InvalidToken::KeyExpired). Default: no end.
    #[must_use]
    pub fn not_after(mut self, end: SystemTime) -> Self {
        self.not_after = Some(end);
        self
    }

    /// Returns the id of the key, which each token of this key contains.
    pub fn kid(&self) -> u8 {
        self.kid
    }

    pub(super) fn end(&self) -> Option<SystemTime> {
        self.not_after
    }

    /// Computes the key for one purpose (`label`) and one context.
    pub(super) fn derive(&self, label: &str, context: &[u8]) -> Hmac<Sha256> {
        let derived =
            keyed(&self.secret).chain_update(label).chain_update([0]).chain_update(context).finalize().into_bytes();
        let mut block = [0; 64];
        block.iter_mut().zip(derived).for_each(|(to, from)| *to = from);
        keyed(&block)
    }
}

fn keyed(block: &[u8; 64]) -> Hmac<Sha256> {
    Hmac::new(block.into())
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("kid", &self.kid).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The keys for tokens: one key that signs new tokens, and any number of other keys whose tokens are accepted.
///
/// The default is an empty key ring. It signs no token and accepts none, so no session is bound to an endpoint.
///
/// ```
/// use equipoise_affinity::token::{TokenKey, KeyError, KeyRing};
///
/// let (old, new) = (TokenKey::generate(1), TokenKey::generate(2));
/// let rollout = KeyRing::new(old.clone()).accept(new.clone())?;
/// let changed = KeyRing::new(new.clone()).accept(old)?;
/// let retired = KeyRing::new(new);
/// # let _ = (rollout, changed, retired);
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    signing: Option<TokenKey>,
    accepted: Vec<TokenKey>,
}

impl KeyRing {
    /// Creates a key ring with one key. It signs tokens with this key, and accepts tokens that this key has signed.
    pub fn new(signing: TokenKey) -> Self {
        Self { signing: Some(signing), accepted: Vec::new() }
    }

    /// Adds a key that does not sign new tokens. Tokens that were signed with it are accepted. Use this method while
    /// keys are changed: add the next key before it signs, and the previous key after it has signed.
    ///
    /// # Errors
    ///
    /// [`KeyError::DuplicateKid`] if the key ring already has a key with this id.
    pub fn accept(mut self, key: TokenKey) -> Result<Self, KeyError> {
        if self.keys().any(|(known, _)| known.kid == key.kid) {
            return Err(KeyError::DuplicateKid { kid: key.kid });
        }
        self.accepted.push(key);
        Ok(self)
    }

    /// Returns all keys, each with whether it signs.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&TokenKey, bool)> {
        self.signing.iter().map(|key| (key, true)).chain(self.accepted.iter().map(|key| (key, false)))
    }
}

/// Why a [`TokenKey`] or a [`KeyRing`] cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The secret of a key has less than 16 bytes.
    #[error("a secret cannot have {len} bytes: use at least 16 random bytes, better 32")]
    TooShort {
        /// The length of the secret, in bytes.
        len: usize,
    },
    /// Two keys of a key ring have the same id.
    #[error("two keys have the id {kid}: use a different id for each key of a ring")]
    DuplicateKid {
        /// The id that two keys have.
        kid: u8,
    },
}

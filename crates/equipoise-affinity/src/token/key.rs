use std::{fmt, time::SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The shortest secret: half of SHA-256's output, as RFC 2104 §3 has it a secret's strength.
const SHORTEST: usize = 16;

/// A secret that tokens are authenticated with, under a number that they name it by.
///
/// ```
/// use equipoise_affinity::token::{Key, KeyError};
///
/// let key = Key::new(1, b"32 bytes from a secret store ....")?;
/// assert_eq!(format!("{key:?}"), "Key { kid: 1, not_after: None, .. }");
/// assert_eq!(Key::new(1, b"hunter2").unwrap_err(), KeyError::TooShort { len: 7 });
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone)]
pub struct Key {
    kid: u8,
    not_after: Option<SystemTime>,
    // What RFC 2104 makes of a secret: 64 bytes, padded with zeros, hashed before if it is longer.
    secret: [u8; 64],
}

impl Key {
    /// The key `kid`, of at least 16 random bytes; 32 are recommended, more than 64 add nothing. Balancers which share
    /// cookies share keys, `kid` included.
    ///
    /// # Errors
    ///
    /// [`KeyError::TooShort`].
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

    /// 32 bytes from this thread's cryptographic generator: for one balancer whose sessions need not outlive it.
    pub fn generate(kid: u8) -> Self {
        let mut secret = [0; 64];
        let random: [u8; 32] = rand::random();
        secret.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        Self { kid, not_after: None, secret }
    }

    /// The last moment at which this key counts. Default: none.
    #[must_use]
    pub fn not_after(mut self, end: SystemTime) -> Self {
        self.not_after = Some(end);
        self
    }

    /// The number that tokens name this key by.
    pub fn kid(&self) -> u8 {
        self.kid
    }

    pub(super) fn end(&self) -> Option<SystemTime> {
        self.not_after
    }

    /// A key of its own for one purpose and context.
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

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// One key that signs, and those accepted beside it.
///
/// The empty ring (the default) signs nothing and accepts nothing: affinity is off, and requests go where they would
/// have gone without.
///
/// ```
/// use equipoise_affinity::token::{Key, KeyError, KeyRing};
///
/// let (old, new) = (Key::generate(1), Key::generate(2));
/// let rollout = KeyRing::new(old.clone()).accept(new.clone())?;
/// let changed = KeyRing::new(new.clone()).accept(old)?;
/// let retired = KeyRing::new(new);
/// # let _ = (rollout, changed, retired);
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    signing: Option<Key>,
    accepted: Vec<Key>,
}

impl KeyRing {
    /// Signs with `signing`, and accepts what it has signed.
    pub fn new(signing: Key) -> Self {
        Self { signing: Some(signing), accepted: Vec::new() }
    }

    /// Also accepts what `key` has signed: the one before, or the next.
    ///
    /// # Errors
    ///
    /// [`KeyError::DuplicateKid`].
    pub fn accept(mut self, key: Key) -> Result<Self, KeyError> {
        if self.keys().any(|(known, _)| known.kid == key.kid) {
            return Err(KeyError::DuplicateKid { kid: key.kid });
        }
        self.accepted.push(key);
        Ok(self)
    }

    /// All keys, and which of them signs.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&Key, bool)> {
        self.signing.iter().map(|key| (key, true)).chain(self.accepted.iter().map(|key| (key, false)))
    }
}

/// Why a key or a ring is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The secret is shorter than 16 bytes.
    #[error("a secret of {len} bytes can be guessed: give at least 16, better 32, random ones")]
    TooShort {
        /// How long it is, in bytes.
        len: usize,
    },
    /// Two keys of a ring have one id.
    #[error("two keys have the id {kid}: give each key of a ring, and each new key, an id of its own")]
    DuplicateKid {
        /// The id.
        kid: u8,
    },
}

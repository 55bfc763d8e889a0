use super::{
    jwks::{self, IgnoredKey, IgnoredReason, Origin},
    key::{InvalidKey, VerifyingKey},
    pem,
};
use crate::auth::jwt::algorithm::Algorithm;

/// The maximum length of a text with keys in bytes: 256 KiB.
pub(super) const MAX_TEXT: usize = 256 * 1024;
/// The maximum number of keys in a set.
const MAX_KEYS: usize = 256;
/// The maximum number of keys that are tried for one token. It bounds the cost of a token that is not valid.
const MAX_TRIES: usize = 4;

/// Keys that verify signatures of tokens. A set has 1 to 256 keys.
///
/// For a token without a key id, the first 4 keys of its algorithm are tried, so that invalid tokens have a bounded cost.
/// Give ids to keys if there are more.
///
/// ```
/// use equipoise_gateway::auth::jwt::{Algorithm, KeySet, VerifyingKey};
///
/// let secret = VerifyingKey::secret(Algorithm::Hs256, "32 random bytes, or more of them")?.id("2026");
/// let keys = KeySet::new([secret])?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    ignored: Vec<IgnoredKey>,
}

/// Why a text is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeySet {
    /// The text is longer than 256 KiB.
    #[error("a set of keys has at most 256 KiB")]
    TooLong,
    /// There are more than 256 keys.
    #[error("a set has at most 256 keys")]
    TooManyKeys,
    /// The text is no JWK set, and has no PEM block.
    #[error("use a JWK set, which is a JSON object with the array `keys`, or PEM blocks `-----BEGIN PUBLIC KEY-----`")]
    Malformed,
    /// There is no key at all.
    #[error("the set has no key")]
    Empty,
    /// There are keys, and none can be used.
    #[error("the set has no key that can be used: of the first one, {first}")]
    #[non_exhaustive]
    NoUsableKey {
        /// Why the first key cannot be used.
        first: IgnoredReason,
    },
    /// A PEM block is no key. In files of PEM blocks, no block is ignored.
    #[error("PEM block {number}: {error}")]
    #[non_exhaustive]
    Pem {
        /// The number of the block, from 1.
        number: usize,
        /// What is wrong with it.
        error: InvalidKey,
    },
}

impl KeySet {
    /// Creates a set.
    ///
    /// # Errors
    ///
    /// [`InvalidKeySet::Empty`] or [`InvalidKeySet::TooManyKeys`].
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Result<Self, InvalidKeySet> {
        Self::of(keys.into_iter().take(MAX_KEYS + 1).collect(), Vec::new())
    }

    /// Reads a text: a JWK set (RFC 7517, section 5), or PEM blocks.
    ///
    /// Of a JWK set, the keys that cannot be used are [ignored](Self::ignored): those of other kinds, RSA keys below
    /// 2048 bits, keys for encryption, and secrets without `alg`. The other members of keys, such as `x5c`, are not
    /// read. Each PEM block has to be a public key as [`VerifyingKey::pem`] describes. They have no id.
    ///
    /// # Errors
    ///
    /// [`InvalidKeySet`] if the text is something else, or has no key that can be used.
    pub fn read(text: &str) -> Result<Self, InvalidKeySet> {
        Self::read_from(text.as_bytes(), Origin::Private)
    }

    pub(super) fn read_from(bytes: &[u8], origin: Origin) -> Result<Self, InvalidKeySet> {
        if bytes.len() > MAX_TEXT {
            return Err(InvalidKeySet::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidKeySet::Malformed)?;
        if text.trim_start().starts_with('{') {
            let (mut keys, mut ignored) = (Vec::new(), Vec::new());
            for key in jwks::read(text, origin).ok_or(InvalidKeySet::Malformed)? {
                match key {
                    Ok(key) => keys.push(key),
                    Err(key) => ignored.push(key),
                }
                if keys.len() + ignored.len() > MAX_KEYS {
                    return Err(InvalidKeySet::TooManyKeys);
                }
            }
            return Self::of(keys, ignored);
        }
        if origin == Origin::Url {
            return Err(InvalidKeySet::Malformed);
        }
        let mut keys = Vec::new();
        for (index, block) in pem::blocks(text).enumerate() {
            if index >= MAX_KEYS {
                return Err(InvalidKeySet::TooManyKeys);
            }
            let key = VerifyingKey::of_block(&block);
            keys.push(key.map_err(|error| InvalidKeySet::Pem { number: index + 1, error })?);
        }
        if keys.is_empty() { Err(InvalidKeySet::Malformed) } else { Self::of(keys, Vec::new()) }
    }

    fn of(keys: Vec<VerifyingKey>, ignored: Vec<IgnoredKey>) -> Result<Self, InvalidKeySet> {
        match (keys.len(), ignored.first()) {
            (0, None) => Err(InvalidKeySet::Empty),
            (0, Some(key)) => Err(InvalidKeySet::NoUsableKey { first: key.reason.clone() }),
            (number, _) if number > MAX_KEYS => Err(InvalidKeySet::TooManyKeys),
            _ => Ok(Self { keys, ignored }),
        }
    }

    /// Returns the number of keys.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the keys of the document that cannot be used.
    pub fn ignored(&self) -> &[IgnoredKey] {
        &self.ignored
    }

    /// Returns whether a key of the set verifies an algorithm.
    pub fn verifies(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.verifies(algorithm))
    }

    /// Returns the keys to try for a token. With a `kid`, these are the keys with this id, or if there are none, those
    /// without an id. Without a `kid`, all keys. Only keys that verify the algorithm are among them, and at most 4.
    /// O(number of keys).
    pub(in crate::auth::jwt) fn candidates<'k>(
        &'k self,
        algorithm: Algorithm,
        id: Option<&'k str>,
    ) -> impl Iterator<Item = &'k VerifyingKey> {
        let of_algorithm = move || self.keys.iter().filter(move |key| key.verifies(algorithm));
        let has_id = id.is_some_and(|id| of_algorithm().any(|key| key.get_id() == Some(id)));
        let is_candidate = move |key: &&VerifyingKey| match id {
            None => true,
            Some(_) if has_id => key.get_id() == id,
            Some(_) => key.get_id().is_none(),
        };
        of_algorithm().filter(is_candidate).take(MAX_TRIES)
    }
}

impl From<VerifyingKey> for KeySet {
    fn from(key: VerifyingKey) -> Self {
        Self { keys: vec![key], ignored: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(id: Option<&'static str>) -> VerifyingKey {
        let key = VerifyingKey::secret(Algorithm::Hs256, [7; 32]).expect("a key");
        id.into_iter().fold(key, VerifyingKey::id)
    }

    #[test]
    fn tokens_find_keys_by_id_and_algorithm() {
        let other = VerifyingKey::secret(Algorithm::Hs512, [8; 64]).expect("a key").id("a");
        let set = KeySet::new([secret(Some("a")), secret(Some("b")), secret(Some("b")), secret(None), other]);
        let set = set.expect("a set");
        let found = |algorithm, id| set.candidates(algorithm, id).map(VerifyingKey::get_id).collect::<Vec<_>>();
        assert_eq!(found(Algorithm::Hs256, Some("a")), [Some("a")]);
        assert_eq!(found(Algorithm::Hs256, Some("b")), [Some("b"); 2]);
        assert_eq!(found(Algorithm::Hs256, Some("c")), [None]);
        assert_eq!(found(Algorithm::Hs256, None), [Some("a"), Some("b"), Some("b"), None]);
        assert_eq!(found(Algorithm::Hs512, Some("a")), [Some("a")]);
        assert_eq!(found(Algorithm::Hs512, Some("b")), [None; 0]);
        assert_eq!(found(Algorithm::Rs256, Some("a")), [None; 0]);
    }

    #[test]
    fn the_number_of_keys_and_of_tries_is_bounded() {
        let set = KeySet::new(vec![secret(None); MAX_KEYS]).expect("a set");
        assert_eq!(set.candidates(Algorithm::Hs256, None).count(), MAX_TRIES);
        assert_eq!(KeySet::new(vec![secret(None); MAX_KEYS + 1]).map(drop), Err(InvalidKeySet::TooManyKeys));
        assert_eq!(KeySet::new([]).map(drop), Err(InvalidKeySet::Empty));
        assert_eq!(KeySet::read(&" ".repeat(MAX_TEXT + 1)).map(drop), Err(InvalidKeySet::TooLong));
    }

    #[test]
    fn texts_without_usable_keys_are_refused() {
        let read = |text: &str| KeySet::read(text).map(drop);
        for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]", "<html>", "{\"keys\":[]} x"] {
            assert_eq!(read(text), Err(InvalidKeySet::Malformed), "{text}");
        }
        assert_eq!(read(r#"{"keys":[]}"#), Err(InvalidKeySet::Empty));
        let first = IgnoredReason::Member { member: "kty" };
        assert_eq!(read(r#"{"keys":[1,{"kty":"EC"}]}"#), Err(InvalidKeySet::NoUsableKey { first }));
        let label = "PRIVATE KEY".to_owned();
        let error = InvalidKeySet::Pem { number: 1, error: InvalidKey::PemLabel { label } };
        assert_eq!(read("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"), Err(error));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            text in "\\PC{0,40}|-----BEGIN (RSA )?PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{0,200}\n-----END (RSA )?PUBLIC KEY-----",
        ) {
            let _ = KeySet::read(&text);
        }
    }
}

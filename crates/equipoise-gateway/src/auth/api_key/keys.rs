use std::{collections::HashMap, fmt, str::FromStr, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    Identity, Mechanism,
    auth::{
        AuthFailure,
        list::{attribute, decoded, lines},
        time,
    },
};

/// A digest of SHA-256.
type Digest = [u8; 32];

/// The maximum length of an API key, in bytes.
const MAX_KEY: usize = 512;

/// A list of API keys, of which only the SHA-256 hashes are kept.
///
/// It is parsed from text with one key in each line:
///
/// ```text
/// # name:hash[:attribute=value…]
/// reports:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
/// billing:6b3a55e0261b0304143f805a24924d0c1c44524821305f31d9277843b8a10f4e:team=a:scope=read write:expires=2027-01-31
/// old:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918:disabled
/// ```
///
/// - `name` is the name of the [`Identity`]. Several keys can have the same name, so that a key can be replaced by
///   another one without an interruption.
/// - `hash` is the SHA-256 of the key in 64 hexadecimal digits, as `printf %s "$KEY" | sha256sum` prints it.
/// - Attributes become those of the identity. In names and values, a `:` is written as `%3A` and a `%` as `%25`.
/// - `expires` is the time from which the key is not valid any more: a date, which means its first moment in UTC, or
///   seconds since 1970. `disabled` makes the key not valid. Both are known keys: the client gets the same response as
///   with an unknown one, but statistics and logs tell the reason.
/// - Empty lines, and lines that begin with `#`, are ignored.
///
/// A hash without salt protects keys only if they cannot be guessed. Keys should be generated at random with at least
/// 128 bits, as [`generate`](Self::generate) does. For passwords, use Basic authentication.
///
/// Keys are looked up by their hash in a hash table. The time of this tells nothing about other keys: to learn a part
/// of a stored hash does not help to find a key with it.
#[derive(Clone, Default)]
pub struct ApiKeys {
    keys: HashMap<Digest, Entry>,
}

#[derive(Clone)]
struct Entry {
    digest: Digest,
    identity: Identity,
    expires: Option<SystemTime>,
    is_disabled: bool,
}

/// A new API key: the key itself, for the client, and its hash, for the list of the gateway. `Debug` does not show the
/// key.
#[derive(Clone)]
pub struct GeneratedKey {
    /// The key: 43 characters of URL-safe Base64, with 256 bits of randomness.
    pub key: String,
    /// The hash for [`ApiKeys`].
    pub hash: String,
}

/// A line that is not part of a list of API keys. Errors do not contain the line, in which a key may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidApiKeys {
    /// The line has no name, or one that cannot be decoded.
    #[error("line {line}: the name is missing or no text: write `name:hash`, with `%3A` for `:` and `%25` for `%`")]
    Name {
        /// The number of the line, from 1.
        line: usize,
    },
    /// The hash is not one of SHA-256.
    #[error("line {line}: the hash must have 64 hexadecimal digits, as `printf %s \"$KEY\" | sha256sum` prints them")]
    Hash {
        /// The number of the line, from 1.
        line: usize,
    },
    /// Two lines have the same hash.
    #[error("line {line}: the key is in the list already: each client needs its own")]
    Duplicate {
        /// The number of the second line, from 1.
        line: usize,
    },
    /// The time in `expires` cannot be read.
    #[error("line {line}: `expires` must be a date such as 2027-01-31, or seconds since 1970")]
    Expires {
        /// The number of the line, from 1.
        line: usize,
    },
    /// An attribute is not `name=value`.
    #[error("line {line}: an attribute must be `name=value` or `disabled`, with `%3A` for `:` and `%25` for `%`")]
    Attribute {
        /// The number of the line, from 1.
        line: usize,
    },
}

impl ApiKeys {
    /// Generates a key at random.
    #[must_use]
    pub fn generate() -> GeneratedKey {
        let key = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let hash = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
        GeneratedKey { key, hash }
    }

    /// Returns the number of keys, with those that are disabled or have expired.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether the list has no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns whether a key is in the list, also if it is disabled or has expired. O(length of the key).
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        key.len() <= MAX_KEY && self.keys.contains_key(&Digest::from(Sha256::digest(key)))
    }

    /// Returns the identity of a key that is valid at `now`. O(length of the key).
    pub(super) fn find(&self, key: &[u8], now: SystemTime) -> Result<&Identity, AuthFailure> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(AuthFailure::invalid("malformed_key"));
        }
        let digest: Digest = Sha256::digest(key).into();
        match self.keys.get(&digest) {
            Some(entry) if !bool::from(entry.digest.ct_eq(&digest)) => Err(AuthFailure::invalid("unknown_key")),
            None => Err(AuthFailure::invalid("unknown_key")),
            Some(entry) if entry.is_disabled => Err(AuthFailure::invalid("disabled_key")),
            Some(entry) if entry.expires.is_some_and(|expires| expires <= now) => {
                Err(AuthFailure::invalid("expired_key"))
            }
            Some(entry) => Ok(&entry.identity),
        }
    }
}

impl FromStr for ApiKeys {
    type Err = InvalidApiKeys;

    fn from_str(text: &str) -> Result<Self, InvalidApiKeys> {
        let mut keys = HashMap::new();
        for (line, text) in lines(text) {
            let entry = Entry::parse(text, line)?;
            if keys.insert(entry.digest, entry).is_some() {
                return Err(InvalidApiKeys::Duplicate { line });
            }
        }
        Ok(Self { keys })
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedKey").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Entry {
    fn parse(text: &str, line: usize) -> Result<Self, InvalidApiKeys> {
        let mut parts = text.split(':');
        let name = parts.next().filter(|name| !name.is_empty()).ok_or(InvalidApiKeys::Name { line })?;
        let mut entry = Self {
            digest: parts.next().and_then(digest).ok_or(InvalidApiKeys::Hash { line })?,
            identity: Identity::new(decoded(name).ok_or(InvalidApiKeys::Name { line })?, Mechanism::ApiKey),
            expires: None,
            is_disabled: false,
        };
        for part in parts {
            match part.split_once('=') {
                None if part == "disabled" => entry.is_disabled = true,
                Some(("expires", value)) => {
                    entry.expires = Some(time::parse(value).ok_or(InvalidApiKeys::Expires { line })?);
                }
                _ => {
                    let (name, value) = attribute(part).ok_or(InvalidApiKeys::Attribute { line })?;
                    entry.identity = entry.identity.attribute(name, value);
                }
            }
        }
        Ok(entry)
    }
}

/// Parses 64 hexadecimal digits.
fn digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// `printf %s secret | sha256sum`.
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn keys(text: &str) -> Result<ApiKeys, InvalidApiKeys> {
        text.parse()
    }

    fn find(text: &str, key: &str, now: u64) -> Result<Identity, &'static str> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
        match keys(text).expect("keys").find(key.as_bytes(), now) {
            Ok(identity) => Ok(identity.clone()),
            Err(AuthFailure::Invalid { reason, .. }) => Err(reason),
            Err(_) => Err("another failure"),
        }
    }

    #[test]
    fn a_key_has_the_identity_of_its_line() {
        let text =
            format!("# keys\n\n  a:{}\r\nr%3A1:{}:team=b:url=http%3A//c\n", "0".repeat(64), SECRET.to_uppercase());
        let expected = Identity::new("r:1", Mechanism::ApiKey).attribute("team", "b").attribute("url", "http://c");
        assert_eq!(find(&text, "secret", 0), Ok(expected));
        for key in ["Secret", "secret ", "secre"] {
            assert_eq!(find(&text, key, 0), Err("unknown_key"));
        }
        assert_eq!(find(&text, "", 0), Err("malformed_key"));
        assert_eq!(find(&text, &"a".repeat(513), 0), Err("malformed_key"));
        assert_eq!(find("", "secret", 0), Err("unknown_key"));
    }

    #[test]
    fn a_key_is_not_valid_from_the_moment_of_its_expiry() {
        let text = format!("a:{SECRET}:expires=1000");
        assert!(find(&text, "secret", 999).is_ok());
        assert_eq!(find(&text, "secret", 1000), Err("expired_key"));
        assert_eq!(find(&format!("a:{SECRET}:disabled:expires=1000"), "secret", 0), Err("disabled_key"));
    }

    #[test]
    fn lines_that_are_no_keys_are_refused_with_their_number() {
        let refused = |text: &str| keys(text).map(drop);
        let text = |line: &str| format!("# keys\n{line}");
        assert_eq!(refused(&text(&format!(":{SECRET}"))), Err(InvalidApiKeys::Name { line: 2 }));
        for line in ["a", "a:", "a:secret", &format!("a:{SECRET}0"), &format!("a:{}", "g".repeat(64)), "a:é"] {
            assert_eq!(refused(&text(line)), Err(InvalidApiKeys::Hash { line: 2 }), "{line}");
        }
        assert_eq!(refused(&format!("a:{SECRET}\nb:{SECRET}")), Err(InvalidApiKeys::Duplicate { line: 2 }));
        for value in ["", "soon", "2027-02-30"] {
            let line = format!("a:{SECRET}:expires={value}");
            assert_eq!(refused(&text(&line)), Err(InvalidApiKeys::Expires { line: 2 }), "{line}");
        }
        for attribute in ["", "team", "=a", "a=%ff"] {
            let line = format!("a:{SECRET}:{attribute}");
            assert_eq!(refused(&text(&line)), Err(InvalidApiKeys::Attribute { line: 2 }), "{line}");
        }
    }

    #[test]
    fn generated_keys_are_found_by_their_hash_and_not_shown() {
        let generated = ApiKeys::generate();
        assert_eq!(generated.key.len(), 43);
        let text = format!("a:{}", generated.hash);
        assert_eq!(find(&text, &generated.key, 0), Ok(Identity::new("a", Mechanism::ApiKey)));
        assert!(!format!("{generated:?} {:?}", keys(&text)).contains(&generated.key));
        assert_ne!(ApiKeys::generate().key, generated.key);
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "(\\PC|[:=\n%]|[0-9a-f]{64}){0,20}", key: Vec<u8>) {
            if let Ok(keys) = keys(&text) {
                let _ = keys.find(&key, SystemTime::UNIX_EPOCH);
            }
        }
    }
}

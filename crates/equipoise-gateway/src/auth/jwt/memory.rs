use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::keys::KeySet;

/// Tokens whose signatures were verified: their SHA-256 hashes, and the keys with which they were verified.
///
/// A token has one place, which its hash tells. A new token takes the place of an older one. So the memory is bounded,
/// and requests with invalid tokens cannot displace anything: only verified tokens are remembered. Nothing but the
/// signature is taken from here, so a remembered token expires like any other.
pub(super) struct Memory(Box<[Mutex<Option<Verified>>]>);

struct Verified {
    hash: [u8; 32],
    /// Keeps the address of the set from being used again, but not its keys.
    keys: Weak<KeySet>,
}

/// The place of a token.
pub(super) struct Place<'m> {
    slot: &'m Mutex<Option<Verified>>,
    hash: [u8; 32],
}

impl Memory {
    pub(super) fn new(places: usize) -> Self {
        Self((0..places).map(|_| Mutex::new(None)).collect())
    }

    /// `None` if nothing is remembered at all.
    pub(super) fn place(&self, token: &[u8]) -> Option<Place<'_>> {
        if self.0.is_empty() {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let start = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let index = usize::try_from(start % u64::try_from(self.0.len()).ok()?).ok()?;
        Some(Place { slot: self.0.get(index)?, hash })
    }
}

impl Place<'_> {
    /// Returns whether the signature of the token was verified with these keys.
    pub(super) fn is_verified(&self, keys: &Arc<KeySet>) -> bool {
        let slot = self.slot.lock();
        slot.as_ref().is_some_and(|known| known.hash == self.hash && Weak::as_ptr(&known.keys) == Arc::as_ptr(keys))
    }

    pub(super) fn remember(self, keys: &Arc<KeySet>) {
        *self.slot.lock() = Some(Verified { hash: self.hash, keys: Arc::downgrade(keys) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::jwt::{Algorithm, VerifyingKey};

    fn keys() -> Arc<KeySet> {
        Arc::new(VerifyingKey::secret(Algorithm::Hs256, [7; 32]).expect("a key").into())
    }

    #[test]
    fn a_token_is_known_with_the_same_keys_only() {
        let (memory, keys) = (Memory::new(4), keys());
        let place = |token: &'static str| memory.place(token.as_bytes()).expect("a place");
        assert!(!place("a").is_verified(&keys));
        place("a").remember(&keys);
        assert!(place("a").is_verified(&keys));
        assert!(!place("b").is_verified(&keys));
        assert!(!place("a").is_verified(&self::keys()));
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let (memory, keys) = (Memory::new(8), keys());
        let place = |number: i32| memory.place(&number.to_le_bytes()).expect("a place");
        for number in 0..1000 {
            place(number).remember(&keys);
            assert!(place(number).is_verified(&keys));
        }
        let known = (0..1000).filter(|number| place(*number).is_verified(&keys)).count();
        assert_eq!(known, 8);
        assert!(Memory::new(0).place(b"a").is_none());
    }
}

use std::fmt;

use sha2::{Digest, Sha256};

/// Maximum length of a key that is stored unchanged: one byte less than a SHA-256 in hexadecimal digits. So no
/// unchanged key equals the SHA-256 of another key.
const KEPT: usize = 63;

/// The name of a session key in Redis, after the prefix: the key itself, or the SHA-256 of a long key in hexadecimal
/// digits.
///
/// It contains its 64 bytes directly, so that neither the local cache nor a lookup in it allocates.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StoreKey {
    bytes: [u8; KEPT + 1],
    len: u8,
}

impl StoreKey {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut bytes = [0; KEPT + 1];
        if key.len() <= KEPT {
            for (to, from) in bytes.iter_mut().zip(key) {
                *to = *from;
            }
            return Self { bytes, len: u8::try_from(key.len()).unwrap_or_default() };
        }
        for (pair, byte) in bytes.chunks_exact_mut(2).zip(Sha256::digest(key)) {
            for (to, half) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
                *to = if half < 10 { b'0' + half } else { b'a' + half - 10 };
            }
        }
        Self { bytes, len: KEPT as u8 + 1 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// Returns the whole name in Redis. Colons in the key are escaped, so the last colon is the end of the prefix.
    /// Different pairs of prefix and key therefore have different names.
    pub(super) fn under(&self, prefix: &str) -> Vec<u8> {
        let mut name = Vec::with_capacity(prefix.len() + KEPT + 1);
        name.extend_from_slice(prefix.as_bytes());
        for byte in self.as_bytes() {
            match byte {
                b':' => name.extend_from_slice(b"%3A"),
                b'%' => name.extend_from_slice(b"%25"),
                byte => name.push(*byte),
            }
        }
        name
    }
}

impl fmt::Debug for StoreKey {
    /// Does not show the key, which may give access to a session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_key_is_itself_and_a_long_one_its_digest() {
        assert_eq!(StoreKey::new(b"").as_bytes(), b"");
        assert_eq!(StoreKey::new(&[b'x'; 63]).as_bytes(), [b'x'; 63]);
        // FIPS 180-2, appendix B.3: a million times `a`.
        assert_eq!(
            StoreKey::new(&vec![b'a'; 1_000_000]).under("p:"),
            b"p:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }

    #[test]
    fn no_key_passes_for_the_digest_of_another() {
        let digest = StoreKey::new(&[b'a'; 100]);
        assert_ne!(StoreKey::new(digest.as_bytes()), digest);
    }

    #[test]
    fn a_key_under_one_prefix_is_no_key_under_another() {
        let name = |prefix, key: &str| String::from_utf8(StoreKey::new(key.as_bytes()).under(prefix)).unwrap();
        assert_eq!(name("eq:", "k"), "eq:k");
        assert_eq!((name("eq:", "b:k"), name("eq:b:", "k")), ("eq:b%3Ak".to_owned(), "eq:b:k".to_owned()));
        assert_eq!(name("", "a:%3A"), "a%3A%253A");
    }

    proptest! {
        #[test]
        fn different_prefixes_or_keys_make_different_names(one in "([ab]*:)?", other in "([ab]*:){0,2}",
                                                           key in "[ab:%]{0,4}|[ab]{62}:", known in "[ab:%3A25]{0,9}") {
            let name = |prefix: &str, key: &str| StoreKey::new(key.as_bytes()).under(prefix);
            prop_assert_eq!(name(&one, &key) == name(&other, &known), one == other && key == known);
        }

        #[test]
        fn different_keys_have_different_names(one in prop::collection::vec(any::<u8>(), 0..100),
                                               other in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(StoreKey::new(&one) == StoreKey::new(&other), one == other);
        }
    }
}

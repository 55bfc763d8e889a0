use sha2::{Digest, Sha256};

/// What keys longer than [`INLINE`] are marked with, so that no raw key of 32 bytes equals a digest.
const DIGEST: u8 = u8::MAX;

/// How long a key may be to be kept as it is.
const INLINE: usize = 32;

/// A key as the table keeps it: itself up to 32 bytes, else its SHA-256. Always of one size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::table) struct StoredKey {
    bytes: [u8; INLINE],
    /// The length, or [`DIGEST`].
    tag: u8,
}

impl StoredKey {
    pub(in crate::table) const EMPTY: Self = Self { bytes: [0; INLINE], tag: 0 };

    pub(in crate::table) fn new(key: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..key.len()) {
            Some(start) => {
                start.copy_from_slice(key);
                Self { bytes, tag: u8::try_from(key.len()).unwrap_or(DIGEST) }
            }
            None => Self { bytes: Sha256::digest(key).into(), tag: DIGEST },
        }
    }

    pub(in crate::table) fn is_digest(&self) -> bool {
        self.tag == DIGEST
    }

    pub(in crate::table) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.tag)).unwrap_or(&self.bytes)
    }

    /// All of it, for hashing: always five words and one byte, so nothing depends on the length.
    pub(in crate::table) fn whole(&self) -> (&[u8; INLINE], u8) {
        (&self.bytes, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_up_to_32_bytes_are_kept_as_they_are() {
        for n in 0..=32 {
            let key: Vec<u8> = (0..n).collect();
            let stored = StoredKey::new(&key);
            assert_eq!(stored.as_bytes(), key);
            assert!(!stored.is_digest());
        }
    }

    #[test]
    fn longer_keys_are_kept_as_their_digest() {
        let stored = StoredKey::new(&[b'a'; 33]);
        assert!(stored.is_digest());
        assert_eq!(stored.as_bytes(), Sha256::digest([b'a'; 33]).as_slice());
    }

    #[test]
    fn a_raw_key_never_equals_a_digest() {
        let digest: [u8; 32] = Sha256::digest([b'a'; 33]).into();
        assert!(StoredKey::new(&digest) != StoredKey::new(&[b'a'; 33]));
    }

    #[test]
    fn a_key_never_equals_itself_with_zeros_behind_it() {
        assert!(StoredKey::new(b"a") != StoredKey::new(b"a\0"));
        assert!(StoredKey::new(b"") != StoredKey::new(b"\0"));
    }
}

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use sha2::{Digest, Sha256};

/// The tag of a key that is stored as its SHA-256. So no unchanged key of 32 bytes equals the SHA-256 of another key.
const DIGEST: u8 = u8::MAX;

/// Maximum length of a key that is stored unchanged, in bytes.
const INLINE: usize = 32;

/// A key as the table stores it: a key of up to 32 bytes unchanged, a longer key as its SHA-256. Its size is constant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredKey {
    bytes: [u8; INLINE],
    /// The length of an unchanged key, or [`DIGEST`].
    tag: u8,
    /// Half of the key's hash, so that eviction and growth do not hash the key again. It is an array of bytes, because
    /// the alignment of a `u32` would cost 3 bytes more.
    hash: [u8; 4],
}

impl StoredKey {
    /// Returns the stored key, and the other half of its hash, which selects the shard.
    pub(super) fn new(key: &[u8], hasher: &RandomState) -> (Self, u32) {
        let mut bytes = [0; INLINE];
        let tag = match bytes.get_mut(..key.len()) {
            Some(start) => {
                start.copy_from_slice(key);
                u8::try_from(key.len()).unwrap_or(DIGEST)
            }
            None => {
                bytes = Sha256::digest(key).into();
                DIGEST
            }
        };
        let mut hasher = hasher.build_hasher();
        // Hashes all 32 bytes, also those after a shorter key.
        hasher.write(&bytes);
        hasher.write_u8(tag);
        let hash = hasher.finish();
        (Self { bytes, tag, hash: (hash as u32).to_ne_bytes() }, (hash >> 32) as u32)
    }

    pub(super) fn is_digest(&self) -> bool {
        self.tag == DIGEST
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.tag)).unwrap_or(&self.bytes)
    }
}

impl Hash for StoredKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(u32::from_ne_bytes(self.hash));
    }
}

/// The hasher of the table's maps. It uses the hash that is stored in a key.
pub(super) type Hashed = BuildHasherDefault<StoredHash>;

#[derive(Default)]
pub(super) struct StoredHash(u64);

impl Hasher for StoredHash {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }

    /// Spreads the hash over 64 bits, because maps use the lowest and the highest bits.
    fn write_u32(&mut self, hash: u32) {
        self.0 = (self.0 ^ u64::from(hash)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(key: &[u8], hasher: &RandomState) -> StoredKey {
        StoredKey::new(key, hasher).0
    }

    #[test]
    fn keys_up_to_32_bytes_are_kept_as_they_are() {
        for n in 0..=32 {
            let key: Vec<u8> = (0..n).collect();
            let stored = stored(&key, &RandomState::new());
            assert_eq!(stored.as_bytes(), key);
            assert!(!stored.is_digest());
        }
    }

    #[test]
    fn longer_keys_are_kept_as_their_digest() {
        let stored = stored(&[b'a'; 33], &RandomState::new());
        assert!(stored.is_digest());
        assert_eq!(stored.as_bytes(), Sha256::digest([b'a'; 33]).as_slice());
    }

    #[test]
    fn a_raw_key_never_equals_a_digest() {
        let digest: [u8; 32] = Sha256::digest([b'a'; 33]).into();
        let hasher = RandomState::new();
        assert!(stored(&digest, &hasher) != stored(&[b'a'; 33], &hasher));
    }

    #[test]
    fn a_key_never_equals_itself_with_zeros_behind_it() {
        let hasher = RandomState::new();
        assert!(stored(b"a", &hasher) != stored(b"a\0", &hasher));
        assert!(stored(b"", &hasher) != stored(b"\0", &hasher));
    }
}

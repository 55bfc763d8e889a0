use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::endpoint::Slot;

/// A lookup table from the hash of a key to the members of a tier.
pub trait Table: Send + Sync + 'static {
    /// The members in the order in which a pick tries them for a key with this hash. The first is the key's own.
    ///
    /// The sequence may repeat members, may be infinite and may end early. It must not depend on which members are
    /// eligible.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot>;

    /// The hash of a key or of an endpoint id. Tables that must match another program byte for byte replace it.
    #[inline]
    fn hash(bytes: &[u8], seed: u64) -> u64 {
        xxh3_64_with_seed(bytes, seed)
    }
}

/// A number below `n`, from 64 random bits: the multiply-shift method.
#[inline]
pub(super) fn scaled(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

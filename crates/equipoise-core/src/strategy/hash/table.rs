use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::endpoint::Slot;

/// A table that maps the hash of a key to members of a tier (priority group of endpoints).
pub trait Table: Send + Sync + 'static {
    /// Returns the members in the order in which a pick tries them for a key with this hash. The first is the key's own
    /// member.
    ///
    /// The sequence may contain members several times, may be infinite, and may end early. It must not depend on which
    /// members are eligible.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot>;

    /// Returns the hash of a key or of an endpoint id. Default: XXH3 with `seed`. A table that must give the same
    /// results as another program can override this method.
    #[inline]
    fn hash(bytes: &[u8], seed: u64) -> u64 {
        xxh3_64_with_seed(bytes, seed)
    }
}

/// Converts 64 random bits into a number below `n` (multiply-shift method).
#[inline]
pub(super) fn scaled(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

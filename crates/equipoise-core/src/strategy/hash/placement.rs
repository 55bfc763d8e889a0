use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::HashMembers;
use crate::{endpoint::Slot, strategy::BuildError};

/// How many candidates a pick looks at for each member before it asks all members in the key's own order.
///
/// Constant while the membership stands: were it to depend on who is eligible, a flip would move keys of others. At 3,
/// what it costs on average stays within a percent of members / eligible however few are left.
pub(super) const PATIENCE: usize = 3;

/// In what the hashing strategies differ: the table that says whose a key is. Sealed for now; use it as a bound.
pub trait Placement: sealed::Sealed + Send + Sync + 'static {
    /// What the members are laid out in.
    type Table: Table;

    /// Lays the members out. Cold; called only when the membership has changed.
    ///
    /// # Errors
    ///
    /// When they cannot be laid out with these settings.
    fn lay(&self, roster: &HashMembers) -> Result<Self::Table, BuildError>;
}

/// A layout of the members of a tier.
pub trait Table: Send + Sync + 'static {
    /// The members in the order in which they are to be asked for a key with this hash, the key's own first. May name a
    /// member repeatedly, may go on for ever and may end early. It must not depend on who is eligible.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot>;

    /// The hash of a key or of an id: the place where exact imitations of other programs differ.
    #[inline]
    fn hash(bytes: &[u8], seed: u64) -> u64 {
        xxh3_64_with_seed(bytes, seed)
    }
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// A number below `n`, from 64 random bits: the multiply-shift method.
#[inline]
pub(super) fn scaled(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

use std::ops::RangeInclusive;

/// Why a setting of a hashing strategy or of [`BoundedLoad`](super::BoundedLoad) is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHashing {
    /// The size of a Maglev table is not a prime number within reason.
    #[error(
        "{size} is no size for a Maglev table: it is a prime number of at most {most} (65537, 655373 or {most}), best a hundred times the number of endpoints"
    )]
    /// The size of a Maglev table is not a prime number, or is too large.
    TableSize {
        /// The given size.
        size: u32,
        /// The largest allowed size.
        most: u32,
    },
    /// The number of points per endpoint on a ring is 0.
    #[error("a ring needs at least one point for each endpoint; 160 keeps shares within some 8 percent of each other")]
    Points,
    /// The range of sizes of a ring is empty, contains 0 or is too large.
    #[error("a ring cannot have {sizes:?} points: the limits are in order, at least 1 and at most {most}")]
    RingSize {
        /// The given range.
        sizes: RangeInclusive<u32>,
        /// The largest allowed number of points.
        most: u32,
    },
    /// The factor of [`BoundedLoad`](super::BoundedLoad) is below 1 or not finite.
    #[error("{factor} is no factor for bounded loads: it is at least 1, and usually from 1.2 to 2")]
    Factor {
        /// The given factor.
        factor: f64,
    },
    /// A prefix of [`SourcePrefix`](super::SourcePrefix) is longer than an address.
    #[error("/{length} is no prefix of an IPv{version} address: it has at most {most} bits")]
    Prefix {
        /// The IP version of the addresses: 4 or 6.
        version: u8,
        /// The given length in bits.
        length: u8,
        /// The number of bits of an address of this version.
        most: u8,
    },
}

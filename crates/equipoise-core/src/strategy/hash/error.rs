use std::ops::RangeInclusive;

/// Why a setting of a hashing strategy or of [`BoundedLoad`](super::BoundedLoad) is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHashing {
    #[error(
        "{size} is no size for a Maglev table: it is a prime number of at most {most} (65537, 655373 or {most}), best a hundred times the number of endpoints"
    )]
    /// The [table size](super::Maglev::table_size) of [`Maglev`](super::Maglev) is not a prime number, or is above the
    /// largest valid size.
    TableSize {
        /// The table size that was given.
        size: u32,
        /// The largest valid table size.
        most: u32,
    },
    /// The number of [points](super::Ring::points) per endpoint on a hash ring ([`Ring`](super::Ring)) is 0.
    #[error("a ring needs at least one point for each endpoint; 160 keeps shares within some 8 percent of each other")]
    Points,
    /// The range of [sizes](super::Ring::sizes) of a hash ring ([`Ring`](super::Ring)) is empty, contains 0, or
    /// contains sizes above the largest valid size.
    #[error("a ring cannot have {sizes:?} points: the limits are in order, at least 1 and at most {most}")]
    RingSize {
        /// The range of sizes that was given.
        sizes: RangeInclusive<u32>,
        /// The largest valid size: the total number of points on the ring.
        most: u32,
    },
    /// The [factor](super::BoundedLoad::factor) of [`BoundedLoad`](super::BoundedLoad) is below 1, infinite or NaN.
    #[error("{factor} is no factor for bounded loads: it is at least 1, and usually from 1.2 to 2")]
    Factor {
        /// The factor that was given.
        factor: f64,
    },
    /// A prefix of [`SourcePrefix`](super::SourcePrefix) is longer than an IP address of its version: above 32 bits for
    /// IPv4, or above 128 bits for IPv6.
    #[error("/{length} is no prefix of an IPv{version} address: it has at most {most} bits")]
    Prefix {
        /// The IP version of the addresses: 4 or 6.
        version: u8,
        /// The prefix length that was given, in bits.
        length: u8,
        /// The number of bits of an address of this IP version: 32 or 128.
        most: u8,
    },
}

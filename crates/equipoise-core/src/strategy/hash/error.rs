use std::ops::RangeInclusive;

/// Why a setting of a hashing strategy or of [`BoundedLoad`](super::BoundedLoad) is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHashing {
    #[error(
        "{size} is no size for a Maglev table: it is a prime number of at most {most} (65537, 655373 or {most}), best a hundred times the number of endpoints"
    )]
    /// The [table size](super::Maglev::table_size) of [`Maglev`](super::Maglev) is not a prime number, or is above 5
    /// 000 011.
    TableSize {
        /// The table size that was given.
        size: u32,
        /// The largest valid table size: 5 000 011.
        most: u32,
    },
    /// The number of [points](super::Ring::points) per endpoint on a hash ring ([`Ring`](super::Ring)) is 0.
    #[error("a ring needs at least one point for each endpoint; 160 keeps shares within some 8 percent of each other")]
    Points,
    /// The range of [sizes](super::Ring::sizes) (total numbers of points) of a hash ring ([`Ring`](super::Ring)) is
    /// empty, contains 0, or contains sizes above 8 388 608.
    #[error("a ring cannot have {sizes:?} points: the limits are in order, at least 1 and at most {most}")]
    RingSize {
        /// The range of sizes that was given.
        sizes: RangeInclusive<u32>,
        /// The largest valid total number of points on the ring: 8 388 608.
        most: u32,
    },
    /// The [factor](super::BoundedLoad::factor) of [`BoundedLoad`](super::BoundedLoad) is below 1, infinite or NaN.
    #[error("{factor} is no factor for bounded loads: it is at least 1, and usually from 1.2 to 2")]
    Factor {
        /// The factor (the maximum load of an endpoint as a multiple of the mean load) that was given.
        factor: f64,
    },
    /// A prefix length of [`SourcePrefix`](super::SourcePrefix) is above the number of bits of an IP address: above 32
    /// for IPv4, or above 128 for IPv6.
    #[error("/{length} is no prefix of an IPv{version} address: it has at most {most} bits")]
    Prefix {
        /// The IP version to which the prefix length belongs: 4 or 6.
        version: u8,
        /// The prefix length that was given, in bits.
        length: u8,
        /// The number of bits of an address of this IP version: 32 or 128.
        most: u8,
    },
}

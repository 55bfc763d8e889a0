use std::ops::RangeInclusive;

/// Why a setting of a hashing strategy or of [`BoundedLoad`](super::BoundedLoad) is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHashing {
    /// The [table size](super::Maglev::table_size) of [`Maglev`](super::Maglev) is not a prime number, or is above
    /// 5 000 011.
    #[error(
        "the size of a Maglev table cannot be {size}: use a prime number of at most {most}, such as 65537 or 655373; a \
         good size is about a hundred times the number of endpoints"
    )]
    TableSize {
        /// The table size that was given.
        size: u32,
        /// The largest valid table size: 5 000 011.
        most: u32,
    },
    /// The number of [points](super::Ring::points) per endpoint on a hash ring ([`Ring`](super::Ring)) is 0.
    #[error(
        "the number of points for each endpoint cannot be 0: use at least 1; with 160, shares differ by about 8 percent"
    )]
    Points,
    /// The range of [sizes](super::Ring::sizes) (total numbers of points) of a hash ring ([`Ring`](super::Ring)) is
    /// empty, contains 0, or contains sizes above 8 388 608.
    #[error(
        "the sizes of a ring cannot be {sizes:?}: use a minimum of at least 1, and a maximum from the minimum to {most}"
    )]
    RingSize {
        /// The range of sizes that was given.
        sizes: RangeInclusive<u32>,
        /// The largest valid total number of points on the ring: 8 388 608.
        most: u32,
    },
    /// The [factor](super::BoundedLoad::factor) of [`BoundedLoad`](super::BoundedLoad) is below 1, infinite or NaN.
    #[error("factor cannot be {factor}: use a finite number of at least 1, usually from 1.2 to 2")]
    Factor {
        /// The given factor. It is the maximum load of an endpoint, as a multiple of the mean load.
        factor: f64,
    },
    /// A prefix length of [`SourcePrefix`](super::SourcePrefix) is above the number of bits of an IP address: above 32
    /// for IPv4, or above 128 for IPv6.
    #[error("the prefix length of an IPv{version} address cannot be {length}: use at most {most} bits")]
    Prefix {
        /// The IP version to which the prefix length belongs: 4 or 6.
        version: u8,
        /// The prefix length that was given, in bits.
        length: u8,
        /// The number of bits of an address of this IP version: 32 or 128.
        most: u8,
    },
}

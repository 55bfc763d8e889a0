use std::ops::RangeInclusive;

/// Why a setting of a hashing strategy is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHashing {
    /// The size of a Maglev table is not a prime number within reason.
    #[error(
        "{size} is no size for a Maglev table: it is a prime number of at most {most} (65537, 655373 or {most}), best a hundred times the number of endpoints"
    )]
    TableSize {
        /// The size as given.
        size: u32,
        /// The largest that there may be.
        most: u32,
    },
    /// A ring would have no points.
    #[error("a ring needs at least one point for each endpoint; 160 keeps shares within some 8 percent of each other")]
    Points,
    /// The limits of a ring's size contradict each other or go too far.
    #[error("a ring cannot have {sizes:?} points: the limits are in order, at least 1 and at most {most}")]
    RingSize {
        /// The limits as given.
        sizes: RangeInclusive<u32>,
        /// The largest that there may be.
        most: u32,
    },
    /// The factor of bounded loads is below 1, or not a number.
    #[error("{factor} is no factor for bounded loads: it is at least 1, and usually from 1.2 to 2")]
    Factor {
        /// The factor as given.
        factor: f64,
    },
    /// A prefix is longer than an address.
    #[error("/{length} is no prefix of an IPv{version} address: it has at most {most} bits")]
    Prefix {
        /// Which addresses it was meant for: 4 or 6.
        version: u8,
        /// The length as given.
        length: u8,
        /// How many bits such an address has.
        most: u8,
    },
}

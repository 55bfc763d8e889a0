/// Why a setting of a combinator (a strategy that wraps another one) is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCombinator {
    /// The number of a client of [`Aperture`](super::Aperture) is too large. Clients are numbered from 0. For example,
    /// three clients have the numbers 0, 1 and 2.
    #[error(
        "the number of a client cannot be {peer} with {peers} clients: clients are numbered from 0, so use a number \
         below the number of clients"
    )]
    Peer {
        /// The given number of the client. It must be below `peers`.
        peer: u32,
        /// The given count of clients.
        peers: u32,
    },
    /// The [aggression](super::SlowStart::aggression) of [`SlowStart`](super::SlowStart) is 0, negative, infinite or
    /// NaN.
    #[error("aggression cannot be {aggression}: use a finite number above 0; 1 is linear, 2 rises faster at first")]
    Aggression {
        /// The given aggression. It sets the curve by which the share of a starting endpoint rises.
        aggression: f64,
    },
    /// The [floor](super::SlowStart::floor) of [`SlowStart`](super::SlowStart) is 0, negative, above 1 or NaN.
    #[error("floor cannot be {floor}: use a number above 0 and at most 1, usually 0.1")]
    Floor {
        /// The given floor. It is the fraction of its full share that a starting endpoint gets at first.
        floor: f64,
    },
}

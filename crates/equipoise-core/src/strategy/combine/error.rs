/// Why a setting of a combinator (a strategy that wraps another one) is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCombinator {
    /// The client of an [`Aperture`](super::Aperture) has a number that is too large. Clients are numbered from 0, so
    /// the number of the last client is one less than the count of clients.
    #[error("there is no client number {peer} among {peers}: clients are numbered from 0 to one less than there are")]
    Peer {
        /// The number that was given for the client.
        peer: u32,
        /// The count of clients that was given.
        peers: u32,
    },
    /// The [aggression](super::SlowStart::aggression) of [`SlowStart`](super::SlowStart) is 0, negative, infinite or
    /// NaN.
    #[error("{aggression} is no aggression for a slow start: it is above 0; 1 is linear, 2 rises faster at first")]
    Aggression {
        /// The aggression that was given.
        aggression: f64,
    },
    /// The [floor](super::SlowStart::floor) of [`SlowStart`](super::SlowStart) is 0, negative, above 1 or NaN.
    #[error("a slow start cannot begin with {floor} of an endpoint's share: it is above 0 and at most 1, usually 0.1")]
    Floor {
        /// The floor that was given.
        floor: f64,
    },
}

/// Why a setting of a combinator (a strategy that wraps another one) is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCombinator {
    /// The number that identifies the client in [`Aperture`](super::Aperture) is too large. Clients are numbered from
    /// 0, so it must be below the number of clients.
    #[error("there is no client number {peer} among {peers}: clients are numbered from 0 to one less than there are")]
    Peer {
        /// The number that was given to identify the client.
        peer: u32,
        /// The number of clients that was given.
        peers: u32,
    },
    /// The [aggression](super::SlowStart::aggression) of [`SlowStart`](super::SlowStart) is not above 0, or is not
    /// finite.
    #[error("{aggression} is no aggression for a slow start: it is above 0; 1 is linear, 2 rises faster at first")]
    Aggression {
        /// The aggression that was given.
        aggression: f64,
    },
    /// The [floor](super::SlowStart::floor) of [`SlowStart`](super::SlowStart) is not in the range above 0 and up to 1.
    #[error("a slow start cannot begin with {floor} of an endpoint's share: it is above 0 and at most 1, usually 0.1")]
    Floor {
        /// The floor that was given.
        floor: f64,
    },
}

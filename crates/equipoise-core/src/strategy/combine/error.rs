/// Why a setting of a combinator is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCombinator {
    /// The number of a client in [`Aperture`](super::Aperture) is not below the number of clients.
    #[error("there is no client number {peer} among {peers}: clients are numbered from 0 to one less than there are")]
    Peer {
        /// The given number of the client.
        peer: u32,
        /// The given number of clients.
        peers: u32,
    },
    /// The aggression of [`SlowStart`](super::SlowStart) is not above 0, or not finite.
    #[error("{aggression} is no aggression for a slow start: it is above 0; 1 is linear, 2 rises faster at first")]
    Aggression {
        /// The given aggression.
        aggression: f64,
    },
    /// The floor of [`SlowStart`](super::SlowStart) is not above 0 and at most 1.
    #[error("a slow start cannot begin with {floor} of an endpoint's share: it is above 0 and at most 1, usually 0.1")]
    Floor {
        /// The given floor.
        floor: f64,
    },
}

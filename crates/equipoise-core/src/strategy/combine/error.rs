/// Why a setting of a combinator is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCombinator {
    /// A position that none of the clients can have.
    #[error("there is no client number {peer} among {peers}: clients are numbered from 0 to one less than there are")]
    Peer {
        /// The client's number as given.
        peer: u32,
        /// How many clients there are, as given.
        peers: u32,
    },
    /// A slow start that is not one.
    #[error("{aggression} is no aggression for a slow start: it is above 0; 1 is linear, 2 rises faster at first")]
    Aggression {
        /// The aggression as given.
        aggression: f64,
    },
    /// A slow start that begins with nothing, or with everything.
    #[error("a slow start cannot begin with {floor} of an endpoint's share: it is above 0 and at most 1, usually 0.1")]
    Floor {
        /// The floor as given.
        floor: f64,
    },
}

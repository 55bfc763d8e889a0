/// A session cannot be told by that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionKey {
    /// No header can have that name.
    #[error("{name:?} is no name of a header: letters, digits and !#$%&'*+-.^_`|~ make one")]
    Header {
        /// The name as given.
        name: String,
    },
    /// No cookie can have that name.
    #[error("{name:?} is no name of a cookie: letters, digits and !#$%&'*+-.^_`|~ make one")]
    Cookie {
        /// The name as given.
        name: String,
    },
    /// No parameter can have that name.
    #[error("{name:?} is no name of a parameter: give it as it stands in a URL, what has a meaning there as %XX")]
    Parameter {
        /// The name as given.
        name: String,
    },
    /// No segments of the path are all the same key.
    #[error("the first 0 segments of a path tell no sessions apart: take at least 1")]
    NoSegments,
    /// The limit is out of range.
    #[error("keys cannot have at most {bytes} bytes: take 1 to {most}")]
    Longest {
        /// The limit as given.
        bytes: usize,
        /// The largest that there may be.
        most: usize,
    },
}

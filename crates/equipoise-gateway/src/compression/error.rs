use super::Encoding;

/// Why a setting of a [`CompressionLayer`](super::CompressionLayer) or of a
/// [`DecompressionLayer`](super::DecompressionLayer) is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCompression {
    /// The list of encodings is empty.
    #[error("the list of encodings is empty: name at least one of zstd, br, gzip, deflate")]
    NoEncoding,
    /// An encoding is listed twice.
    #[error("the encoding {0} is listed twice")]
    Repeated(Encoding),
    /// The encoding has no such level.
    #[error("{encoding} has no level {level}: use {min} to {max}")]
    Level {
        /// The encoding.
        encoding: Encoding,
        /// The refused level.
        level: u8,
        /// The lowest level.
        min: u8,
        /// The highest level.
        max: u8,
    },
    /// The text is neither a media type nor a pattern.
    #[error("{0:?} is no media type: use a type such as text/html, or a pattern such as text/*, *+json or */*")]
    MediaType(String),
    /// The maximum ratio is 0.
    #[error("the maximum ratio is 0: a body must be allowed to grow, by a factor of at least 1")]
    Ratio,
    /// No body may be decompressed.
    #[error("the maximum number of concurrent bodies is 0: use at least 1")]
    Concurrent,
}

use std::{error::Error, fmt, sync::Arc};

use equipoise_tower::BoxError;

/// Why a request that the cache has forwarded got no response, or an incomplete one.
///
/// It is cheap to clone: all clients that wait for the same fetch get the same error. [`source`](Error::source) is the
/// error of the inner service itself, so a [`ReverseProxy`](equipoise_proxy::ReverseProxy) around the cache answers as
/// it does without a cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CacheError {
    /// The inner service has failed.
    Service(Arc<dyn Error + Send + Sync>),
    /// The body of the response of the inner service has failed. Nothing of it is stored.
    Body(Arc<dyn Error + Send + Sync>),
    /// The body of the response is shorter or longer than its `Content-Length`. Nothing of it is stored.
    Length {
        /// The announced length in bytes.
        expected: u64,
        /// The number of bytes that have arrived.
        received: u64,
    },
    /// The task of the fetch has ended without a result: it has panicked, or the runtime shuts down.
    Lost,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(_) => f.write_str("the service behind the cache has failed"),
            Self::Body(_) => f.write_str("the body of the response to the cache has failed"),
            Self::Length { expected, received } => {
                write!(f, "the body of the response to the cache has {received} bytes, and {expected} were announced")
            }
            Self::Lost => f.write_str("the fetch has ended without a result"),
        }
    }
}

// Not derived: a derived source would be the `Arc`, which cannot be downcast to the error in it.
impl Error for CacheError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Service(error) | Self::Body(error) => Some(&**error),
            Self::Length { .. } | Self::Lost => None,
        }
    }
}

impl CacheError {
    pub(super) fn service(error: impl Into<BoxError>) -> Self {
        Self::Service(error.into().into())
    }

    pub(super) fn body(error: impl Into<BoxError>) -> Self {
        Self::Body(error.into().into())
    }
}

/// Why a cache cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheConfigError {
    /// The store in memory cannot be built.
    #[error("the store of the cache: {0}")]
    Store(#[from] super::store::MemoryStoreError),
    /// The size of the store is 0 bytes.
    #[error("the store of the cache must have more than 0 bytes")]
    NoBytes,
    /// The maximum size of an entry is 0 bytes.
    #[error("an entry of the cache must be allowed to have more than 0 bytes")]
    NoEntryBytes,
    /// The name in `Cache-Status` is not a token.
    #[error(
        "the name {0:?} in Cache-Status must have 1 to 64 letters, digits, '-', '_' or '.', and begin with a letter"
    )]
    Name(String),
    /// The part of the age for heuristic freshness is out of its range.
    #[error("the heuristic fraction {0} must be above 0 and at most 1")]
    Heuristic(f32),
}

/// Why a purge was refused or has failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurgeError {
    /// The text is not an absolute URL.
    #[error("{0:?} must be an absolute URL, such as https://example.com/path")]
    Url(String),
    /// The text is not a tag.
    #[error("{0:?} must be a tag: 1 to 1024 visible ASCII characters")]
    Tag(String),
    /// The store has failed. It may have removed a part of the responses.
    #[error(transparent)]
    Store(#[from] super::store::StoreError),
}

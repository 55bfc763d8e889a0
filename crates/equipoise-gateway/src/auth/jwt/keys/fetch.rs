use std::{fmt, pin::Pin};

use equipoise_tower::BoxError;

use super::set::{InvalidKeySet, KeySet};

/// Reads a set of keys once.
pub(super) type Fetch = Box<dyn FnMut() -> Fetching + Send>;
pub(super) type Fetching = Pin<Box<dyn Future<Output = Result<KeySet, FetchError>> + Send>>;

/// Why a set of keys could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("there was no whole response in time")]
    Timeout,
    #[error("the client panicked")]
    Panicked,
    #[error("the request failed: {0}")]
    Service(Chain),
    #[error("the response has status {0} instead of 200")]
    Status(u16),
    #[error("the file cannot be read: {0}")]
    File(#[source] std::io::Error),
    #[error(transparent)]
    Set(#[from] InvalidKeySet),
}

/// An error with its sources.
#[derive(Debug)]
pub(super) struct Chain(pub(super) BoxError);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        // An error could be its own source.
        for _ in 0..8 {
            let Some(error) = source else { break };
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

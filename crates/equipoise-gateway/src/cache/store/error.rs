use std::{error::Error, fmt, sync::Arc};

use equipoise_tower::BoxError;

/// Why a [`Store`](super::Store) has not removed what it should. It may have removed a part, and it may still return the
/// rest, so the removal should be tried again. [`source`](Error::source) is the error of the store itself.
///
/// It is cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreError(Arc<dyn Error + Send + Sync>);

impl StoreError {
    /// Creates an error from the error of the store itself, or from a text.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self(source.into().into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store of the cache may still have what should be removed: {}", self.0)
    }
}

// Not derived: a derived source would be the `Arc`, which cannot be downcast to the error in it.
impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

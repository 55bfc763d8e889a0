use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

/// A value that can be replaced while requests are served, such as a list of users or of API keys.
///
/// Clones share the value: keep one, and give another to the scheme. A request sees either the old value or the new
/// one. Schemes accept a plain value too, which then cannot be replaced.
///
/// ```
/// use equipoise_gateway::auth::{ApiKey, ApiKeys, AuthLayer, Live};
///
/// let keys = Live::new(ApiKeys::default());
/// let layer = AuthLayer::new(ApiKey::header(keys.clone()));
///
/// // Later, when the file has changed. An error leaves the keys as they are.
/// keys.replace("reports:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".parse()?);
/// # drop(layer);
/// # Ok::<(), equipoise_gateway::auth::InvalidApiKeys>(())
/// ```
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// Creates a value that can be replaced.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// Replaces the value.
    pub fn replace(&self, value: T) {
        self.0.store(Arc::new(value));
    }

    /// Returns the current value.
    pub fn current(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Reads the current value without counting a reference.
    pub(super) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.0.load())
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> From<T> for Live<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for Live<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&*self.0.load()).finish()
    }
}

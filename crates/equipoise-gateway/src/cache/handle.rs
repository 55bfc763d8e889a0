use std::{fmt, sync::Arc};

use http::Uri;

use super::{
    CacheStats, PurgeError,
    engine::Engine,
    store::{Key, Purge, Tag},
};

/// Purges a cache and reads its counters. It is cheap to clone.
///
/// After a purge has succeeded, no request gets a purged response, and a fetch that was in progress does not store its
/// response. The functions return how many keys were removed, or 0 if the store does not know. A purge that returns
/// [`PurgeError::Store`] may have removed a part, and should be tried again.
#[derive(Clone)]
pub struct CacheHandle {
    engine: Arc<Engine>,
}

impl CacheHandle {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Purges one URL, such as `https://example.com/a?b=1`: all its variants, for all identities. The query is treated
    /// as the [`KeyPolicy`](super::KeyPolicy) says.
    ///
    /// # Errors
    ///
    /// Returns [`PurgeError::Url`] if the text is not an absolute URL, and [`PurgeError::Store`] if the store fails.
    pub async fn purge_url(&self, url: &str) -> Result<usize, PurgeError> {
        let key = self.normal(url).ok_or_else(|| PurgeError::Url(url.to_owned()))?;
        let removed = self.engine.store.purge(&Purge::Url(key.clone())).await;
        self.engine.flights.detach(|other: &Key| other.url() == key);
        Ok(removed?)
    }

    /// Purges all URLs that begin with a text, such as `https://example.com/static/`. The host must be complete, in
    /// lower case, and followed by a `/`. O(number of stored responses).
    ///
    /// # Errors
    ///
    /// Returns [`PurgeError::Url`] if the text is not the beginning of an absolute URL, and [`PurgeError::Store`] if the
    /// store fails.
    pub async fn purge_prefix(&self, prefix: &str) -> Result<usize, PurgeError> {
        let (scheme, rest) = prefix.split_once("://").ok_or_else(|| PurgeError::Url(prefix.to_owned()))?;
        let has_path = rest.find('/').is_some_and(|at| at > 0);
        if !matches!(scheme, "http" | "https") || !has_path {
            return Err(PurgeError::Url(prefix.to_owned()));
        }
        let removed = self.engine.store.purge(&Purge::Prefix(prefix.to_owned())).await;
        self.engine.flights.detach(|key| key.url().starts_with(prefix));
        Ok(removed?)
    }

    /// Purges all responses with a tag, from the fields that
    /// [`tag_fields`](super::CacheBuilder::tag_fields) names.
    ///
    /// # Errors
    ///
    /// Returns [`PurgeError::Tag`] if the text is not a tag, and [`PurgeError::Store`] if the store fails.
    pub async fn purge_tag(&self, tag: &str) -> Result<usize, PurgeError> {
        let tag = Tag::new(tag).ok_or_else(|| PurgeError::Tag(tag.to_owned()))?;
        let removed = self.engine.store.purge(&Purge::Tag(tag)).await;
        // The tags of a response that is being fetched are not known yet.
        self.engine.flights.detach(|_| true);
        Ok(removed?)
    }

    /// Purges everything.
    ///
    /// # Errors
    ///
    /// Returns [`PurgeError::Store`] if the store fails.
    pub async fn purge_all(&self) -> Result<usize, PurgeError> {
        let removed = self.engine.store.purge(&Purge::All).await;
        self.engine.flights.detach(|_| true);
        Ok(removed?)
    }

    /// Returns the counters.
    pub fn stats(&self) -> CacheStats {
        self.engine.stats()
    }

    fn normal(&self, url: &str) -> Option<String> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
        self.engine.settings.key.url(scheme, uri.authority()?.as_str(), &uri)
    }
}

impl fmt::Debug for CacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheHandle").field("stats", &self.stats()).finish()
    }
}

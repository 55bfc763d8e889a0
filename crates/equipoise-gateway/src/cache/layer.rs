use std::{fmt, sync::Arc, time::Duration, time::SystemTime};

use equipoise_proxy::error::ErrorResponses;
use http::HeaderName;
use tower_layer::Layer;

use super::{
    Cache, CacheConfigError, CacheHandle, CacheStats, KeyPolicy, SharedStore,
    engine::{Engine, Settings},
    rules::policy::SetCookie,
    status,
    store::{MemoryStore, Store},
};

/// Puts a shared HTTP cache in front of a service. See the [module](super) for what it does.
///
/// Clones share the stored responses. Two layers that were built separately do not.
#[derive(Clone)]
pub struct CacheLayer {
    engine: Arc<Engine>,
}

impl CacheLayer {
    /// Creates a cache with the defaults of [`CacheBuilder`] and a store in memory of this size in bytes.
    ///
    /// # Errors
    ///
    /// Returns [`CacheConfigError::NoBytes`] if the size is 0.
    pub fn new(store_bytes: u64) -> Result<Self, CacheConfigError> {
        Self::builder(store_bytes).build()
    }

    /// Returns a builder with a store in memory of this size in bytes.
    pub fn builder(store_bytes: u64) -> CacheBuilder {
        CacheBuilder { store: StoreChoice::Memory(store_bytes), settings: Settings::default(), max_entry_bytes: None }
    }

    /// Returns a builder with another store.
    pub fn with_store(store: impl Store) -> CacheBuilder {
        let store = StoreChoice::Own(Arc::new(store));
        CacheBuilder { store, settings: Settings::default(), max_entry_bytes: None }
    }

    /// Returns a builder with a store that several caches share. They should have the same [`KeyPolicy`].
    pub fn with_shared_store(store: &SharedStore) -> CacheBuilder {
        let store = StoreChoice::Shared(store.clone());
        CacheBuilder { store, settings: Settings::default(), max_entry_bytes: None }
    }

    /// Returns a handle for purges and counters.
    pub fn handle(&self) -> CacheHandle {
        CacheHandle::new(Arc::clone(&self.engine))
    }

    /// Returns whether each identity has its own responses ([`KeyPolicy::per_identity`]).
    pub fn is_per_identity(&self) -> bool {
        self.engine.settings.key.is_per_identity()
    }

    /// Returns the counters.
    pub fn stats(&self) -> CacheStats {
        self.engine.stats()
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").field("settings", &self.engine.settings).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Cache<S> {
        Cache::new(inner, Arc::clone(&self.engine))
    }
}

/// Builds a [`CacheLayer`].
#[must_use]
pub struct CacheBuilder {
    store: StoreChoice,
    settings: Settings,
    max_entry_bytes: Option<u64>,
}

enum StoreChoice {
    Memory(u64),
    Own(Arc<dyn Store>),
    Shared(SharedStore),
}

impl CacheBuilder {
    /// Sets which requests may get the same response. Default: [`KeyPolicy::new`].
    pub fn key(mut self, key: KeyPolicy) -> Self {
        self.settings.key = key;
        self
    }

    /// Sets the maximum size of the body of a stored response, in bytes. A larger response passes uncached. Default:
    /// what an entry of the store in memory may have, which is 1/64 of the store, or 256 KiB if that is more; 8 MiB for
    /// another store.
    pub fn max_entry_bytes(mut self, bytes: u64) -> Self {
        self.max_entry_bytes = Some(bytes);
        self
    }

    /// Sets the maximum number of bytes that all responses which are being received may hold together, in addition to
    /// the store. Above it, responses pass uncached. A [`SharedStore`] has a limit for all its caches together, which
    /// applies too. Default: 256 MiB; with a `SharedStore`, its limit only.
    pub fn max_filling_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_filling_bytes = Some(bytes);
        self
    }

    /// Sets the longest time that a request waits for the head of the response to another request for the same URL.
    /// After it, the request is forwarded too, and its response may be stored. This is `proxy_cache_lock_timeout` of
    /// nginx. Zero forwards each request. Default: 10 s.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.settings.max_wait = time;
        self
    }

    /// Sets the longest time from a request to the inner service until the head of its response. After it, the request
    /// is cancelled, and its clients get an error, or the stale response if `stale-if-error` allows it. Zero fails each
    /// request that is not answered at once. Default: none, so a request may take as long as the inner service lets it.
    ///
    /// Without this setting, a slow request stops no others: those for the same URL wait at most
    /// [`max_wait`](Self::max_wait) for it. A request without clients, which validates a response in the background or
    /// whose clients have left, ends after 60 s at the latest.
    pub fn fetch_timeout(mut self, time: Duration) -> Self {
        self.settings.fetch_timeout = Some(time);
        self
    }

    /// Sets the longest time between two pieces of the body of a response that is received to be stored. After it, the
    /// body ends with an error for all its clients, nothing of it is stored, and the next request for the URL begins
    /// another fetch. The time in which the clients of a response that is too large do not read does not count.
    /// Default: 60 s.
    pub fn fetch_idle_timeout(mut self, time: Duration) -> Self {
        self.settings.fetch_idle_timeout = time;
        self
    }

    /// Sets for how long requests do not wait for each other after a response for their URL could not be stored or was
    /// not fresh. Requests with credentials (`Authorization`, or an [`Identity`](crate::Identity) without
    /// [`KeyPolicy::per_identity`]) and those without are remembered separately. Default: 10 s.
    pub fn remember_uncacheable(mut self, time: Duration) -> Self {
        self.settings.remember_uncacheable = time;
        self
    }

    /// Sets whether `no-cache`, `max-age`, `min-fresh`, `max-stale` and `no-store` in requests are obeyed. If not, a
    /// client can neither make the cache ask the backend with them, as browsers do at a reload, nor get stale responses;
    /// `only-if-cached` always counts. This does not protect the backend from clients that want to reach it: they can
    /// still request URLs that are not stored, or send a body, `Upgrade`, `If-Match` or `If-Unmodified-Since`. Limit rates
    /// for that. Default: true.
    pub fn obey_requests(mut self, obey: bool) -> Self {
        self.settings.obey_requests = obey;
        self
    }

    /// Makes responses without explicit freshness fresh for a part of the time since `Last-Modified`, such as 0.1, and
    /// at most for `longest` (RFC 9111, 4.2.2). Default: such responses are validated for each request.
    pub fn heuristic(mut self, part: f32, longest: Duration) -> Self {
        self.settings.policy.heuristic = Some((part, longest));
        self
    }

    /// Sets for how long a stale response may be used while it is validated in the background, if it does not say
    /// `stale-while-revalidate` itself (RFC 5861, 3). It applies only to responses that were fresh for some time or are
    /// `public`. Default: zero.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.settings.policy.stale_while_revalidate = time;
        self
    }

    /// Sets for how long a stale response may be used when the backend fails or answers 500, 502, 503 or 504, if the
    /// response does not say `stale-if-error` itself (RFC 5861, 4). It applies only to responses that were fresh for
    /// some time or are `public`. Default: zero.
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.settings.policy.stale_if_error = time;
        self
    }

    /// Sets the longest time for which any stale response is used, whatever the response and the request allow.
    /// Default: 7 days.
    pub fn max_stale(mut self, time: Duration) -> Self {
        self.settings.policy.max_stale = time;
        self
    }

    /// Sets for how long a stale response with a validator is kept to be validated. Default: 1 day.
    pub fn keep_stale(mut self, time: Duration) -> Self {
        self.settings.policy.keep_stale = time;
        self
    }

    /// Sets what happens with responses that set cookies. Default: [`SetCookie::Refuse`].
    pub fn set_cookie(mut self, set_cookie: SetCookie) -> Self {
        self.settings.policy.set_cookie = set_cookie;
        self
    }

    /// Sets whether a successful response is refused if its type contradicts the extension of the path: HTML or JSON
    /// for a path such as `/account/x.css`. Such a URL is the way of web cache deception: an attacker leads a user to
    /// it, the backend ignores the end of the path, and the page of the user would be stored under a name that looks
    /// public. Default: true.
    pub fn refuse_deception(mut self, refuse: bool) -> Self {
        self.settings.policy.refuse_deception = refuse;
        self
    }

    /// Sets the targeted fields (RFC 9213), the first of which that is valid replaces `Cache-Control` and `Expires` for
    /// this cache. They are forwarded to clients. Default: `CDN-Cache-Control`.
    pub fn targeted_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings.policy.targets = names.into_iter().collect();
        self
    }

    /// Sets the response fields with tags for [`CacheHandle::purge_tag`]. Tags are separated by commas or spaces.
    /// Default: `Cache-Tag` and `Surrogate-Key`.
    pub fn tag_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings.policy.tag_fields = names.into_iter().collect();
        self
    }

    /// Sets whether the fields with tags are removed from the responses to clients. Default: false.
    pub fn strip_tags(mut self, strip: bool) -> Self {
        self.settings.policy.strip_tags = strip;
        self
    }

    /// Sets the name of the cache in `Cache-Status` (RFC 9211). `None` does not add the field. Default: `equipoise`.
    pub fn status_name(mut self, name: Option<&str>) -> Self {
        self.settings.status_name = name.map(Into::into);
        self
    }

    /// Sets whether `Cache-Status` has the URL of the key. Default: false.
    pub fn status_key(mut self, show: bool) -> Self {
        self.settings.status_key = show;
        self
    }

    /// Sets the form of the response 504 to `only-if-cached`. Default: [`ErrorResponses::new`].
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.settings.errors = errors;
        self
    }

    /// Sets the clock, for tests. Default: [`SystemTime::now`].
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings.clock = super::engine::Clock(Arc::new(clock));
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// Returns a [`CacheConfigError`] if the store or the maximum size of an entry has 0 bytes, if the heuristic part
    /// is not above 0 and at most 1, or if the name for `Cache-Status` is not a token.
    pub fn build(self) -> Result<CacheLayer, CacheConfigError> {
        let mut settings = self.settings;
        if self.max_entry_bytes == Some(0) {
            return Err(CacheConfigError::NoEntryBytes);
        }
        if let Some((part, _)) = settings.policy.heuristic
            && !(part > 0.0 && part <= 1.0)
        {
            return Err(CacheConfigError::Heuristic(part));
        }
        if let Some(name) = settings.status_name.as_deref()
            && !status::is_name(name)
        {
            return Err(CacheConfigError::Name(name.to_owned()));
        }
        let own = |store: Arc<dyn Store>| {
            let max = settings.max_filling_bytes.unwrap_or(SharedStore::DEFAULT_MAX_FILLING_BYTES);
            SharedStore::new(store).max_filling_bytes(max)
        };
        let (store, max_entry_bytes) = match self.store {
            StoreChoice::Memory(0) => return Err(CacheConfigError::NoBytes),
            StoreChoice::Memory(bytes) => {
                let builder = MemoryStore::builder(bytes);
                let store = match self.max_entry_bytes {
                    // The store counts the fields and its administration too.
                    Some(body) => {
                        builder.max_entry_bytes(body.saturating_add(FIELDS).min(bytes / 2).max(body)).build()?
                    }
                    None => builder.build()?,
                };
                let max = store.max_entry_bytes();
                (own(Arc::new(store)), max)
            }
            StoreChoice::Own(store) => (own(store), MAX_ENTRY_BYTES),
            StoreChoice::Shared(store) => (store, MAX_ENTRY_BYTES),
        };
        settings.max_entry_bytes = self.max_entry_bytes.unwrap_or(max_entry_bytes);
        Ok(CacheLayer { engine: Arc::new(Engine::new(store, settings)) })
    }
}

/// The maximum size of a body by default, if the store does not say what it accepts.
const MAX_ENTRY_BYTES: u64 = 8 * 1024 * 1024;

/// What an entry needs beside its body, generously.
const FIELDS: u64 = 64 * 1024;

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

use std::{fmt, time::Duration};

use equipoise_affinity::__private::{LinkSettings, Script};
use equipoise_core::__private::Backoff;
use tokio::runtime::Handle;

use super::{Counters, RedisStore, local::Local, operations::Operations, script::Scripts};
use crate::{InvalidSetting, redis::Tls};

const MAX_PREFIX: usize = 128;
/// Ten years. Redis adds times to the current time in milliseconds.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A string in Redis has at most 512 MiB, and a large one delays all others.
const MAX_ENTRY: u64 = 64 << 20;
/// What a reply may have in bytes beside the entries of a key. The names that one step of a scan finds are as long as
/// URLs.
const MAX_REPLY: usize = 64 << 20;
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(5) };

/// Settings from which a [`RedisStore`] is created. Returned by [`RedisStore::builder`].
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    lookup_timeout: Duration,
    write_timeout: Duration,
    connect_timeout: Duration,
    max_ttl: Duration,
    max_entry_bytes: u64,
    max_variants: usize,
    local: Option<(u64, Duration)>,
    tls: Tls,
}

/// Why a [`RedisStore`] cannot be created. A server that is away is not an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisStoreError {
    /// The URL of the server is invalid. The error does not contain the URL, which may contain a password.
    #[error(
        "the URL of the cache's Redis server is invalid ({reason}): use \
         redis[s]://[user[:password]@]host[:port][/database] or redis+unix:///path[?db=database]"
    )]
    Url {
        /// What is wrong with the URL.
        reason: String,
    },
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// There is no Tokio runtime for the connection to the server.
    #[error(
        "there is no Tokio runtime for the connection to Redis: build the store in async code, or after \
         `let _guard = runtime.enter();`"
    )]
    NoRuntime,
}

impl RedisStore {
    /// Returns a builder for a store at the server with this URL, which has one of these forms:
    ///
    /// - `redis://[user[:password]@]host[:port][/database]`
    /// - `rediss://…` for TLS, with the feature `redis-tls`. The certificate of the server must be valid for the host.
    /// - `redis+unix:///path[?db=database&user=…&pass=…]` for a Unix domain socket
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }
}

impl RedisStoreBuilder {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "equipoise:cache:".to_owned(),
            lookup_timeout: Duration::from_millis(50),
            write_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            max_ttl: Duration::from_secs(24 * 60 * 60),
            max_entry_bytes: 1 << 20,
            max_variants: 32,
            local: None,
            tls: Tls::default(),
        }
    }

    /// Sets the beginning of the names of the store's keys in Redis. Gateways with the same prefix share their cache.
    /// Range: a text of at most 128 bytes that ends with `:`. Default: `equipoise:cache:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a lookup waits for the server. After that, it is a miss. Range: 1 ms to 10 years. Default: 50 ms.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = timeout;
        self
    }

    /// Sets how long storing and purging wait for the server. Range: 1 ms to 10 years. Default: 1 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets how long an attempt to connect may take, with the first answer. The longer one of this time and
    /// [`write_timeout`](Self::write_timeout) is also how long the store waits for any reply after an operation has timed
    /// out; then it closes the connection. Range: 1 ms to 10 years. Default: 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets after which time an entry is removed, even if it may still be used. Range: 1 ms to 10 years. Default: 1
    /// day.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Sets the maximum size of one entry in bytes, with its key. A larger response is not stored. All variants of a
    /// key together have at most 4 times this size; the oldest are dropped. A large entry delays other operations on
    /// the connection. Range: 1 to 64 MiB. Default: 1 MiB.
    pub fn max_entry_bytes(mut self, max_entry_bytes: u64) -> Self {
        self.max_entry_bytes = max_entry_bytes;
        self
    }

    /// Sets the maximum number of variants of a key. When a key has more, the oldest is dropped. Range: 1 to 1 024.
    /// Default: 32.
    pub fn max_variants(mut self, max_variants: usize) -> Self {
        self.max_variants = max_variants;
        self
    }

    /// Remembers found entries in the memory of this gateway, within `max_bytes` and for `ttl`, and answers lookups
    /// from there. During this time, the gateway does not see what other gateways store or purge; its own changes it
    /// sees at once. Range: at least 1 byte, and 1 ms to 10 years. Default: off.
    pub fn local(mut self, max_bytes: u64, ttl: Duration) -> Self {
        self.local = Some((max_bytes, ttl));
        self
    }

    /// Sets the configuration for TLS with a `rediss://` URL, for example to set other root certificates or a client
    /// certificate. Default: the public root certificates that browsers trust, and no client certificate.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn tls(mut self, config: impl Into<std::sync::Arc<rustls::ClientConfig>>) -> Self {
        self.tls.config = Some(config.into());
        self
    }

    /// Builds the store and starts to connect. Until it is connected, lookups are misses.
    ///
    /// # Errors
    ///
    /// Returns a [`RedisStoreError`] if the URL or a setting is invalid, or if this is not called in a Tokio runtime.
    pub fn build(self) -> Result<RedisStore, RedisStoreError> {
        self.check()?;
        let server = self.tls.server(&self.url).map_err(|reason| RedisStoreError::Url { reason })?;
        let runtime = Handle::try_current().map_err(|_| RedisStoreError::NoRuntime)?;
        let scripts = Scripts::new();
        let max_entry = usize::try_from(self.max_entry_bytes).unwrap_or(usize::MAX);
        let max_key = max_entry.saturating_mul(4);
        let settings = LinkSettings {
            server,
            user: "cache",
            prefix: self.prefix.clone(),
            first: [&scripts.get, &scripts.put, &scripts.purge].map(Script::load).into(),
            // A server that does not load scripts gets their text with each call.
            check: |_| Ok(()),
            connect_timeout: self.connect_timeout,
            // While a large entry is sent, the server has nothing to answer.
            max_silence: self.connect_timeout.max(self.write_timeout),
            backoff: BACKOFF,
            max_reply: max_key.saturating_add(MAX_REPLY),
        };
        Ok(RedisStore {
            server: Operations::start(settings, &runtime),
            scripts,
            prefix: self.prefix,
            lookup_timeout: self.lookup_timeout,
            write_timeout: self.write_timeout,
            max_ttl: self.max_ttl,
            max_entry,
            max_key,
            max_variants: self.max_variants,
            local: self.local.map(|(max_bytes, ttl)| Local::new(max_bytes, ttl)),
            counters: Counters::default(),
        })
    }

    fn check(&self) -> Result<(), RedisStoreError> {
        let wrong =
            |setting, value: &dyn fmt::Display, expected| Err(InvalidSetting::new(setting, value, expected).into());
        for (setting, value) in [
            ("lookup_timeout", Some(self.lookup_timeout)),
            ("write_timeout", Some(self.write_timeout)),
            ("connect_timeout", Some(self.connect_timeout)),
            ("max_ttl", Some(self.max_ttl)),
            ("the local ttl", self.local.map(|(_, ttl)| ttl)),
        ] {
            if let Some(value) = value
                && !(Duration::from_millis(1)..=MAX_TIME).contains(&value)
            {
                return wrong(setting, &format_args!("{value:?}"), "from 1 ms to 10 years");
            }
        }
        if self.prefix.len() > MAX_PREFIX || !self.prefix.ends_with(':') {
            let expected = "a text of at most 128 bytes that ends with ':', such as \"shop:cache:\"";
            return wrong("prefix", &format_args!("{:?}", self.prefix), expected);
        }
        if !(1..=MAX_ENTRY).contains(&self.max_entry_bytes) {
            return wrong("max_entry_bytes", &self.max_entry_bytes, "from 1 to 67108864 (64 MiB)");
        }
        if !(1..=1024).contains(&self.max_variants) {
            return wrong("max_variants", &self.max_variants, "from 1 to 1024");
        }
        if self.local.is_some_and(|(max_bytes, _)| max_bytes == 0) {
            return wrong("the local size", &0, "at least 1 byte, usually several megabytes");
        }
        Ok(())
    }
}

impl fmt::Debug for RedisStoreBuilder {
    /// Does not show the URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("lookup_timeout", &self.lookup_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_ttl", &self.max_ttl)
            .field("max_entry_bytes", &self.max_entry_bytes)
            .field("max_variants", &self.max_variants)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_their_range_are_refused() {
        let builder = || RedisStore::builder("redis://127.0.0.1");
        for (wrong, setting) in [
            (builder().lookup_timeout(Duration::ZERO), "lookup_timeout"),
            (builder().write_timeout(Duration::MAX), "write_timeout"),
            (builder().connect_timeout(Duration::ZERO), "connect_timeout"),
            (builder().max_ttl(Duration::ZERO), "max_ttl"),
            (builder().prefix("shop"), "prefix"),
            (builder().prefix(""), "prefix"),
            (builder().prefix(format!("{}:", "x".repeat(128))), "prefix"),
            (builder().max_entry_bytes(0), "max_entry_bytes"),
            (builder().max_entry_bytes(u64::MAX), "max_entry_bytes"),
            (builder().max_variants(0), "max_variants"),
            (builder().local(0, Duration::from_secs(1)), "the local size"),
            (builder().local(1, Duration::ZERO), "the local ttl"),
        ] {
            match wrong.build() {
                Err(RedisStoreError::Setting(error)) => assert_eq!(error.setting, setting),
                other => panic!("{setting}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn invalid_urls_are_refused_without_their_password() {
        for url in ["", "http://a", "redis://", "rediss://:secret@a b", "redis://:secret@a:x", "redis://:secret@a/x"] {
            let error = RedisStore::builder(url).build().expect_err(url);
            assert!(matches!(error, RedisStoreError::Url { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_runtime_is_needed() {
        assert_eq!(RedisStore::builder("redis://127.0.0.1").build().unwrap_err(), RedisStoreError::NoRuntime);
    }
}

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::{__private::Backoff, Clock, SystemClock};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};

#[cfg(doc)]
use super::RedisStore;
use super::{
    error::InvalidRedisStore,
    local_cache::LocalCache,
    script::{self, Scripts},
    shared::{MAX_LOOKUPS, Settings, Shared},
    stats::Counters,
    writer,
};
use crate::link::{Link, LinkSettings, Server};

/// Maximum of all times: ten years. Redis adds them to the current time in milliseconds.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const MAX_PREFIX: usize = 128;
const MAX_CACHED: usize = 1 << 28;
const MAX_QUEUED: usize = 1 << 20;
/// Maximum length of a reply, in bytes. A binding has less than 300 bytes. A longer value, which another application
/// has stored under a key of the store, should not end the connection.
const MAX_REPLY: usize = 64 * 1024;

/// Settings from which a [`RedisStore`] is created. Returned by [`RedisStore::builder`].
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    idle_timeout: Duration,
    lifetime: Option<Duration>,
    cache_ttl: Duration,
    cache_capacity: usize,
    lookup_timeout: Duration,
    connect_timeout: Duration,
    backoff: Backoff,
    write_queue: usize,
    clock: Arc<dyn Clock>,
    wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    #[cfg(feature = "redis-tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl RedisStoreBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "equipoise:".to_owned(),
            idle_timeout: Duration::from_secs(30 * 60),
            lifetime: None,
            cache_ttl: Duration::from_secs(1),
            cache_capacity: 65_536,
            lookup_timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_secs(5) },
            write_queue: 16_384,
            clock: Arc::new(SystemClock::new()),
            wall_clock: Arc::new(SystemTime::now),
            #[cfg(feature = "redis-tls")]
            tls: None,
        }
    }

    /// Sets the prefix of the names of the store's entries in Redis. Balancers with the same prefix share their
    /// sessions. Use a separate prefix for each pool. Range: the empty text, or a text of at most 128 bytes that ends
    /// with `:`. Default: `equipoise:`.
    ///
    /// The prefixes of two pools may begin with the same text, such as `shop:` and `shop:eu:`. Two entries with
    /// different prefixes never have the same name.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a session lasts after its last use. Range: 1 ms to 10 years. Default: 30 minutes.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = idle;
        self
    }

    /// Sets how long a session lasts after it was first bound to an endpoint, even if the session is in use or moves to
    /// another endpoint. Range: 1 s to 10 years. Default: no limit.
    ///
    /// The lifetime starts at the last full second before the session was first bound. It is measured with the wall
    /// clocks of the balancers, so these clocks should agree.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets how long the local cache answers lookups of a session without asking the server. During this time, a
    /// balancer may send requests to an endpoint from which another balancer has moved the session. With 0, each lookup
    /// asks the server, except while the server is unavailable. Range: any duration. Default: 1 s.
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.cache_ttl = ttl;
        self
    }

    /// Sets the maximum number of sessions in the local cache. While the Redis server is unavailable, these sessions
    /// keep their endpoints. Each session takes about 300 bytes. Range: 1 to 2²⁸. Default: 65,536.
    pub fn cache_capacity(mut self, sessions: usize) -> Self {
        self.cache_capacity = sessions;
        self
    }

    /// Sets how long a lookup waits for the server. After this time, the store answers with the session's endpoint from
    /// its local cache. If the local cache does not contain the session, the lookup fails. An answer of the server that
    /// arrives later is stored in the cache. Range: 1 ms to 10 years. Default: 50 ms.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = timeout;
        self
    }

    /// Sets the time limit for two things:
    ///
    /// - Connecting to the server, including the first replies of the server.
    /// - Waiting for any reply after a command has timed out. If no reply arrives within this time, the store closes
    ///   the connection.
    ///
    /// Range: 1 ms to 10 years. Default: 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long the store waits after a failure before it connects to the server again. The wait is `min` after
    /// the first failure and doubles with each further failure, up to `max`. Each wait is shortened by a random part of
    /// at most half. If a connection ends that existed for at least `max`, the end does not count as a failure: the
    /// store tries at once to connect again.
    ///
    /// Range: 1 ms to 10 years for `min`, and `min` to 10 years for `max`. Default: 50 ms for `min`, 5 s for `max`.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = Backoff { min, max };
        self
    }

    /// Sets how many changes may wait to be written to the server. A change is a new endpoint for a session, or the end
    /// of a session. While the queue is full, further changes are not written, and
    /// [`RedisStats::writes_dropped`](super::RedisStats::writes_dropped) counts them. Each waiting change takes about
    /// 100 bytes. Range: 1 to 2²⁰. Default: 16,384.
    pub fn write_queue(mut self, bindings: usize) -> Self {
        self.write_queue = bindings;
        self
    }

    /// Sets the clock that measures idle timeouts and the age of entries in the local cache. Default: the system's
    /// monotonic clock. Timeouts of the connection use the timer of the Tokio runtime instead.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the wall clock that measures [lifetimes](Self::lifetime) of sessions. Default: [`SystemTime::now`].
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.wall_clock = Arc::new(now);
        self
    }

    /// Sets the TLS configuration for a server with a `rediss://` URL, for example to set other root certificates, a
    /// client certificate or another crypto provider. Default: the public root certificates that browsers trust, and no
    /// client certificate. The server's certificate must be valid for the host in the URL.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.tls = Some(config.into());
        self
    }

    /// Checks the settings and starts the tasks of a store.
    pub(super) fn start(self) -> Result<(Arc<Shared>, [AbortHandle; 2]), InvalidRedisStore> {
        let server = Server::new(&self.url)?;
        #[cfg(feature = "redis-tls")]
        let server = match &self.tls {
            Some(config) => server.tls(Arc::clone(config))?,
            None => server,
        };
        self.check()?;
        let runtime = Handle::try_current().map_err(|_| InvalidRedisStore::NoRuntime)?;
        let (writes, queue) = mpsc::channel(self.write_queue);
        let (address, scripts) = (server.address().to_string(), Scripts::new());
        let settings = LinkSettings {
            server,
            user: "session store",
            prefix: self.prefix.clone(),
            first: scripts.first(&self.prefix),
            check: script::check,
            connect_timeout: self.connect_timeout,
            max_silence: self.connect_timeout,
            backoff: self.backoff,
            max_reply: MAX_REPLY,
        };
        let (link, connecting) = Link::start(settings, &runtime);
        let shared = Arc::new(Shared {
            settings: Settings {
                address,
                prefix: self.prefix,
                idle: self.idle_timeout,
                life: self.lifetime,
                cache_ttl: self.cache_ttl,
                lookup_timeout: self.lookup_timeout,
                clock: self.clock,
                wall: self.wall_clock,
            },
            cache: LocalCache::new(self.cache_capacity),
            link,
            scripts,
            counters: Counters::default(),
            open: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            writes,
            runtime: runtime.clone(),
        });
        let writing = Arc::clone(&shared);
        let writing = runtime.spawn(async move { writer::write(&writing, queue).await }).abort_handle();
        Ok((shared, [connecting, writing]))
    }

    fn check(&self) -> Result<(), InvalidRedisStore> {
        let wrong = |setting, value: String, expected| Err(InvalidRedisStore::Setting { setting, value, expected });
        for (setting, value) in [
            ("idle_timeout", self.idle_timeout),
            ("lookup_timeout", self.lookup_timeout),
            ("connect_timeout", self.connect_timeout),
            ("backoff's minimum", self.backoff.min),
            ("backoff's maximum", self.backoff.max),
        ] {
            if !(Duration::from_millis(1)..=MAX_TIME).contains(&value) {
                return wrong(setting, format!("{value:?}"), "use from 1 ms to 10 years");
            }
        }
        if let Some(lifetime) = self.lifetime
            && !(Duration::from_secs(1)..=MAX_TIME).contains(&lifetime)
        {
            return wrong("lifetime", format!("{lifetime:?}"), "use from 1 s to 10 years");
        }
        if self.backoff.max < self.backoff.min {
            return wrong("backoff's maximum", format!("{:?}", self.backoff.max), "use at least the minimum");
        }
        if !self.prefix.is_empty() && !self.prefix.ends_with(':') {
            let expected = "use a text that ends with ':', such as \"shop:\", or an empty text";
            return wrong("prefix", format!("{:?}", self.prefix), expected);
        }
        if self.prefix.len() > MAX_PREFIX {
            return wrong("prefix", format!("a text of {} bytes", self.prefix.len()), "use at most 128 bytes");
        }
        if !(1..=MAX_CACHED).contains(&self.cache_capacity) {
            return wrong("cache_capacity", self.cache_capacity.to_string(), "use from 1 to 2²⁸");
        }
        if !(1..=MAX_QUEUED).contains(&self.write_queue) {
            return wrong("write_queue", self.write_queue.to_string(), "use from 1 to 2²⁰");
        }
        Ok(())
    }
}

impl fmt::Debug for RedisStoreBuilder {
    /// Does not show the URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("idle_timeout", &self.idle_timeout)
            .field("lifetime", &self.lifetime)
            .field("cache_ttl", &self.cache_ttl)
            .field("cache_capacity", &self.cache_capacity)
            .field("lookup_timeout", &self.lookup_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("backoff", &self.backoff)
            .field("write_queue", &self.write_queue)
            .finish_non_exhaustive()
    }
}

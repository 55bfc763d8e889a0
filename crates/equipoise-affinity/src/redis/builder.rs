use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::{Clock, SystemClock};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};

#[cfg(doc)]
use super::RedisStore;
use super::{
    link::{Backoff, Link, LinkSettings},
    local_cache::LocalCache,
    server::{InvalidRedisStore, Server},
    shared::{MAX_LOOKUPS, Settings, Shared},
    stats::Counters,
    writer,
};

/// Maximum of times: ten years. Redis adds them to the current time in milliseconds.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const MAX_PREFIX: usize = 128;
const MAX_CACHED: usize = 1 << 28;
const MAX_QUEUED: usize = 1 << 20;

/// Settings of a [`RedisStore`]. Created by [`RedisStore::builder`].
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
    runtime: Option<Handle>,
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
            runtime: None,
            #[cfg(feature = "redis-tls")]
            tls: None,
        }
    }

    /// Sets the prefix of the store's entries in Redis. Default: `equipoise:`. Balancers with the same prefix share
    /// sessions, so use one for each pool. At most 128 bytes; it must end with `:` or be empty. One prefix may begin
    /// with another (`shop:` and `shop:eu:`): their entries stay separate.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a session lasts without being used. Default: 30 minutes; 1 ms to 10 years.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = idle;
        self
    }

    /// Sets how long a session lasts at most from its first binding, whether it is used or moved. Default: no limit; 1
    /// s to 10 years. It is counted from the full second, by the balancers' wall clocks, which should agree.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets how long the local cache answers instead of the server. Default: 1 s. For this time, a balancer may send
    /// requests to an endpoint from which another balancer has moved the session. With 0, the cache answers only while
    /// the server is unavailable.
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.cache_ttl = ttl;
        self
    }

    /// Sets how many sessions the local cache holds. Default: 65,536, at about 300 bytes each; 1 to 2²⁸. These sessions
    /// continue during an outage.
    pub fn cache_capacity(mut self, sessions: usize) -> Self {
        self.cache_capacity = sessions;
        self
    }

    /// Sets how long a lookup waits for the server. Default: 50 ms; 1 ms to 10 years. A later answer still enters the
    /// local cache.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = timeout;
        self
    }

    /// Sets how long connecting may take, including the server's first replies. A connection on which an expected reply
    /// does not come for this time is ended. Default: 1 s; 1 ms to 10 years.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the wait before connecting again: `min` after the first failure, then doubling up to `max`, and shortened
    /// by up to half at random. There is no wait after a connection that lasted for `max`. Defaults: 50 ms and 5 s; 1
    /// ms to 10 years.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = Backoff { min, max };
        self
    }

    /// Sets how many bindings may wait to be written. Default: 16,384, at about 100 bytes each; 1 to 2²⁰. Further ones
    /// are dropped and [counted](super::RedisStats::writes_dropped).
    pub fn write_queue(mut self, bindings: usize) -> Self {
        self.write_queue = bindings;
        self
    }

    /// Sets the clock of the local cache. Default: the system's monotonic clock. Timeouts towards the server use the
    /// runtime's timer.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the clock for [lifetimes](Self::lifetime). Default: [`SystemTime::now`].
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.wall_clock = Arc::new(now);
        self
    }

    /// Sets the Tokio runtime of the connection, which needs the I/O and time drivers. Default: the runtime in which
    /// [`build`](Self::build) is called.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Sets the TLS configuration for a `rediss://` server, such as other roots, a client certificate or another
    /// provider. Default: the roots that browsers trust. Certificates are always verified, and must be valid for the
    /// URL's host.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.tls = Some(config.into());
        self
    }

    /// Starts the tasks of a store.
    pub(super) fn start(self) -> Result<(Arc<Shared>, [AbortHandle; 2]), InvalidRedisStore> {
        let server = Server::new(
            &self.url,
            #[cfg(feature = "redis-tls")]
            self.tls.clone(),
        )?;
        self.check()?;
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => Handle::try_current().map_err(|_| InvalidRedisStore::NoRuntime)?,
        };
        let (writes, queue) = mpsc::channel(self.write_queue);
        let probe = self.prefix.clone().into_bytes();
        let shared = Arc::new(Shared {
            settings: Settings {
                prefix: self.prefix,
                idle: self.idle_timeout,
                life: self.lifetime,
                cache_ttl: self.cache_ttl,
                link: LinkSettings {
                    server,
                    probe,
                    connect_timeout: self.connect_timeout,
                    lookup_timeout: self.lookup_timeout,
                    backoff: self.backoff,
                },
                clock: self.clock,
                wall: self.wall_clock,
            },
            cache: LocalCache::new(self.cache_capacity),
            link: Link::new(),
            counters: Counters::default(),
            open: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            writes,
            runtime: runtime.clone(),
        });
        let (connecting, writing) = (Arc::clone(&shared), Arc::clone(&shared));
        let keep = async move { connecting.link.keep(&connecting.settings.link, &connecting.counters).await };
        let write = async move { writer::write(&writing, queue).await };
        let tasks = [runtime.spawn(keep).abort_handle(), runtime.spawn(write).abort_handle()];
        Ok((shared, tasks))
    }

    fn check(&self) -> Result<(), InvalidRedisStore> {
        let wrong = |setting, given: String, wanted| Err(InvalidRedisStore::Setting { setting, given, wanted });
        for (setting, given) in [
            ("idle_timeout", self.idle_timeout),
            ("lookup_timeout", self.lookup_timeout),
            ("connect_timeout", self.connect_timeout),
            ("backoff's minimum", self.backoff.min),
            ("backoff's maximum", self.backoff.max),
        ] {
            if !(Duration::from_millis(1)..=MAX_TIME).contains(&given) {
                return wrong(setting, format!("{given:?}"), "it goes from 1 ms to 10 years");
            }
        }
        if let Some(lifetime) = self.lifetime
            && !(Duration::from_secs(1)..=MAX_TIME).contains(&lifetime)
        {
            return wrong("lifetime", format!("{lifetime:?}"), "it goes from 1 s to 10 years");
        }
        if self.backoff.max < self.backoff.min {
            return wrong("backoff's maximum", format!("{:?}", self.backoff.max), "it is at least the minimum");
        }
        if !self.prefix.is_empty() && !self.prefix.ends_with(':') {
            return wrong("prefix", format!("{:?}", self.prefix), "it ends with ':', as in \"shop:\", or is empty");
        }
        if self.prefix.len() > MAX_PREFIX {
            return wrong("prefix", format!("{} bytes long", self.prefix.len()), "it has at most 128 bytes");
        }
        if !(1..=MAX_CACHED).contains(&self.cache_capacity) {
            return wrong("cache_capacity", self.cache_capacity.to_string(), "it goes from 1 to 2²⁸");
        }
        if !(1..=MAX_QUEUED).contains(&self.write_queue) {
            return wrong("write_queue", self.write_queue.to_string(), "it goes from 1 to 2²⁰");
        }
        Ok(())
    }
}

impl fmt::Debug for RedisStoreBuilder {
    /// Without the URL, which may hold a password.
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

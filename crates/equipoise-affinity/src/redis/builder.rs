use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::{Clock, SystemClock};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};

use super::{
    RedisStore,
    backoff::Backoff,
    error::InvalidRedisStore,
    link::{Link, LinkSettings},
    near::Near,
    server::Server,
    shared::{MOST_OPEN, Settings, Shared},
    stats::Counters,
    writer,
};

/// The longest time a setting takes: ten years. Redis adds it to today in milliseconds.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const LONGEST_PREFIX: usize = 128;
const MOST_NEAR: usize = 1 << 28;
const MOST_QUEUED: usize = 1 << 20;

/// What a [`RedisStore`] goes by. Made by [`RedisStore::builder`].
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    idle_timeout: Duration,
    lifetime: Option<Duration>,
    near_ttl: Duration,
    near_capacity: usize,
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
            near_ttl: Duration::from_secs(1),
            near_capacity: 65_536,
            lookup_timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            backoff: Backoff { first: Duration::from_millis(50), most: Duration::from_secs(5) },
            write_queue: 16_384,
            clock: Arc::new(SystemClock::new()),
            wall_clock: Arc::new(SystemTime::now),
            runtime: None,
            #[cfg(feature = "redis-tls")]
            tls: None,
        }
    }

    /// What the names of the store's entries in Redis begin with; `equipoise:` by default. Balancers with the same prefix
    /// share sessions, so give each pool its own. At most 128 bytes that end with `:`, or empty. Of two prefixes one may
    /// begin with the other (`shop:` and `shop:eu:`): their entries never meet.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a session lasts after it was last used; 30 minutes by default. 1 ms to 10 years.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = idle;
        self
    }

    /// How long a session lasts at most after it was first bound, however much it is used or moved; without end by
    /// default. 1 s to 10 years. Goes by the balancers' wall clocks, and from the full second: keep them together.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// How long the near-cache answers for the server; 1 s by default, which is how long a balancer may go on sending a
    /// session where another one has moved it from. 0: the near-cache serves only while the server is away.
    pub fn near_ttl(mut self, ttl: Duration) -> Self {
        self.near_ttl = ttl;
        self
    }

    /// How many sessions the near-cache holds, which are also those that last through an outage; 65 536 by default, some
    /// 300 bytes each. 1 to 2²⁸.
    pub fn near_capacity(mut self, sessions: usize) -> Self {
        self.near_capacity = sessions;
        self
    }

    /// How long a lookup waits for the server; 50 ms by default. What comes later still gets into the near-cache. 1 ms to
    /// 10 years.
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = timeout;
        self
    }

    /// How long connecting may take, up to the server's first answers, and how long a connection may owe answers without
    /// any coming; 1 s by default. 1 ms to 10 years.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait before connecting again: nothing after a connection that lasted for `most`, then `first`, then twice as long
    /// each time up to `most`, less up to half by chance; 50 ms and 5 s by default. 1 ms to 10 years.
    pub fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.backoff = Backoff { first, most };
        self
    }

    /// How many bindings may wait to be written; 16 384 by default, some 100 bytes each. More are dropped and
    /// [counted](super::RedisStats::writes_dropped). 1 to 2²⁰.
    pub fn write_queue(mut self, bindings: usize) -> Self {
        self.write_queue = bindings;
        self
    }

    /// What the near-cache goes by; the system's monotonic clock by default. Time limits towards the server go by the
    /// runtime's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What [lifetimes](Self::lifetime) go by; [`SystemTime::now`] by default.
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.wall_clock = Arc::new(now);
        self
    }

    /// Where the connection lives; the runtime [`build`](Self::build) is called in by default. It needs Tokio's I/O and
    /// time drivers.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// How to speak TLS to a `rediss://` server: other roots than those browsers trust, which are the default, a client's
    /// certificate, another provider. Certificates are always looked at, and have to have the URL's host.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn tls(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.tls = Some(config.into());
        self
    }

    /// Begins to connect, and returns without waiting for it.
    ///
    /// # Errors
    ///
    /// When a setting is impossible; the error names it. That the server is away is none.
    pub fn build(self) -> Result<RedisStore, InvalidRedisStore> {
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
                near_ttl: self.near_ttl,
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
            near: Near::new(self.near_capacity),
            link: Link::new(),
            counters: Counters::default(),
            open: Arc::new(Semaphore::new(MOST_OPEN)),
            writes,
            runtime: runtime.clone(),
        });
        let (keeper, scribe) = (Arc::clone(&shared), Arc::clone(&shared));
        let keep = async move { keeper.link.keep(&keeper.settings.link, &keeper.counters).await };
        let write = async move { writer::write(&scribe, queue).await };
        let tasks = [runtime.spawn(keep).abort_handle(), runtime.spawn(write).abort_handle()];
        Ok(RedisStore { shared, tasks })
    }

    fn check(&self) -> Result<(), InvalidRedisStore> {
        let wrong = |setting, given: String, wanted| Err(InvalidRedisStore::Setting { setting, given, wanted });
        for (setting, given) in [
            ("idle_timeout", self.idle_timeout),
            ("lookup_timeout", self.lookup_timeout),
            ("connect_timeout", self.connect_timeout),
            ("backoff's first wait", self.backoff.first),
            ("backoff's longest wait", self.backoff.most),
        ] {
            if !(Duration::from_millis(1)..=LONGEST).contains(&given) {
                return wrong(setting, format!("{given:?}"), "it goes from 1 ms to 10 years");
            }
        }
        if let Some(lifetime) = self.lifetime
            && !(Duration::from_secs(1)..=LONGEST).contains(&lifetime)
        {
            return wrong("lifetime", format!("{lifetime:?}"), "it goes from 1 s to 10 years");
        }
        if self.backoff.most < self.backoff.first {
            return wrong("backoff's longest wait", format!("{:?}", self.backoff.most), "it is no less than the first");
        }
        if !self.prefix.is_empty() && !self.prefix.ends_with(':') {
            return wrong("prefix", format!("{:?}", self.prefix), "it ends with ':', as in \"shop:\", or is empty");
        }
        if self.prefix.len() > LONGEST_PREFIX {
            return wrong("prefix", format!("{} bytes long", self.prefix.len()), "it has at most 128 bytes");
        }
        if !(1..=MOST_NEAR).contains(&self.near_capacity) {
            return wrong("near_capacity", self.near_capacity.to_string(), "it goes from 1 to 2²⁸");
        }
        if !(1..=MOST_QUEUED).contains(&self.write_queue) {
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
            .field("near_ttl", &self.near_ttl)
            .field("near_capacity", &self.near_capacity)
            .field("lookup_timeout", &self.lookup_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("backoff", &self.backoff)
            .field("write_queue", &self.write_queue)
            .finish_non_exhaustive()
    }
}

use std::{fmt, time::Duration};

use equipoise_affinity::__private::Server;
use equipoise_core::__private::Backoff;

use super::super::InvalidRateLimit;
use crate::{InvalidSetting, redis::Tls};

/// Maximum of all times. A longer time to wait for a decision makes no sense.
const MAX_TIME: Duration = Duration::from_secs(60 * 60);
const MAX_PREFIX: usize = 128;
const MAX_WAITING: usize = 1 << 20;

/// Settings of limits whose buckets are in a Redis or Valkey server, so that several gateways share them. Pass it to
/// [`RateLimitBuilder::redis`](crate::limit::RateLimitBuilder::redis).
///
/// Gateways with the same server and prefix share the buckets of limits with the same name. The server decides on all
/// limits of a request with one script, in one round trip and by its own clock, so the clocks of the gateways do not
/// matter. A script needs Redis 5 or later, or any Valkey. Each key is one string that expires when its bucket is full.
/// Its name contains the SHA-256 of the key (shortened to 128 bits), so no API key is readable in Redis.
///
/// Times in Redis are precise to about 30 ns. A limit of more than 10⁶ units per second is refused.
///
/// **Outages.** While the server is unavailable, the [fallback](Self::fallback) decides. If a request times out and
/// no reply to any other one has arrived meanwhile, requests no longer wait for the server until its next reply: they use
/// the fallback at once. After an error of the connection or of the script, the layer connects again in the background, with
/// a growing wait between attempts. A connection is used after the server has answered a script that writes. So a server
/// that hangs, loads its data or is a replica counts as unavailable.
///
/// **Memory.** The number of keys in Redis is not bounded by [`Limit::max_keys`](crate::limit::Limit::max_keys). It is
/// bounded by their expiry, after [`Quota::window`](crate::limit::Quota::window) at the latest, and by the `maxmemory` of
/// the server. A key takes about 200 bytes. Set `maxmemory`, and leave `maxmemory-policy` at `noeviction`, Redis's default.
/// While such a server is full, it still denies requests by the buckets that it has, and the buckets of this process decide
/// on all others, whatever the fallback is. With an `allkeys-*` or `volatile-*` policy, a full server evicts buckets
/// instead, and an evicted bucket is full again: a client that sends enough keys gets its quota anew. A cache needs such a
/// policy, so give limits a server of their own.
///
/// **Redis Cluster.** All buckets of a request must be on one server, and the layer connects to one server and does not
/// follow redirections. So a node of a cluster counts as unavailable, and
/// [`RedisLimitStats::reason`](crate::limit::RedisLimitStats::reason) says so. With a hash tag as the prefix, such as
/// `{limits}:`, all keys are at the node that has its slot; that node can be used.
///
/// **Permissions.** With an ACL, the user needs the keys with the prefix and the commands `DEL`, `EVAL`, `EVALSHA`, `GET`,
/// `SET` and `TIME`, and `SELECT` if the URL has a database.
///
/// ```no_run
/// use std::time::Duration;
/// use equipoise_gateway::limit::{Limit, LimitKey, Quota, RateLimitLayer, RedisFallback, RedisLimits};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Three gateways share the limit. Without Redis, each of them admits a third.
/// let redis = RedisLimits::new("redis://10.0.0.5").fallback(RedisFallback::Local { gateways: 3 });
/// let layer = RateLimitLayer::builder()
///     .limit(Limit::new("user", LimitKey::identity(), Quota::per_minute(600)))
///     .redis(redis)
///     .build()?;
/// # drop(layer);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisLimits {
    url: String,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) backoff: Backoff,
    pub(super) max_waiting: usize,
    pub(super) fallback: RedisFallback,
    tls: Tls,
}

/// What decides on requests while Redis is unavailable.
///
/// Clients could cause that [too many requests](RedisLimits::max_waiting) wait for the server, or that it is full: it
/// answers `OOM`, or `MISCONF` if it cannot save. Then the buckets of this process decide on the request, whatever the
/// fallback is. With `Allow` and `Deny`, they have the whole quota. A server that answers `MISCONF` when the layer connects
/// is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedisFallback {
    /// The buckets of this process, which are full at first. Each gateway admits the part `1 / gateways` of each quota,
    /// so that all gateways together admit about the quota. With 1, each gateway admits the whole quota. A burst is at
    /// least one unit. A request of more units than this burst uses all of it, if the whole quota could admit the request.
    Local {
        /// Number of gateways that share the limits. 0 counts as 1.
        gateways: u32,
    },
    /// All requests are admitted. A server that is slow because of many requests counts as unavailable too, so clients may
    /// get rid of their limits with it.
    Allow,
    /// All requests are denied with status 503 and the code `rate_limit_unavailable`.
    Deny,
}

impl RedisLimits {
    /// Creates settings for the server at a URL, which has one of these forms:
    ///
    /// - `redis://[user[:password]@]host[:port][/database]`
    /// - `rediss://…` for TLS, with the feature `redis-tls`. The certificate of the server must be valid for the host.
    /// - `redis+unix:///path[?db=database&user=…&pass=…]` for a Unix domain socket
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "equipoise:limit:".to_owned(),
            timeout: Duration::from_millis(20),
            connect_timeout: Duration::from_secs(1),
            backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_secs(5) },
            max_waiting: 1_024,
            fallback: RedisFallback::Local { gateways: 1 },
            tls: Tls::default(),
        }
    }

    /// Sets the prefix of the names of keys in Redis. At most 128 bytes. Default: `equipoise:limit:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a request waits for the decision of the server. After this time, the fallback decides; the server
    /// may still count the request when it goes on. Range: 1 ms to 1 h. Default: 20 ms.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time limit for connecting to the server, including the first script, and for any reply after a request
    /// has timed out; then the connection is closed. Range: 1 ms to 1 h. Default: 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long the layer waits before it connects again after a failure. The wait doubles from `min` to `max`
    /// with each failure in a row, and is shortened by a random part of at most half. Range: 1 ms to 1 h, and `min` is
    /// at most `max`. Default: 50 ms to 5 s.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = Backoff { min, max };
        self
    }

    /// Sets how many requests may wait for the server at the same time. On further requests, the buckets of this process
    /// decide at once, whatever the fallback is. Range: 1 to 2²⁰. Default: 1,024.
    pub fn max_waiting(mut self, requests: usize) -> Self {
        self.max_waiting = requests;
        self
    }

    /// Sets what decides while the server is unavailable. Default: [`RedisFallback::Local`] with the whole quota.
    pub fn fallback(mut self, fallback: RedisFallback) -> Self {
        self.fallback = fallback;
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

    pub(in crate::limit) fn fallback_setting(&self) -> RedisFallback {
        self.fallback
    }

    /// Checks the settings, and returns the server.
    pub(super) fn server(&self) -> Result<Server, InvalidRateLimit> {
        let wrong =
            |setting, value: &dyn fmt::Display, expected| Err(InvalidSetting::new(setting, value, expected).into());
        let Backoff { min, max } = self.backoff;
        for (setting, value) in [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("backoff's minimum", min),
            ("backoff's maximum", max),
        ] {
            if !(Duration::from_millis(1)..=MAX_TIME).contains(&value) {
                return wrong(setting, &format_args!("{value:?}"), "from 1 ms to 1 h");
            }
        }
        if max < min {
            return wrong("backoff's maximum", &format_args!("{max:?}"), "at least the minimum");
        }
        if self.prefix.len() > MAX_PREFIX {
            return wrong("prefix", &format_args!("a text of {} bytes", self.prefix.len()), "at most 128 bytes");
        }
        if !(1..=MAX_WAITING).contains(&self.max_waiting) {
            return wrong("max_waiting", &self.max_waiting, "from 1 to 2²⁰");
        }
        self.tls.server(&self.url).map_err(|reason| InvalidRateLimit::Url { reason })
    }
}

impl fmt::Debug for RedisLimits {
    /// Does not show the URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimits")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("backoff", &self.backoff)
            .field("max_waiting", &self.max_waiting)
            .field("fallback", &self.fallback)
            .finish_non_exhaustive()
    }
}

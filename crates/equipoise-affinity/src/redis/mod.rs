//! Session stores in Redis or Valkey, shared by several balancers.
//!
//! A [`RedisStore`] stores to which endpoint each session is bound. It answers a lookup from its local cache, or asks
//! the server in one round trip. All lookups share one connection (pipelining). Changes are written in the background.
//! Each operation is one command or one script on the server. So if two balancers bind a session to different endpoints
//! at the same time, only one of the endpoints is stored, and both balancers then use this endpoint.
//!
//! A request may reach a second balancer before the first balancer has written the endpoint of the session. The second
//! balancer then finds no endpoint, and its strategy picks one. The next request of the session goes to the endpoint
//! that is stored.
//!
//! The server must be Redis 6.2 or later, or any Valkey: a single server, or a service that behaves like one. Redis
//! Cluster and Sentinel are not supported. A node of a cluster counts as unavailable. With a hash tag in the
//! [prefix](RedisStoreBuilder::prefix), such as `{shop}:`, all entries are at the node that has its slot; that node can
//! be used.
//!
//! With an ACL, the user needs the keys with the prefix and the commands `DEL`, `EVAL`, `EVALSHA`, `GET`, `GETEX`,
//! `PEXPIRE` and `SET`, and `SELECT` if the URL has a database.
//!
//! # When the server is unavailable
//!
//! Requests continue. A lookup waits for at most [`lookup_timeout`](RedisStoreBuilder::lookup_timeout). If a lookup
//! times out and no reply to any command has arrived meanwhile, the server counts as unavailable until its next reply.
//! During this time, lookups do not wait.
//!
//! While the server is unavailable, the local cache also answers from entries that are older than
//! [`cache_ttl`](RedisStoreBuilder::cache_ttl), and still stores new sessions. So a session in a balancer's cache stays
//! bound to its endpoint. For requests of other sessions, the strategy picks an endpoint.
//!
//! The store connects again automatically, and waits longer after each failure. When a session from the local cache is
//! used after that, the store writes the session's endpoint to the server again, because the server may have lost its
//! data. If another balancer has bound the session to another endpoint meanwhile, the endpoint on the server is not
//! changed. There is one limitation: if another balancer has ended a session while the server was unavailable, the
//! session may continue.
//!
//! [`RedisStore::stats`] counts lookups and writes by their results.
//!
//! # What is stored
//!
//! The name of an entry in Redis is the [prefix](RedisStoreBuilder::prefix), followed by the key of the session. A key
//! of 64 bytes or more is replaced by its SHA-256 in hexadecimal digits. In a shorter key, `:` is replaced by `%3A` and
//! `%` by `%25`. So the last `:` of a name is the end of the prefix, and entries with different prefixes never have the
//! same name.
//!
//! The value is a string, `1 <birth> <endpoint id>`. `1` is the version of the format. The birth is the time when the
//! session was first bound to an endpoint, in seconds since 1970. If a birth is more than five minutes ahead of a
//! balancer's clock, it is replaced by the current time, so that the session can reach the end of its
//! [lifetime](RedisStoreBuilder::lifetime). Redis removes the entry after the idle timeout, or at the end of the
//! lifetime if this is earlier. If a value has another form, the session counts as not bound. The value is overwritten
//! when the session is bound again, unless the value begins with another version.
//!
//! # How much is stored
//!
//! The local cache has a maximum number of sessions. The server stores all sessions until they expire.
//! [`Affinity::session_limit`](crate::Affinity::session_limit) limits how many sessions one source may start.
//!
//! Set a limit on the server too: `maxmemory` with `maxmemory-policy volatile-lru`. All entries of the store have a
//! time to live. So if a client invents many keys, Redis evicts the sessions that were not used for longest. It never
//! evicts data without a time to live. With the policy `noeviction`, Redis's default, a full server accepts no new
//! sessions. They are counted in [`writes_dropped`](RedisStats::writes_dropped), and each balancer then uses its own
//! cache.
//!
//! # What is accepted from the server
//!
//! Replies are checked before they are parsed. The connection is closed if a reply is neither a line, a string nor an
//! array, has more than 64 KiB, or does not belong to a command.

mod builder;
mod error;
mod key;
mod local_cache;
mod script;
mod shared;
mod stats;
mod value;
mod writer;

use std::{fmt, sync::Arc};

use equipoise_core::{EndpointId, Timestamp};
use tokio::{sync::oneshot, task::AbortHandle};

pub use self::{builder::RedisStoreBuilder, error::InvalidRedisStore, stats::RedisStats};
use self::{key::StoreKey, local_cache::CacheEntry, shared::Shared};
use crate::{Lookup, SessionStore, StoreError, StoreStats};

/// A session store in Redis or Valkey, for several balancers that share sessions. The [module](self) describes it.
///
/// Dropping the store stops its tasks and closes its connection. Changes of sessions that the store has not yet written
/// to the server are lost.
///
/// ```
/// use equipoise_affinity::{Lookup, SessionStore, redis::RedisStore};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = RedisStore::builder("redis://127.0.0.1:6379/0").prefix("shop:").build()?;
///
/// // Visible here at once, and to other balancers once it is written to the server.
/// store.bind(b"cart-17", &"10.0.0.7:8080".into(), None);
/// let Lookup::Now(found) = store.lookup(b"cart-17") else { unreachable!("the local cache has it") };
/// assert_eq!(found, Ok(Some("10.0.0.7:8080".into())));
/// assert_eq!(store.stats().cache_hits, 1);
/// # Ok::<(), equipoise_affinity::redis::InvalidRedisStore>(())
/// # }).unwrap();
/// ```
pub struct RedisStore {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl RedisStore {
    /// Returns a builder, with default settings, for a store on the server at `url`. `url` has one of these forms:
    ///
    /// - `redis://[user[:password]@]host[:port][/database]`
    /// - `rediss://…` for TLS, with the feature `redis-tls`
    /// - `redis+unix:///path[?db=database&user=…&pass=…]` for a Unix domain socket
    ///
    /// [`build`](RedisStoreBuilder::build) returns an error if the URL is invalid.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    /// Returns how many operations the store has done since it was created, and whether it is connected to the server.
    pub fn stats(&self) -> RedisStats {
        self.shared.counters.snapshot(&self.shared.link)
    }

    /// Returns the cached entry of a key; `None` if there is none or its session has ended.
    fn known(&self, key: &StoreKey, now: Timestamp) -> Option<Arc<CacheEntry>> {
        let known = self.shared.cache.get(key).filter(|known| self.shared.is_live(known, now))?;
        known.touch(now);
        Some(known)
    }

    /// Answers a lookup from a cached entry. If necessary, also writes the entry to the server, or refreshes its idle
    /// timeout there.
    fn answer(&self, key: &StoreKey, known: &Arc<CacheEntry>, now: Timestamp) -> Lookup {
        let shared = &self.shared;
        match shared.link.epoch() {
            Some(epoch) if known.epoch != epoch => shared.write(key, known),
            Some(_) if known.wants_refresh(now, shared.settings.idle / 10) => {
                if let (Some(live), Ok(permit)) = (shared.link.live(), Arc::clone(&shared.open).try_acquire_owned()) {
                    shared.runtime.spawn(Arc::clone(shared).ask(live, *key, Some(Arc::clone(known)), None, permit));
                }
            }
            _ => {}
        }
        let counters = &shared.counters;
        let counter = if known.bound.is_some() { &counters.cache_hits } else { &counters.misses };
        counter.count();
        Lookup::Now(Ok(known.bound.clone()))
    }

    /// Answers a lookup without asking the server: from the cached entry if there is one, and otherwise with an error.
    fn without(&self, known: Option<Arc<CacheEntry>>, reason: impl FnOnce() -> String) -> Lookup {
        let counters = &self.shared.counters;
        match known.and_then(|known| known.bound.clone()) {
            Some(endpoint) => {
                counters.stale_hits.count();
                Lookup::Now(Ok(Some(endpoint)))
            }
            None => {
                counters.unavailable.count();
                Lookup::Now(Err(StoreError::Unavailable { reason: reason() }))
            }
        }
    }
}

impl RedisStoreBuilder {
    /// Creates the store. Returns at once: the store connects to the server in the background.
    ///
    /// The connection runs in the Tokio runtime in which `build` is called. Its I/O and time drivers must be enabled.
    /// Outside of async code, enter a runtime first:
    ///
    /// ```
    /// use equipoise_affinity::redis::RedisStore;
    ///
    /// let runtime = tokio::runtime::Runtime::new()?;
    /// let store = {
    ///     let _guard = runtime.enter();
    ///     RedisStore::builder("redis://127.0.0.1").build()?
    /// };
    /// # drop(store);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`InvalidRedisStore::NoRuntime`] if there is no Tokio runtime.
    /// - Another [`InvalidRedisStore`] if a setting is invalid.
    ///
    /// A server that is unavailable is not an error.
    pub fn build(self) -> Result<RedisStore, InvalidRedisStore> {
        let (shared, tasks) = self.start()?;
        Ok(RedisStore { shared, tasks })
    }
}

impl SessionStore for RedisStore {
    /// Looks the key up in the local cache. If the cache has no binding that is young enough, asks the server in one
    /// round trip. Takes O(1) time. A future in [`Lookup::Later`] may be awaited on any executor.
    fn lookup(&self, key: &[u8]) -> Lookup {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        let now = shared.now();
        let known = self.known(&key, now);
        if let Some(known) = &known
            && (now.since(known.learned) < shared.settings.cache_ttl || known.bound.is_none())
        {
            return self.answer(&key, known, now);
        }
        let Some(live) = shared.link.live() else {
            return self.without(known, || shared.link.reason().unwrap_or_default());
        };
        let Ok(permit) = Arc::clone(&shared.open).try_acquire_owned() else {
            return self.without(known, || "too many lookups wait for the server".to_owned());
        };
        let (caller, found) = oneshot::channel();
        shared.runtime.spawn(Arc::clone(shared).ask(live, key, known, Some(caller), permit));
        Lookup::Later(Box::pin(async move {
            found.await.unwrap_or_else(|_| Err(shared::unavailable("the store has been closed")))
        }))
    }

    /// Stores the binding in the local cache at once, and writes it to the server in the background.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        if !value::is_valid(endpoint.as_str()) {
            return shared.counters.writes_dropped.count();
        }
        let now = shared.now();
        let entry = shared.cache.change(&key, |known| {
            let moved = known.filter(|known| instead_of.is_some() && known.bound.as_ref() == instead_of);
            let born = moved.map_or_else(|| shared.wall() / 1000, |known| shared.born(known));
            // If the old binding was never written, the server still has the binding that the old one replaced.
            let unwritten = moved.filter(|known| known.epoch == 0 && !known.is_writing());
            let there = unwritten.map_or(instead_of, |known| known.instead_of.as_ref());
            CacheEntry::new(Some(endpoint.clone()), born, now).instead_of(there)
        });
        shared.write(&key, &entry);
    }

    fn unbind(&self, key: &[u8]) {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        let now = shared.now();
        let entry = shared.cache.change(&key, |_| CacheEntry::new(None, 0, now));
        shared.write(&key, &entry);
    }

    fn store_stats(&self) -> Option<StoreStats> {
        let stats = self.stats();
        let known = StoreStats::new("redis").connected(stats.connected);
        Some(stats.events().into_iter().fold(known, |known, (name, count)| known.event(name, count)))
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.shared.settings.address)
            .field("prefix", &self.shared.settings.prefix)
            .field("cached", &self.shared.cache.len())
            .field("stats", &self.stats())
            .finish()
    }
}

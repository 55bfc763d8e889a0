//! Sessions in Redis or Valkey, shared by several balancers.
//!
//! A lookup is answered by the local cache, or takes one round trip over the connection that all lookups share
//! (pipelined). Bindings are written in the background. Every operation is one command or one script on the server. So
//! if two balancers bind a session at once, one wins and both follow. A client that reaches another balancer before the
//! write has no binding there yet: that request goes where the strategy says, and the next one follows the binding.
//!
//! It needs Redis 6.2 or later, or any Valkey, as one server or something that behaves like one. Redis Cluster and
//! Sentinel are not supported.
//!
//! # When the server is unavailable
//!
//! Requests continue. A lookup waits for at most its [timeout](RedisStoreBuilder::lookup_timeout). After one timeout
//! without any reply, other lookups do not wait until the server answers again. Meanwhile the local cache also answers
//! from entries past their time, since an old binding is better than none, and stores new ones. So a balancer keeps its
//! own sessions through an outage. Other requests go where the strategy says.
//!
//! The connection is restored automatically, with growing intervals between attempts. Cached bindings are then written
//! to the server when they are next used, also if the server has lost its data. If another balancer has bound a session
//! to another endpoint meanwhile, that binding stays. One limitation: a session that another balancer ended during the
//! outage may continue.
//!
//! [`RedisStore::stats`] counts all of this.
//!
//! # What is stored
//!
//! The name of an entry is the [prefix](RedisStoreBuilder::prefix) followed by the session's key. A key of 64 bytes or
//! more is replaced by its SHA-256 in hex. In shorter keys, `:` is written as `%3A` and `%` as `%25`. So the last `:`
//! of a name ends the prefix, and entries of different prefixes cannot have the same name.
//!
//! The value is a string, `1 <birth> <endpoint id>`: the version of the format, when the session was first bound in
//! seconds since 1970, and the endpoint. A birth more than five minutes in the future of a balancer's clock is replaced
//! by the current time, so that the session ends by its [lifetime](RedisStoreBuilder::lifetime). Redis expires the
//! entry after the idle timeout, and no later than the lifetime allows. A value of another form counts as no binding.
//! The next binding overwrites it, unless it begins with another version.
//!
//! # How much is stored
//!
//! The local cache is bounded. The server stores every session until it expires; only
//! [`Affinity::session_limit`](crate::Affinity::session_limit) limits how many a source may start. Set a limit on the
//! server too: `maxmemory` with `maxmemory-policy volatile-lru`. All entries have a time to live. So a flood of
//! invented keys evicts the least recently used sessions, and no data without a time to live. With `noeviction`,
//! Redis's default, a full server accepts no new sessions. These are counted
//! ([`writes_dropped`](RedisStats::writes_dropped)), and each balancer then uses what it remembers itself.
//!
//! # What is accepted from the server
//!
//! Replies are checked before they are read. A reply that is not flat, has more than 64 KiB, or was not asked for ends
//! the connection.

mod builder;
mod key;
mod link;
mod live;
mod local_cache;
mod script;
mod server;
mod shared;
mod stats;
#[cfg(feature = "redis-tls")]
mod tls;
mod value;
mod wire;
mod writer;

use std::{fmt, sync::Arc};

use equipoise_core::{EndpointId, Timestamp};
use tokio::{sync::oneshot, task::AbortHandle};

pub use self::{builder::RedisStoreBuilder, server::InvalidRedisStore, stats::RedisStats};
use self::{key::StoreKey, local_cache::CacheEntry, shared::Shared};
use crate::{Lookup, SessionStore, StoreError};

/// A store of sessions in Redis or Valkey. See the [module](self).
///
/// Dropping it ends its tasks and its connection. Bindings that have not been written yet are then lost.
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
    /// Returns settings for a store on the server at `redis://[user[:password]@]host[:port][/database]` or
    /// `redis+unix:///path[?db=database&user=…&pass=…]`; with feature `redis-tls` also `rediss://` for TLS.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    /// Returns what the store has done so far, and whether the server is connected.
    pub fn stats(&self) -> RedisStats {
        self.shared.counters.snapshot(self.shared.link.epoch().is_some())
    }

    /// Returns the cached entry of a key, if its session has not ended.
    fn known(&self, key: &StoreKey, now: Timestamp) -> Option<Arc<CacheEntry>> {
        let known = self.shared.cache.get(key).filter(|known| self.shared.is_live(known, now))?;
        known.touch(now);
        Some(known)
    }

    /// Answers from a cached entry, and writes or refreshes it at the server if necessary.
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

    /// Answers without asking the server.
    fn without(&self, known: Option<Arc<CacheEntry>>, why: impl FnOnce() -> String) -> Lookup {
        let counters = &self.shared.counters;
        match known.and_then(|known| known.bound.clone()) {
            Some(endpoint) => {
                counters.stale_hits.count();
                Lookup::Now(Ok(Some(endpoint)))
            }
            None => {
                counters.unavailable.count();
                Lookup::Now(Err(StoreError::Unavailable { reason: why() }))
            }
        }
    }
}

impl RedisStoreBuilder {
    /// Creates the store. It starts to connect, and returns without waiting.
    ///
    /// # Errors
    ///
    /// [`InvalidRedisStore`] if a setting is invalid, or there is no runtime. An unavailable server is not an error.
    pub fn build(self) -> Result<RedisStore, InvalidRedisStore> {
        let (shared, tasks) = self.start()?;
        Ok(RedisStore { shared, tasks })
    }
}

impl SessionStore for RedisStore {
    /// One lookup in the local cache, or one round trip: O(1). The answer may be awaited on any executor.
    fn lookup(&self, key: &[u8]) -> Lookup {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        let now = shared.now();
        let known = self.known(&key, now);
        if let Some(known) = &known
            && (now.since(known.learned) < shared.settings.cache_ttl || known.bound.is_none())
        {
            return self.answer(&key, known, now);
        }
        let Some(live) = shared.link.live() else { return self.without(known, || shared.link.why()) };
        let Ok(permit) = Arc::clone(&shared.open).try_acquire_owned() else {
            return self.without(known, || "too many lookups are under way".to_owned());
        };
        let (caller, found) = oneshot::channel();
        shared.runtime.spawn(Arc::clone(shared).ask(live, key, known, Some(caller), permit));
        Lookup::Later(Box::pin(async move {
            found.await.unwrap_or_else(|_| Err(shared::unavailable("it has been closed")))
        }))
    }

    /// The local cache has the binding at once. It is written to the server in the background.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        if !value::is_valid(endpoint.as_str()) {
            return shared.counters.writes_dropped.count();
        }
        let now = shared.now();
        let entry = shared.cache.change(&key, |known| {
            let moved = known.filter(|known| instead_of.is_some() && known.bound.as_ref() == instead_of);
            let born = moved.map_or_else(|| shared.wall() / 1000, |known| shared.born(known));
            // If the old binding was never written, the server still has the one before it.
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
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.shared.settings.link.server.address().to_string())
            .field("prefix", &self.shared.settings.prefix)
            .field("cached", &self.shared.cache.len())
            .field("stats", &self.stats())
            .finish()
    }
}

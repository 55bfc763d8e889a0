//! Sessions in Redis or Valkey, for several balancers side by side.
//!
//! A lookup is answered by the near-cache, in memory, or takes one round trip over the one connection that all lookups
//! share (pipelined); bindings are written in the background. Every operation is one command or one script on the server,
//! so of two balancers that bind a session at once, one wins and both follow. (A client that is at another balancer before
//! the write is there finds no binding: that request goes by the strategy, and the next one follows.) Takes Redis 6.2 or later, or any Valkey;
//! one server or whatever looks like one (not a cluster, not Sentinel).
//!
//! # When the server is away
//!
//! Requests go on. A lookup waits no longer than its [time limit](RedisStoreBuilder::lookup_timeout); once one has waited
//! in vain and nothing else has come in either, the others do not wait at all until the server answers again. Meanwhile
//! the near-cache answers beyond its entries' time (an old binding is better than none) and remembers new ones, so that a
//! balancer by itself keeps its sessions through an outage. Whatever it does not know goes by the pool's strategy.
//!
//! The connection is made again by itself, at growing intervals. The server then learns what the near-cache knows when
//! it is next used, even if it came back empty; if another balancer has bound the session otherwise meanwhile, that
//! stands. The price: a session that another balancer ended during the outage may live on.
//!
//! All of it is counted: [`RedisStore::stats`].
//!
//! # What is stored
//!
//! The name of an entry is the [prefix](RedisStoreBuilder::prefix) and the session's key. A key of 64 bytes or more is
//! replaced by its SHA-256 in hex, and in shorter ones `:` is written as `%3A` and `%` as `%25`. So the last `:` of a name
//! ends the prefix, and no key under one prefix can be another key under another prefix. The value is a string,
//! `1 <birth> <endpoint id>`: the format's version, the second since 1970 when the session was first bound, and whom it
//! is bound to. A birth more than five minutes ahead of a balancer's clock is stored again as now, so that the session
//! ends by its [lifetime](RedisStoreBuilder::lifetime) all the same. Redis expires it: after the idle timeout, no later than the lifetime allows. What is found there and is no
//! such string counts as no binding; strings without a version are written over by the next binding.
//!
//! # How much is stored
//!
//! The near-cache is bounded; on the server, each key that clients bring takes its place until it expires, and nothing
//! here counts them but [`Affinity::session_limit`](crate::Affinity::session_limit), by source. Bound it there too: `maxmemory` with `maxmemory-policy volatile-lru`. Every key of ours has a time to
//! live, so under a flood of made-up ones those go first that have not been used for longest, which are then unbound, and
//! what others keep there without one stays. With `noeviction`, Redis's default, a full server takes no new session:
//! that is counted ([`writes_dropped`](RedisStats::writes_dropped)), and each balancer goes by what it remembers itself.
//!
//! # What is answered
//!
//! What a server sends is checked before it is read: anything but flat answers of at most 64 KiB, and any answer nobody
//! asked for, ends the connection.

mod backoff;
mod builder;
mod error;
mod key;
mod link;
mod live;
mod near;
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

pub use self::{builder::RedisStoreBuilder, error::InvalidRedisStore, stats::RedisStats};
use self::{key::StoreKey, near::Entry, shared::Shared};
use crate::{Lookup, SessionStore, StoreError};

/// Sessions in Redis or Valkey. See the [module](self).
///
/// ```
/// use equipoise_affinity::{Lookup, SessionStore, redis::RedisStore};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = RedisStore::builder("redis://127.0.0.1:6379/0").prefix("shop:").build()?;
///
/// // Known here at once, and to the other balancers as soon as the server hears of it.
/// store.bind(b"cart-17", &"10.0.0.7:8080".into(), None);
/// let Lookup::Now(found) = store.lookup(b"cart-17") else { unreachable!("the near-cache has it") };
/// assert_eq!(found, Ok(Some("10.0.0.7:8080".into())));
/// assert_eq!(store.stats().near_hits, 1);
/// # Ok::<(), equipoise_affinity::redis::InvalidRedisStore>(())
/// # }).unwrap();
/// ```
///
/// Dropping it ends its tasks and the connection. Bindings that still wait to be written are lost with it.
pub struct RedisStore {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl RedisStore {
    /// A store on the server at `redis://[user[:password]@]host[:port][/database]` or
    /// `redis+unix:///path[?db=database&user=…&pass=…]`; with feature `redis-tls` also `rediss://` for TLS.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    /// What it has done so far, and whether the server can be asked now.
    pub fn stats(&self) -> RedisStats {
        self.shared.counters.snapshot(self.shared.link.epoch().is_some())
    }

    /// What the near-cache has for a key, if the session goes on.
    fn known(&self, key: &StoreKey, now: Timestamp) -> Option<Arc<Entry>> {
        let known = self.shared.near.get(key).filter(|known| self.shared.goes_on(known, now))?;
        known.touch(now);
        Some(known)
    }

    /// Answers from an entry that may still answer, and sees to it that the server hears what it should.
    fn answer(&self, key: &StoreKey, known: &Arc<Entry>, now: Timestamp) -> Lookup {
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
        let counter = if known.bound.is_some() { &counters.near_hits } else { &counters.misses };
        counter.count();
        Lookup::Now(Ok(known.bound.clone()))
    }

    /// Answers without asking.
    fn without(&self, known: Option<Arc<Entry>>, why: impl FnOnce() -> String) -> Lookup {
        let counters = &self.shared.counters;
        match known.and_then(|known| known.bound.clone()) {
            Some(endpoint) => {
                counters.stale_hits.count();
                Lookup::Now(Ok(Some(endpoint)))
            }
            None => {
                counters.away.count();
                Lookup::Now(Err(StoreError::Away { why: why() }))
            }
        }
    }
}

impl SessionStore for RedisStore {
    /// One look into the near-cache, or one round trip: O(1). The answer may be awaited on any executor.
    fn lookup(&self, key: &[u8]) -> Lookup {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        let now = shared.now();
        let known = self.known(&key, now);
        if let Some(known) = &known
            && (now.since(known.learned) < shared.settings.near_ttl || known.bound.is_none())
        {
            return self.answer(&key, known, now);
        }
        let Some(live) = shared.link.live() else { return self.without(known, || shared.link.why()) };
        let Ok(permit) = Arc::clone(&shared.open).try_acquire_owned() else {
            return self.without(known, || "too many lookups are under way".to_owned());
        };
        let (caller, found) = oneshot::channel();
        shared.runtime.spawn(Arc::clone(shared).ask(live, key, known, Some(caller), permit));
        Lookup::Later(Box::pin(async move { found.await.unwrap_or_else(|_| Err(shared::away("it has been closed"))) }))
    }

    /// The near-cache has it at once; the server hears of it in the background.
    fn bind(&self, key: &[u8], endpoint: &EndpointId, instead_of: Option<&EndpointId>) {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        if !value::is_valid(endpoint.as_str()) {
            return shared.counters.writes_dropped.count();
        }
        let now = shared.now();
        let entry = shared.near.change(&key, |known| {
            let moved = known.filter(|known| instead_of.is_some() && known.bound.as_ref() == instead_of);
            let born = moved.map_or_else(|| shared.wall() / 1000, |known| shared.born(known));
            // What is moved may never have got to the server, which then still has what that was to replace.
            let unwritten = moved.filter(|known| known.epoch == 0 && !known.is_writing());
            let there = unwritten.map_or(instead_of, |known| known.instead_of.as_ref());
            Entry::new(Some(endpoint.clone()), born, now).instead_of(there)
        });
        shared.write(&key, &entry);
    }

    fn unbind(&self, key: &[u8]) {
        let (shared, key) = (&self.shared, StoreKey::new(key));
        let now = shared.now();
        let entry = shared.near.change(&key, |_| Entry::new(None, 0, now));
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
            .field("near", &self.shared.near.len())
            .field("stats", &self.stats())
            .finish()
    }
}

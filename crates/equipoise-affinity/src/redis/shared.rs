//! The state of a Redis session store. The callers of the store and its background tasks share this state. The module
//! also looks up sessions on the Redis server.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::{Clock, EndpointId, Timestamp};
use redis::{Cmd, Value};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{
    key::StoreKey,
    local_cache::{CacheEntry, LocalCache, SKEW},
    script::{self, Scripts},
    stats::{Counter, Counters},
    value::Binding,
};
use crate::{
    StoreError,
    link::{Link, Live, explain},
    read::since_1970,
};

/// Maximum number of lookups that wait for the server at the same time. Each takes about 2 KiB. With round trips of 1
/// ms, this allows 4 million lookups per second.
pub(super) const MAX_LOOKUPS: usize = 4096;

type Found = Result<Option<EndpointId>, StoreError>;

/// Settings of a session store in Redis.
pub(super) struct Settings {
    /// The address of the server, without user and password.
    pub(super) address: String,
    pub(super) prefix: String,
    pub(super) idle: Duration,
    pub(super) life: Option<Duration>,
    pub(super) cache_ttl: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) wall: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

/// A change that must be written to the server: a binding, or the end of a session.
pub(super) struct Write {
    pub(super) key: StoreKey,
    pub(super) entry: Arc<CacheEntry>,
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) cache: LocalCache,
    pub(super) link: Arc<Link>,
    pub(super) scripts: Scripts,
    pub(super) counters: Counters,
    pub(super) open: Arc<Semaphore>,
    pub(super) writes: mpsc::Sender<Write>,
    pub(super) runtime: Handle,
}

impl Shared {
    pub(super) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Returns the wall clock's time in milliseconds since 1970; 0 if the clock is before 1970.
    pub(super) fn wall(&self) -> u64 {
        millis(since_1970((self.settings.wall)()))
    }

    /// Returns the time of the session's first binding, in seconds since 1970.
    pub(super) fn born(&self, entry: &CacheEntry) -> u64 {
        entry.born(self.wall() / 1000)
    }

    pub(super) fn idle(&self) -> u64 {
        millis(self.settings.idle)
    }

    /// Returns the lifetime in milliseconds, as an argument for scripts. 0 means no limit.
    pub(super) fn life(&self) -> u64 {
        self.settings.life.map_or(0, millis)
    }

    /// Whether the session of a cached entry has not ended, as far as this balancer knows.
    pub(super) fn is_live(&self, entry: &CacheEntry, now: Timestamp) -> bool {
        entry.unused_for(now) < self.settings.idle
            && (self.settings.life.is_none()
                || entry.bound.is_none()
                || self.wall() < self.born(entry).saturating_mul(1000).saturating_add(self.life()))
    }

    /// Passes an entry to the writer, unless the writer already has it.
    pub(super) fn write(&self, key: &StoreKey, entry: &Arc<CacheEntry>) {
        if self.link.epoch().is_none() {
            return self.counters.writes_dropped.count();
        }
        if entry.begin_write() && self.writes.try_send(Write { key: *key, entry: Arc::clone(entry) }).is_err() {
            entry.end_write();
            self.counters.writes_dropped.count();
        }
    }

    /// Returns the command that binds `key` to the endpoint of `entry`. With `text`, the command contains the text of
    /// the script instead of its name.
    pub(super) fn bind_command(&self, key: &StoreKey, entry: &CacheEntry, text: bool) -> Cmd {
        let mut bind = self.scripts.bind.call(&[key.under(&self.settings.prefix)], text);
        bind.arg(entry.bound.as_ref().map_or("", EndpointId::as_str))
            .arg(entry.instead_of.as_ref().map_or("", EndpointId::as_str))
            .arg(self.born(entry))
            .arg(self.idle())
            .arg(self.life())
            .arg(self.wall())
            .arg(SKEW * 1000);
        bind
    }

    /// Returns the command that looks up `key`. If `known` has a binding that the server has not confirmed on this
    /// connection, the command also stores this binding. So a server that has lost its data gets the binding back.
    fn lookup_command(&self, live: &Live, key: &StoreKey, known: Option<&CacheEntry>, text: bool) -> Cmd {
        if let Some(known) = known
            && known.epoch != live.epoch
        {
            return self.bind_command(key, known, text);
        }
        let name = key.under(&self.settings.prefix);
        if self.settings.life.is_none() {
            return script::get(&name, self.idle());
        }
        let mut touch = self.scripts.touch.call(&[name], text);
        touch.arg(self.idle()).arg(self.life()).arg(self.wall()).arg(SKEW * 1000);
        touch
    }

    /// Asks the server, and answers `caller` within the lookup timeout. An answer that arrives later is stored in the
    /// local cache.
    pub(super) async fn ask(
        self: Arc<Self>,
        live: Arc<Live>,
        key: StoreKey,
        known: Option<Arc<CacheEntry>>,
        caller: Option<oneshot::Sender<Found>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let (asked, answers) = (self.now(), live.answers());
        let mut answer = std::pin::pin!(live.run(|text| self.lookup_command(&live, &key, known.as_deref(), text)));
        let stale = || known.as_ref().and_then(|known| known.bound.clone());
        let found = match timeout(self.settings.lookup_timeout, &mut answer).await {
            Ok(Ok(answer)) => self.learn(&live, &key, answer, asked),
            Ok(Err(_)) => Err(match live.violation() {
                Some(violation) => StoreError::Malformed { reason: violation.to_owned() },
                None => unavailable("the connection was lost"),
            }),
            Err(_) => {
                live.report_timeout(answers);
                self.reply(caller, Err(unavailable("no answer within lookup_timeout")), stale());
                if let Ok(answer) = answer.await {
                    let _ = self.learn(&live, &key, answer, asked);
                }
                return;
            }
        };
        self.reply(caller, found, stale());
    }

    /// Counts the lookup and answers `caller`. Does nothing if there is no caller.
    fn reply(&self, caller: Option<oneshot::Sender<Found>>, found: Found, stale: Option<EndpointId>) {
        let Some(caller) = caller else { return };
        let (counter, found) = self.classify(found, stale);
        counter.count();
        let _ = caller.send(found);
    }

    fn classify(&self, found: Found, stale: Option<EndpointId>) -> (&Counter, Found) {
        let counters = &self.counters;
        match found {
            Ok(Some(_)) => (&counters.hits, found),
            Ok(None) => (&counters.misses, found),
            Err(StoreError::Unavailable { .. }) if stale.is_some() => (&counters.stale_hits, Ok(stale)),
            Err(StoreError::Unavailable { .. }) => (&counters.unavailable, found),
            Err(StoreError::Malformed { .. }) => (&counters.malformed, found),
        }
    }

    fn learn(&self, live: &Live, key: &StoreKey, answer: Value, asked: Timestamp) -> Found {
        let found = read(answer)?;
        Ok(self.cache.learn(key, found, asked, self.now(), live.epoch))
    }
}

/// Reads the server's answer: the binding of a session, or `None` if the session is not bound.
pub(super) fn read(answer: Value) -> Result<Option<Binding>, StoreError> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(value) => match Binding::parse(&value) {
            Ok(binding) => Ok(Some(binding)),
            Err(what) => Err(StoreError::Malformed { reason: what.to_owned() }),
        },
        Value::ServerError(error) if error.code() == "WRONGTYPE" => {
            Err(StoreError::Malformed { reason: "the value in Redis is not a string".to_owned() })
        }
        Value::ServerError(error) => Err(unavailable(&explain(&error))),
        _ => Err(StoreError::Malformed { reason: "the answer of the server has an unexpected type".to_owned() }),
    }
}

pub(super) fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

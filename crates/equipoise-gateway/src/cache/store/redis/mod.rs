mod builder;
mod local;
mod operations;
mod purge;
mod script;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::Value;
use xxhash_rust::xxh3::xxh3_128;

use self::{
    local::Local,
    operations::Operations,
    script::{Kind, Scripts, place},
};
use super::{
    Entries, Entry, Generation, Head, Key, Lookup, Purge, Store, StoreError, StoreFuture, StoreStats, Stored, Tag,
};

pub use self::builder::{RedisStoreBuilder, RedisStoreError};

/// A [`Store`] in Redis or Valkey, which several gateways share.
///
/// Each operation is one script and one round trip. An entry expires in Redis when nothing may use it any more, after
/// [`max_ttl`](RedisStoreBuilder::max_ttl) at the latest. The total size is bounded by the server: set its `maxmemory`,
/// and a `maxmemory-policy` such as `allkeys-lfu`. With the policy `noeviction`, Redis's default, a full server stores
/// nothing more, and still answers lookups.
///
/// The server is Redis 5 or later, or any Valkey: one primary server. A replica counts as unavailable, and so does a node
/// of a Redis Cluster, because a script uses two keys: see [`RedisConnectionStats::reason`]. With a hash tag as the prefix,
/// such as `{shop}:cache:`, all keys are at the node of a cluster that has its slot; that node can be used.
///
/// With an ACL, the user needs the keys with the prefix and the commands `DEL`, `EVAL`, `EVALSHA`, `HDEL`, `HGET`, `HLEN`,
/// `HMGET`, `HSET`, `HSTRLEN`, `PEXPIRE`, `PTTL`, `SCAN`, `TIME` and `UNLINK`, and `SELECT` if the URL has a database.
///
/// # When the server is away
///
/// An operation fails if there is no connection, or if no answer comes within
/// [`lookup_timeout`](RedisStoreBuilder::lookup_timeout). A failed lookup is a miss, a failed `put` stores nothing, and
/// [`StoreStats::errors`] counts both. Entries that wait to be sent take at most 80 MiB; beyond that, a `put` fails. If an
/// operation times out and no reply to any other one has arrived meanwhile, operations fail at once until the next reply.
/// When the connection has ended, a task connects again, with waits from 50 ms to 5 s.
///
/// **A purge that fails is lost**: it returns a [`StoreError`], and [`StoreStats::errors`] counts it. When the server is
/// back, it may still have the entries, until they expire, so the purge should be tried again.
///
/// # Purges
///
/// A purge of tags, a URL with extra parts, or everything does not look for the entries: it writes a generation to a
/// table in Redis, and older entries no longer count. So it is O(1), and there are no sets of keys that could grow
/// without bound. The memory is free when the entries are looked up or expire. The table has a fixed number of places,
/// 16 384 each for tags, URLs and keys, chosen by hashes. When two tags share a place, a purge of one also removes the
/// entries of the other. [`Purge::Prefix`] scans the names of all keys in the database.
///
/// If the server evicts or loses the table, everything that was stored before counts as purged.
///
/// ```no_run
/// use equipoise_gateway::cache::store::RedisStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # let _guard = runtime.enter();
/// let store = RedisStore::builder("redis://10.0.0.7:6379").prefix("shop:cache:").build()?;
/// # Ok(())
/// # }
/// ```
pub struct RedisStore {
    server: Operations,
    scripts: Scripts,
    prefix: String,
    lookup_timeout: Duration,
    write_timeout: Duration,
    max_ttl: Duration,
    max_entry: usize,
    max_key: usize,
    max_variants: usize,
    local: Option<Local>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    found: AtomicU64,
    not_found: AtomicU64,
    local_hits: AtomicU64,
    stored: AtomicU64,
    too_large: AtomicU64,
    refused_purged: AtomicU64,
    invalid: AtomicU64,
}

/// The state of a [`RedisStore`]'s connection, and what went wrong. Counters never decrease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConnectionStats {
    /// Whether there is a connection now, and the server answers.
    pub connected: bool,
    /// Why there is no connection now, or why the server cannot be used. `None` if it can be used.
    pub reason: Option<String>,
    /// Total connections that were opened.
    pub connects: u64,
    /// Total attempts to connect that failed.
    pub connect_failures: u64,
    /// Total operations that failed because there was no connection, because the server had stopped answering, or because
    /// 1 024 operations or entries of 80 MiB were waiting.
    pub unavailable: u64,
    /// Total operations to which no answer came in time.
    pub timeouts: u64,
    /// Total operations that ended with an error: the server refused them, or the connection ended.
    pub refused: u64,
    /// Total entries and answers that could not be read. They count as not stored.
    pub invalid: u64,
    /// Total lookups that were answered by the memory of this gateway. See [`RedisStoreBuilder::local`].
    pub local_hits: u64,
}

impl RedisStore {
    /// Returns the state of the connection and what went wrong.
    pub fn connection_stats(&self) -> RedisConnectionStats {
        let Operations { link, unavailable, timeouts, refused, .. } = &self.server;
        let reason = link.reason();
        RedisConnectionStats {
            connected: reason.is_none(),
            reason,
            connects: link.connects(),
            connect_failures: link.connect_failures(),
            unavailable: unavailable.load(Relaxed),
            timeouts: timeouts.load(Relaxed),
            refused: refused.load(Relaxed),
            invalid: self.counters.invalid.load(Relaxed),
            local_hits: self.counters.local_hits.load(Relaxed),
        }
    }

    /// The name of a key. The length of the URL separates it from the extra part, so names differ if keys differ.
    fn name(&self, key: &Key) -> Vec<u8> {
        let mut name = format!("{}e:{}:{}", self.prefix, key.url().len(), key.url()).into_bytes();
        name.extend_from_slice(key.extra());
        name
    }

    fn table(&self) -> Vec<u8> {
        format!("{}table", self.prefix).into_bytes()
    }

    /// The place of the URL, against which entries are checked when they are read. Keys without an extra part need
    /// none, because a purge of their URL removes them.
    fn url_check(key: &Key) -> String {
        if key.extra().is_empty() { String::new() } else { place(Kind::Url, key.url().as_bytes()) }
    }

    async fn lookup(&self, key: Key, now: SystemTime) -> Lookup {
        let changes = self.local.as_ref().map(Local::changes);
        let (keys, url) = ([self.name(&key), self.table()], Self::url_check(&key));
        let call = |text| {
            let mut call = self.scripts.get.call(&keys, text);
            call.arg(millis(now)).arg(&url).arg(self.max_key);
            call
        };
        let answer = self.server.run(self.lookup_timeout, call).await;
        let lookup = match answer.map(|answer| self.read(answer, &key, now)) {
            Ok(Some(lookup)) => lookup,
            Ok(None) => {
                self.counters.invalid.fetch_add(1, Relaxed);
                Lookup::default()
            }
            Err(_) => Lookup::default(),
        };
        if let (Some(local), Some(changes), false) = (&self.local, changes, lookup.entries.is_empty()) {
            local.remember(&key, &lookup, changes);
        }
        self.count_found(&lookup);
        lookup
    }

    /// Reads the answer of the script: the generation and the entries.
    fn read(&self, answer: Value, key: &Key, now: SystemTime) -> Option<Lookup> {
        let Value::Array(answer) = answer else { return None };
        let mut answer = answer.into_iter();
        let Some(Value::BulkString(generation)) = answer.next() else { return None };
        let generation = std::str::from_utf8(&generation).ok()?.parse().ok()?;
        let read = |value| {
            let Value::BulkString(bytes) = value else { return None };
            match Entry::from_bytes(bytes.into()) {
                Ok(entry) => (!entry.is_expired(now)).then_some(entry),
                Err(error) => {
                    tracing::debug!(%error, url = key.url(), "an entry of the cache in Redis cannot be read");
                    self.counters.invalid.fetch_add(1, Relaxed);
                    None
                }
            }
        };
        let mut entries: Vec<Entry> = answer.take(self.max_variants).filter_map(read).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.head().response_time));
        Some(Lookup::new(Entries::from_iter(entries), Generation(generation)))
    }

    fn count_found(&self, lookup: &Lookup) {
        let counter = if lookup.entries.is_empty() { &self.counters.not_found } else { &self.counters.found };
        counter.fetch_add(1, Relaxed);
    }

    async fn store(&self, key: Key, entry: Entry, since: Generation) -> Stored {
        let head = entry.head();
        let too_large = || {
            self.counters.too_large.fetch_add(1, Relaxed);
            Stored::TooLarge
        };
        if head.tags.len() > Tag::MAX_PER_ENTRY || entry.size().saturating_add(key.size()) > self.max_entry {
            return too_large();
        }
        let Some(_reserved) = self.server.reserve(entry.size()) else { return Stored::Failed };
        let Some(bytes) = entry.to_bytes() else { return too_large() };
        let now = SystemTime::now();
        let left = head.expires.map_or(self.max_ttl, |expires| expires.duration_since(now).unwrap_or_default());
        let ttl = left.min(self.max_ttl);
        if ttl < Duration::from_millis(1) {
            // It would expire at once.
            return Stored::Yes;
        }
        let keys = [self.name(&key), self.table()];
        let mut places = vec![
            place(Kind::Key, &[key.url().as_bytes(), b"\0", key.extra()].concat()),
            place(Kind::Url, key.url().as_bytes()),
        ];
        places.extend(head.tags.iter().map(|tag| place(Kind::Tag, tag.as_str().as_bytes())));
        let call = |text| {
            let mut call = self.scripts.put.call(&keys, text);
            call.arg(millis(now)).arg(Self::url_check(&key)).arg(since.0).arg(digest(head));
            call.arg(millis(head.response_time))
                .arg(now.checked_add(ttl).map_or(0, millis))
                .arg(ttl.as_millis() as u64);
            call.arg(self.max_variants).arg(self.max_key).arg(&bytes[..]).arg(&places);
            call
        };
        if let Some(local) = &self.local {
            local.forget(&key);
        }
        let answer = self.server.run(self.write_timeout, call).await;
        if let Some(local) = &self.local {
            local.forget(&key);
        }
        match answer {
            Ok(Value::Int(1)) => {
                self.counters.stored.fetch_add(1, Relaxed);
                Stored::Yes
            }
            Ok(Value::Int(0)) => {
                self.counters.refused_purged.fetch_add(1, Relaxed);
                Stored::Purged
            }
            Ok(Value::Int(2)) => Stored::Superseded,
            Ok(_) => {
                self.counters.invalid.fetch_add(1, Relaxed);
                Stored::Failed
            }
            Err(_) => Stored::Failed,
        }
    }
}

impl Store for RedisStore {
    fn get(&self, key: &Key, now: SystemTime) -> StoreFuture<'_, Lookup> {
        if let Some(lookup) = self.local.as_ref().and_then(|local| local.get(key))
            && !lookup.entries.iter().any(|entry| entry.is_expired(now))
        {
            self.counters.local_hits.fetch_add(1, Relaxed);
            self.count_found(&lookup);
            return StoreFuture::ready(lookup);
        }
        StoreFuture::boxed(self.lookup(key.clone(), now))
    }

    fn put(&self, key: &Key, entry: Entry, generation: Generation) -> StoreFuture<'_, Stored> {
        StoreFuture::boxed(self.store(key.clone(), entry, generation))
    }

    fn remove(&self, key: &Key) -> StoreFuture<'_, Result<usize, StoreError>> {
        StoreFuture::boxed(self.remove_key(key.clone()))
    }

    /// Removes all entries that `what` describes. Returns the number of removed keys for [`Purge::Prefix`], 1 or 0 for
    /// [`Purge::Url`] without those that have an extra part, and otherwise 0. Returns a [`StoreError`] if the server does
    /// not confirm each step in time: a purge of a prefix may then have removed a part.
    fn purge(&self, what: &Purge) -> StoreFuture<'_, Result<usize, StoreError>> {
        StoreFuture::boxed(self.remove_all(what.clone()))
    }

    /// Returns the counters of this gateway. The number and size of entries in Redis are not known.
    fn stats(&self) -> StoreStats {
        let (counters, connection) = (&self.counters, self.connection_stats());
        StoreStats {
            found: counters.found.load(Relaxed),
            not_found: counters.not_found.load(Relaxed),
            stored: counters.stored.load(Relaxed),
            too_large: counters.too_large.load(Relaxed),
            refused_purged: counters.refused_purged.load(Relaxed),
            errors: connection.unavailable + connection.timeouts + connection.refused + connection.invalid,
            ..StoreStats::default()
        }
    }
}

impl fmt::Debug for RedisStore {
    /// Does not show the URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("connected", &self.server.link.reason().is_none())
            .finish_non_exhaustive()
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The name of a variant within its key. The cache compares the values themselves, so two variants with the same digest
/// only replace each other.
fn digest(head: &Head) -> String {
    let mut text = Vec::new();
    for (name, values) in &head.vary {
        text.extend_from_slice(name.as_str().as_bytes());
        for value in values {
            text.push(0);
            text.extend_from_slice(value.as_bytes());
        }
        text.push(b'\n');
    }
    format!("{:032x}", xxh3_128(&text))
}

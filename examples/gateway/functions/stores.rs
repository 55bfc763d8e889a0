//! The stores of caches.

use std::{collections::BTreeMap, sync::Arc};

use equipoise::{
    gateway::cache::{
        SharedStore,
        store::{MemoryStore, RedisConnectionStats, RedisStore, StoreStats},
    },
    monitor::FunctionReadings,
};
use serde_json::{Value, json};
use toml::Spanned;

use super::kept::{Function, NewFunctions};
use crate::{
    config::{CacheStoreTable, LocalTable, RedisStoreTable},
    source::{ConfigError, Source},
};

/// The longest response in Redis by default. A longer one delays others on the connection.
const MAX_ENTRY_BYTES: u64 = 1024 * 1024;

/// The stores of a configuration, by their names.
pub(crate) type CacheStores = BTreeMap<String, Arc<CacheStore>>;

/// A store that several caches share.
pub(crate) struct CacheStore {
    pub(super) store: SharedStore,
    pub(super) max_entry_bytes: u64,
    pub(super) redis: Option<Arc<RedisStore>>,
}

/// Creates a store, or returns the running one with the same table.
pub(crate) fn store(
    (name, table): (&str, &Spanned<CacheStoreTable>),
    functions: &NewFunctions<'_>,
    source: &Source,
) -> Result<Arc<CacheStore>, ConfigError> {
    let CacheStoreTable { max_bytes, max_entry_bytes, redis } = table.get_ref();
    let url = |table: &Spanned<RedisStoreTable>| {
        let RedisStoreTable { url, url_file, .. } = table.get_ref();
        super::redis::url(url.as_ref(), url_file.as_ref(), table.span(), source)
    };
    let url = redis.as_ref().map(url).transpose()?;
    functions.keep_or_build(&format!("cache.{name}"), (table.get_ref().clone(), url.clone()), || {
        let memory = match (max_bytes, redis.as_ref().zip(url)) {
            (Some(max), None) => MemoryStore::builder(*max),
            (None, Some((redis, url))) => return in_redis(redis, &url, *max_entry_bytes, source),
            _ => return Err(source.error(table.span(), "a store has one of max_bytes (in memory) and redis")),
        };
        let memory = max_entry_bytes.iter().fold(memory, |memory, max| memory.max_entry_bytes(*max));
        let store = memory.build().map_err(|error| source.caused(table.span(), &error))?;
        let max_entry_bytes = store.max_entry_bytes();
        Ok(CacheStore { max_entry_bytes, store: SharedStore::new(Arc::new(store)), redis: None })
    })
}

fn in_redis(
    table: &Spanned<RedisStoreTable>,
    url: &str,
    max_entry_bytes: Option<u64>,
    source: &Source,
) -> Result<CacheStore, ConfigError> {
    let RedisStoreTable { prefix, lookup_timeout, max_ttl, local, .. } = table.get_ref();
    let max_entry_bytes = max_entry_bytes.unwrap_or(MAX_ENTRY_BYTES);
    let mut builder = RedisStore::builder(url).max_entry_bytes(max_entry_bytes);
    if let Some(prefix) = prefix {
        builder = builder.prefix(prefix);
    }
    if let Some(timeout) = lookup_timeout {
        builder = builder.lookup_timeout(*timeout.get_ref());
    }
    if let Some(ttl) = max_ttl {
        builder = builder.max_ttl(*ttl.get_ref());
    }
    if let Some(LocalTable { max_bytes, ttl }) = local {
        builder = builder.local(*max_bytes, *ttl);
    }
    let store = Arc::new(builder.build().map_err(|error| source.caused(table.span(), &error))?);
    Ok(CacheStore { max_entry_bytes, store: SharedStore::new(store.clone()), redis: Some(store) })
}

impl Function for CacheStore {
    fn report(&self) -> Value {
        let mut report = of_store(self.store.stats());
        if let Some(redis) = &self.redis {
            report["redis"] = of_connection(&redis.connection_stats());
        }
        report
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.cache_store(&self.store.stats());
        if let Some(redis) = &self.redis {
            into.cache_redis(&redis.connection_stats());
        }
    }
}

fn of_store(stats: StoreStats) -> Value {
    json!({
        "keys": stats.keys,
        "bytes": stats.bytes,
        "max_bytes": stats.max_bytes,
        "found": stats.found,
        "not_found": stats.not_found,
        "stored": stats.stored,
        "too_large": stats.too_large,
        "refused_purged": stats.refused_purged,
        "evicted": stats.evicted,
        "expired": stats.expired,
        "variants_dropped": stats.variants_dropped,
        "purged": stats.purged,
        "errors": stats.errors,
    })
}

fn of_connection(stats: &RedisConnectionStats) -> Value {
    json!({
        "connected": stats.connected,
        "connects": stats.connects,
        "connect_failures": stats.connect_failures,
        "unavailable": stats.unavailable,
        "timeouts": stats.timeouts,
        "refused": stats.refused,
        "invalid": stats.invalid,
        "local_hits": stats.local_hits,
    })
}

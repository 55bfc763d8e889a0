//! The stores of caches.

use std::{collections::BTreeMap, sync::Arc};

use equipoise::{
    gateway::cache::{
        SharedStore,
        store::{MemoryStore, RedisConnectionStats, RedisStore, Store, StoreStats},
    },
    monitor::FunctionReadings,
};
use serde_json::{Value, json};
use toml::Spanned;

use super::{
    kept::{Function, NewFunctions},
    redis::{Server, ServerKeys},
};
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
    let server = |table: &Spanned<RedisStoreTable>| {
        let RedisStoreTable { url, url_file, ca_file, .. } = table.get_ref();
        let keys = ServerKeys { url: url.as_ref(), url_file: url_file.as_ref(), ca_file: ca_file.as_ref() };
        Server::read(&keys, table.span(), source)
    };
    let limits = table.get_ref();
    let server = limits.redis.as_ref().map(server).transpose()?;
    functions.keep_or_build(&format!("cache.{name}"), (limits.clone(), server.clone()), || {
        match (limits.max_bytes, limits.redis.as_ref().zip(server)) {
            (Some(max_bytes), None) => {
                let mut memory = MemoryStore::builder(max_bytes);
                if let Some(max) = limits.max_entry_bytes {
                    memory = memory.max_entry_bytes(max);
                }
                if let Some(max) = limits.max_variants {
                    memory = memory.max_variants(max);
                }
                let memory = memory.build().map_err(|error| source.caused(table.span(), &error))?;
                let max_entry_bytes = memory.max_entry_bytes();
                if max_entry_bytes == 0 {
                    return Err(
                        source.error(table.span(), "max_bytes is too small for any response: use 1000000 or more")
                    );
                }
                Ok(CacheStore { store: shared(Arc::new(memory), limits), max_entry_bytes, redis: None })
            }
            (None, Some((redis, server))) => in_redis(redis, &server, limits, source),
            _ => Err(source.error(table.span(), "a store has one of max_bytes (in memory) and redis")),
        }
    })
}

fn shared(store: Arc<dyn Store>, limits: &CacheStoreTable) -> SharedStore {
    let store = SharedStore::new(store);
    match limits.max_filling_bytes {
        Some(max) => store.max_filling_bytes(max),
        None => store,
    }
}

fn in_redis(
    table: &Spanned<RedisStoreTable>,
    server: &Server,
    limits: &CacheStoreTable,
    source: &Source,
) -> Result<CacheStore, ConfigError> {
    let RedisStoreTable { prefix, lookup_timeout, write_timeout, connect_timeout, max_ttl, local, .. } =
        table.get_ref();
    let max_entry_bytes = limits.max_entry_bytes.unwrap_or(MAX_ENTRY_BYTES);
    let mut builder = RedisStore::builder(&server.url).max_entry_bytes(max_entry_bytes);
    if let Some(tls) = server.tls() {
        builder = builder.tls(Arc::clone(tls.config()));
    }
    if let Some(prefix) = prefix {
        builder = builder.prefix(prefix);
    }
    if let Some(max) = limits.max_variants {
        builder = builder.max_variants(max);
    }
    if let Some(timeout) = lookup_timeout {
        builder = builder.lookup_timeout(*timeout.get_ref());
    }
    if let Some(timeout) = write_timeout {
        builder = builder.write_timeout(*timeout.get_ref());
    }
    if let Some(timeout) = connect_timeout {
        builder = builder.connect_timeout(*timeout.get_ref());
    }
    if let Some(ttl) = max_ttl {
        builder = builder.max_ttl(*ttl.get_ref());
    }
    if let Some(LocalTable { max_bytes, ttl }) = local {
        builder = builder.local(*max_bytes, *ttl);
    }
    let store = Arc::new(builder.build().map_err(|error| source.caused(table.span(), &error))?);
    Ok(CacheStore { store: shared(store.clone(), limits), max_entry_bytes, redis: Some(store) })
}

impl Function for CacheStore {
    fn report(&self) -> Value {
        let mut report = of_store(self.store.stats());
        report["filling_bytes"] = self.store.filling_bytes().into();
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
        "reason": stats.reason,
        "connects": stats.connects,
        "connect_failures": stats.connect_failures,
        "unavailable": stats.unavailable,
        "timeouts": stats.timeouts,
        "refused": stats.refused,
        "invalid": stats.invalid,
        "local_hits": stats.local_hits,
    })
}

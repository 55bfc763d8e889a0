//! The session store with a real Redis server, and with servers that send invalid responses.
//!
//! If `redis-server` is not installed, these tests print `SKIPPED` and pass.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod costs;
mod expiry;
mod garbage;
mod outage;
mod server;
mod sharing;
#[cfg(feature = "redis-tls")]
mod tls;
#[cfg(feature = "redis-tls")]
mod tls_server;

use std::time::{Duration, Instant};

use equipoise_affinity::{
    Lookup, SessionStore, StoreError,
    redis::{RedisStore, RedisStoreBuilder},
};
use equipoise_core::EndpointId;

/// The time after which a test fails. It is long, because the machine may be busy. A passing test does not wait for it.
const AT_LAST: Duration = Duration::from_secs(30);

/// Builds stores that reconnect quickly and do not answer from their local cache. The lookup timeout is long, because
/// the machine may be busy.
fn builder(url: &str) -> RedisStoreBuilder {
    RedisStore::builder(url)
        .cache_ttl(Duration::ZERO)
        .lookup_timeout(Duration::from_secs(5))
        .backoff(Duration::from_millis(5), Duration::from_millis(50))
}

/// Builds the store and waits until it is connected.
async fn connected(builder: RedisStoreBuilder) -> RedisStore {
    let store = builder.build().unwrap();
    eventually("connected", || store.stats().connected).await;
    store
}

async fn find(store: &RedisStore, key: &str) -> Result<Option<EndpointId>, StoreError> {
    match store.lookup(key.as_bytes()) {
        Lookup::Now(found) => found,
        Lookup::Later(found) => found.await,
    }
}

/// Polls until the condition holds. For conditions without an event to wait for: the state of another process, or a
/// counter of the store.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < AT_LAST, "never {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn id(endpoint: &str) -> EndpointId {
    EndpointId::from(endpoint)
}

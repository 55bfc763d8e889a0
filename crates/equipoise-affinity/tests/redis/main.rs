//! The session store on a real server, and on what only looks like one.
//!
//! Where `redis-server` is missing these tests say so and pass.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod costs;
mod expiry;
mod garbage;
mod outage;
mod server;
mod sharing;
#[cfg(feature = "redis-tls")]
mod tls;

use std::time::{Duration, Instant};

use equipoise_affinity::{
    Lookup, SessionStore, StoreError,
    redis::{RedisStore, RedisStoreBuilder},
};
use equipoise_core::EndpointId;

/// Long enough for any machine; nothing waits for it unless something is wrong.
const AT_LAST: Duration = Duration::from_secs(30);

/// A store that comes back soon and does not answer by itself. Its time limit is out of the way of a busy machine.
fn builder(url: &str) -> RedisStoreBuilder {
    RedisStore::builder(url)
        .cache_ttl(Duration::ZERO)
        .lookup_timeout(Duration::from_secs(5))
        .backoff(Duration::from_millis(5), Duration::from_millis(50))
}

/// The same, once it is connected.
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

/// Polls a condition that has no event: what another process has done, or a counter of the store.
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

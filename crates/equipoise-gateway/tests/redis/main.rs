//! The connections of limits and of the cache to Redis: how they are configured, and servers that do not work.
//!
//! If `redis-server` is not installed, the tests that need it print `SKIPPED` and pass.

#![cfg(all(feature = "cache-redis", feature = "rate-limit-redis", unix))]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod broken;
mod cluster;
mod fake;
#[path = "../../../equipoise-affinity/tests/redis/server.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod server;
#[cfg(feature = "redis-tls")]
mod tls;
#[cfg(feature = "redis-tls")]
#[path = "../../../equipoise-affinity/tests/redis/tls_server.rs"]
mod tls_server;
mod urls;

use std::{
    convert::Infallible,
    time::{Duration, Instant, SystemTime},
};

use equipoise_gateway::{
    cache::store::{Body, Entry, Head, Key, RedisStore, RedisStoreBuilder, Store, Stored},
    limit::{Limit, LimitKey, Quota, RateLimitLayer, RedisFallback, RedisLimitStats, RedisLimits},
};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// The time after which a test fails. It is long, because the machine may be busy. A passing test does not wait for it.
const AT_LAST: Duration = Duration::from_secs(30);

/// Settings that reconnect quickly. The timeout is long, because the machine may be busy. Without the server, a gateway
/// admits 3 requests.
fn limits(url: &str) -> RedisLimits {
    RedisLimits::new(url)
        .timeout(Duration::from_secs(10))
        .backoff(Duration::from_millis(5), Duration::from_millis(50))
        .fallback(RedisFallback::Local { gateways: 3 })
}

/// A layer of two limits, which admits 9 requests with a key.
fn layer(redis: RedisLimits) -> RateLimitLayer {
    let limit = |name, quota| Limit::new(name, LimitKey::header(HeaderName::from_static("x-key")), quota);
    let builder = RateLimitLayer::builder().limit(limit("few", Quota::per_hour(9)));
    builder.limit(limit("many", Quota::per_hour(1_000))).redis(redis).build().unwrap()
}

fn stats(layer: &RateLimitLayer) -> RedisLimitStats {
    layer.redis_stats().unwrap()
}

/// Sends requests with a key, and returns how many of them pass.
async fn passed(layer: &RateLimitLayer, key: &str, requests: usize) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        let backend = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
        let request = Request::builder().header("x-key", key).body(()).unwrap();
        passed += usize::from(layer.layer(backend).oneshot(request).await.unwrap().status() == StatusCode::OK);
    }
    passed
}

/// A store with timeouts that a busy machine keeps.
fn store(url: &str) -> RedisStoreBuilder {
    RedisStore::builder(url).lookup_timeout(Duration::from_secs(10)).write_timeout(Duration::from_secs(10))
}

async fn put(store: &RedisStore, url: &str) -> Stored {
    let key = Key::new(url, "").unwrap();
    let head = Head::new(StatusCode::OK, HeaderMap::new(), SystemTime::now(), SystemTime::now());
    let generation = store.get(&key, SystemTime::now()).await.generation;
    store.put(&key, Entry::new(head, Body::new(["hello".into()])), generation).await
}

async fn is_stored(store: &RedisStore, url: &str) -> bool {
    !store.get(&Key::new(url, "").unwrap(), SystemTime::now()).await.entries.is_empty()
}

/// Builds a limit and a store, and waits until both are connected.
async fn connected(limits: RedisLimits, store: RedisStoreBuilder) -> (RateLimitLayer, RedisStore) {
    let (layer, store) = (layer(limits), store.build().unwrap());
    eventually("connected", || stats(&layer).connected && store.connection_stats().connected).await;
    (layer, store)
}

/// Waits until the limit and the store say that the server cannot be used, because of `why`.
async fn away(layer: &RateLimitLayer, store: &RedisStore, why: &str) {
    let says = |reason: Option<String>| reason.is_some_and(|reason| reason.contains(why));
    eventually(why, || says(stats(layer).reason) && says(store.connection_stats().reason)).await;
    assert!(!stats(layer).connected && !store.connection_stats().connected);
}

/// Polls until the condition holds. For conditions without an event to wait for: the state of another process, or a
/// counter.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < AT_LAST, "never {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

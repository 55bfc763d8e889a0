//! Limits in a real Redis server: several gateways, outages, and unexpected data.
//!
//! If `redis-server` is not installed, these tests print `SKIPPED` and pass.

#![cfg(feature = "rate-limit-redis")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod outage;
#[path = "../../../equipoise-affinity/tests/redis/server.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod server;
mod sharing;

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use equipoise_gateway::limit::{
    Limit, LimitKey, Quota, RateLimitBuilder, RateLimitLayer, RedisLimitStats, RedisLimits,
};
use http::{HeaderName, Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// The time after which a test fails. It is long, because the machine may be busy. A passing test does not wait for it.
const AT_LAST: Duration = Duration::from_secs(30);

/// Settings that reconnect quickly. The timeout is long, because the machine may be busy.
fn redis(url: &str) -> RedisLimits {
    RedisLimits::new(url).timeout(Duration::from_secs(10)).backoff(Duration::from_millis(5), Duration::from_millis(50))
}

fn by_key(name: &str, quota: Quota) -> Limit {
    Limit::new(name, LimitKey::header(HeaderName::from_static("x-key")), quota)
}

/// Builds a layer with these limits.
fn layer(redis: RedisLimits, limits: impl IntoIterator<Item = Limit>) -> RateLimitLayer {
    let builder = limits.into_iter().fold(RateLimitLayer::builder(), RateLimitBuilder::limit);
    builder.redis(redis).build().unwrap()
}

/// Builds a layer and waits until it is connected.
async fn connected(redis: RedisLimits, limits: impl IntoIterator<Item = Limit>) -> RateLimitLayer {
    let layer = layer(redis, limits);
    eventually("connected", || stats(&layer).connected).await;
    layer
}

fn stats(layer: &RateLimitLayer) -> RedisLimitStats {
    layer.redis_stats().unwrap()
}

async fn response(layer: &RateLimitLayer, key: &str) -> Response<()> {
    let backend = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
    let request = Request::builder().header("x-key", key).body(()).unwrap();
    layer.layer(backend).oneshot(request).await.unwrap().map(drop)
}

async fn status(layer: &RateLimitLayer, key: &str) -> u16 {
    response(layer, key).await.status().as_u16()
}

async fn passed(layer: &RateLimitLayer, key: &str, requests: usize) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        passed += usize::from(status(layer, key).await == 200);
    }
    passed
}

/// Polls until the condition holds. For conditions without an event to wait for: the state of another process, or a
/// counter of the layer.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < AT_LAST, "never {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

//! The store of the cache with a real Redis server. If `redis-server` is not installed, these tests print `SKIPPED` and
//! pass.

#![cfg(all(feature = "cache-redis", unix))]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod entries;
mod outage;
mod purges;
#[path = "../../../equipoise-affinity/tests/redis/server.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod server;

use std::time::{Duration, Instant, SystemTime};

use equipoise_gateway::cache::store::{
    Body, Entry, Generation, Head, Key, RedisStore, RedisStoreBuilder, Store, Stored, Tag,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The time after which a test fails. It is long, because the machine may be busy. A passing test does not wait for it.
const AT_LAST: Duration = Duration::from_secs(30);

/// Builds stores with timeouts that a busy machine keeps.
fn builder(url: &str) -> RedisStoreBuilder {
    RedisStore::builder(url).lookup_timeout(Duration::from_secs(10)).write_timeout(Duration::from_secs(10))
}

/// Builds the store and waits until it is connected.
async fn connected(builder: RedisStoreBuilder) -> RedisStore {
    let store = builder.build().unwrap();
    eventually("connected", || store.connection_stats().connected).await;
    store
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

fn key(url: &str, extra: &str) -> Key {
    Key::new(url, extra).unwrap()
}

fn head() -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, HeaderValue::from_static("\"1\""));
    Head::new(StatusCode::OK, headers, SystemTime::now(), SystemTime::now())
}

fn entry(body: &str) -> Entry {
    tagged(body, &[])
}

fn tagged(body: &str, tags: &[&str]) -> Entry {
    let mut head = head();
    head.tags = tags.iter().map(|tag| Tag::new(tag).unwrap()).collect();
    Entry::new(head, Body::new([body.to_owned().into()]))
}

fn variant(language: &str, age: u64) -> Entry {
    let mut head = head();
    head.vary = vec![(header::ACCEPT_LANGUAGE, vec![HeaderValue::from_str(language).unwrap()])];
    head.response_time = SystemTime::now() - Duration::from_secs(age);
    Entry::new(head, Body::new([language.to_owned().into()]))
}

async fn generation(store: &RedisStore, key: &Key) -> Generation {
    store.get(key, SystemTime::now()).await.generation
}

async fn put(store: &RedisStore, key: &Key, entry: Entry) -> Stored {
    let generation = generation(store, key).await;
    store.put(key, entry, generation).await
}

async fn bodies(store: &RedisStore, key: &Key) -> Vec<String> {
    let body = |entry: &Entry| String::from_utf8(entry.body().chunks().concat()).unwrap();
    store.get(key, SystemTime::now()).await.entries.iter().map(body).collect()
}

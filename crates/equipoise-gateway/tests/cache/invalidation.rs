//! What requests with unsafe methods remove (RFC 9111, 4.4), and removals that fail.

use std::{error::Error as _, sync::Arc, time::SystemTime};

use equipoise_core::{EndpointId, PickError};
use equipoise_gateway::{
    Identity, Mechanism,
    cache::{
        CacheLayer, KeyPolicy, PurgeError, SharedStore,
        store::{
            Entry, Generation, Key, Lookup, MemoryStore, Purge, Store, StoreError, StoreFuture, StoreStats, Stored,
        },
    },
};
use equipoise_tower::{Error, FailureStage};

use crate::script::{self, BoxError, Stage};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

#[tokio::test]
async fn unsafe_methods_remove_what_they_may_have_changed() {
    let fresh = [("cache-control", "max-age=60")];
    for (status, extra, removed) in [
        (200, &[("location", "/other")][..], true),
        (303, &[("content-location", "http://example.com/other")], true),
        (303, &[("location", "other")], true),
        (200, &[("location", "http://elsewhere.example/other")], false),
        (500, &[("location", "/other")], false),
        (403, &[], false),
    ] {
        let stage = Stage::new();
        stage.backend.answers(200, &fresh, "old").answers(200, &fresh, "old").answers(status, extra, "");
        stage.get("/", &[]).await;
        stage.get("/other", &[]).await;
        stage.ask("DELETE", "/", &[]).await;
        stage.backend.answers(200, &[], "new").answers(200, &[], "new");
        let found = if status < 400 { "new" } else { "old" };
        assert_eq!(stage.get("/", &[]).await.body, found, "{status} {extra:?}");
        assert_eq!(stage.get("/other", &[]).await.body, if removed { "new" } else { "old" }, "{status} {extra:?}");
    }
}

/// A stage with a stored response to `/`, for which the next request by `GET` would get another one.
async fn filled() -> Stage {
    let stage = Stage::new();
    stage.backend.answers(200, FRESH, "old");
    stage.get("/", &[]).await;
    stage
}

#[tokio::test]
async fn a_request_without_a_known_end_removes_what_it_may_have_changed() {
    fn endpoint(maybe_processed: bool) -> BoxError {
        let (endpoint, source) = (EndpointId::from("a"), "reset".into());
        Error::Endpoint { endpoint, source, stage: FailureStage::NotSent, attempts: 1, maybe_processed }.into()
    }
    let errors: [(BoxError, bool); 4] = [
        ("reset".into(), true),
        (endpoint(true), true),
        (endpoint(false), false),
        (Error::Pick(PickError::Saturated).into(), false),
    ];
    for (error, removed) in errors {
        let stage = filled().await;
        let text = format!("{error:?}");
        stage.backend.then(async { Err(error) });
        assert!(stage.send(script::request("POST", "/", &[])).await.is_err());
        assert_eq!(stage.reaches_backend(&[]).await, removed, "{text}");
    }
    for status in [502, 504] {
        let stage = filled().await;
        stage.backend.answers(status, &[], "");
        assert_eq!(stage.ask("POST", "/", &[]).await.status, status);
        assert!(stage.reaches_backend(&[]).await, "{status}");
    }
}

#[tokio::test]
async fn only_the_response_says_that_a_request_was_a_call_of_grpc() {
    for (content_type, removed) in [("text/plain", true), ("application/grpc", false)] {
        let stage = filled().await;
        stage.backend.answers(200, &[("content-type", content_type)], "");
        stage.ask("POST", "/", &[("content-type", "application/grpc")]).await;
        assert_eq!(stage.reaches_backend(&[]).await, removed, "{content_type}");
    }
}

#[tokio::test]
async fn a_request_whose_client_leaves_removes_what_it_may_have_changed() {
    let stage = filled().await;
    // It is not sent before it is polled.
    drop(stage.send(script::request("POST", "/", &[])));
    tokio::task::yield_now().await;
    assert!(stage.get("/", &[]).await.is_hit());
    stage.backend.then(std::future::pending());
    let client = tokio::spawn(stage.send(script::request("POST", "/", &[])));
    while stage.backend.count() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(stage.get("/", &[]).await.is_hit());
    client.abort();
    assert!(client.await.expect_err("it has left").is_cancelled());
    // The removal is a task of its own.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(stage.reaches_backend(&[]).await);
}

#[tokio::test]
async fn a_request_removes_the_responses_for_all_identities() {
    for sender in [Some("a"), Some("b"), Some(""), None] {
        let stage = Stage::with(|cache| cache.key(KeyPolicy::new().per_identity()));
        let ask = async |method: &str, name: Option<&str>| {
            let mut request = script::request(method, "/", &[]);
            if let Some(name) = name {
                request.extensions_mut().insert(Identity::new(name, Mechanism::Jwt));
            }
            script::read(stage.send(request).await.expect("a response")).await.expect("a body").body
        };
        stage.backend.answers(200, FRESH, "old").answers(200, FRESH, "old").answers(200, &[], "");
        ask("GET", Some("a")).await;
        ask("GET", None).await;
        ask("POST", sender).await;
        stage.backend.answers(200, FRESH, "new").answers(200, FRESH, "new");
        assert_eq!(
            (ask("GET", Some("a")).await.as_str(), ask("GET", None).await.as_str()),
            ("new", "new"),
            "{sender:?}"
        );
    }
}

#[tokio::test]
async fn a_request_through_another_cache_with_the_store_ends_the_waiting_for_old_responses() {
    let store = SharedStore::new(Arc::new(MemoryStore::new(1 << 20)));
    let [reading, writing] = [(); 2].map(|()| Stage::of(CacheLayer::with_shared_store(&store)));
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    reading.backend.then(async move {
        released.await.expect("a release");
        Ok(script::response(200, FRESH, script::full("old")))
    });
    let slow = tokio::spawn({
        let reading = reading.clone();
        async move { reading.get("/", &[]).await.body }
    });
    while reading.backend.count() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((reading.cache.stats().fetches, writing.cache.stats().fetches), (1, 0));
    writing.backend.answers(200, &[], "");
    writing.ask("POST", "/", &[]).await;
    reading.backend.answers(200, FRESH, "new");
    assert_eq!(reading.get("/", &[]).await.body, "new");
    release.send(()).expect("the fetch is in progress");
    assert_eq!(slow.await.expect("no panic"), "old");
    assert_eq!(reading.get("/", &[]).await.body, "new");
}

/// A store that removes nothing.
struct Stuck(MemoryStore);

impl Store for Stuck {
    fn get(&self, key: &Key, now: SystemTime) -> StoreFuture<'_, Lookup> {
        self.0.get(key, now)
    }

    fn put(&self, key: &Key, entry: Entry, generation: Generation) -> StoreFuture<'_, Stored> {
        self.0.put(key, entry, generation)
    }

    fn remove(&self, _: &Key) -> StoreFuture<'_, Result<usize, StoreError>> {
        StoreFuture::ready(Err(StoreError::new("it is stuck")))
    }

    fn purge(&self, _: &Purge) -> StoreFuture<'_, Result<usize, StoreError>> {
        StoreFuture::ready(Err(StoreError::new("it is stuck")))
    }

    fn stats(&self) -> StoreStats {
        self.0.stats()
    }
}

#[tokio::test]
async fn a_purge_that_the_store_has_not_done_is_an_error_with_its_reason() {
    let stage = Stage::of(CacheLayer::with_store(Stuck(MemoryStore::new(1 << 20))));
    let handle = stage.cache.handle();
    for purged in [
        handle.purge_url("http://example.com/").await,
        handle.purge_prefix("http://example.com/").await,
        handle.purge_tag("a").await,
        handle.purge_all().await,
    ] {
        let Err(PurgeError::Store(error)) = purged else { panic!("{purged:?}") };
        assert!(error.to_string().ends_with(": it is stuck"), "{error}");
        assert_eq!(error.source().expect("the error of the store").to_string(), "it is stuck");
    }
}

#[tokio::test]
async fn a_request_passes_although_the_store_does_not_remove_its_responses() {
    let stage = Stage::of(CacheLayer::with_store(Stuck(MemoryStore::new(1 << 20))));
    stage.backend.answers(200, &[], "done");
    assert_eq!(stage.ask("POST", "/", &[]).await.body, "done");
}

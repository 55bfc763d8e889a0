//! Bodies that clients read while they arrive: their end, and the memory that they hold.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_gateway::cache::{CacheLayer, SharedStore, store::MemoryStore};
use http_body_util::BodyExt;

use crate::script::{self, FRESH, Stage, channel, settle};

#[tokio::test(start_paused = true)]
async fn a_response_that_becomes_too_large_is_complete_for_all_and_not_stored() {
    let stage = Stage::with(|cache| cache.max_entry_bytes(1000));
    let chunk = Bytes::from(vec![b'x'; 100_000]);
    let count = 30;
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for _ in 0..count {
            sender.send_data(chunk.clone()).await.expect("a reader");
        }
    });
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    stage.backend.then(async move {
        released.await.expect("a release");
        Ok(script::response(200, FRESH, body))
    });
    // Those that do not get hold of the beginning ask for themselves.
    for _ in 0..5 {
        stage.backend.answers(200, &[], &"x".repeat(100_000 * count));
    }
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", &[]).await.body.len() })
        })
        .collect();
    settle().await;
    release.send(()).expect("the fetch is in progress");
    for client in clients {
        assert_eq!(client.await.expect("no panic"), 100_000 * count);
    }
    settle().await;
    let stats = stage.cache.stats();
    assert_eq!((stats.stored, stats.filling_bytes, stats.too_large >= 1), (0, 0, true), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_large_response_bounds_the_memory() {
    let stage = Stage::with(|cache| cache.max_entry_bytes(1000));
    let (mut sender, body) = channel();
    stage.backend.then(async { Ok(script::response(200, FRESH, body)) });
    let response = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    let writer = tokio::spawn(async move {
        for _ in 0..1000 {
            sender.send_data(Bytes::from(vec![0; 10_000])).await.expect("a reader");
        }
    });
    settle().await;
    let held = stage.cache.stats().filling_bytes;
    assert!(held < 300_000, "{held} bytes are held");
    assert_eq!(response.into_body().collect().await.expect("complete").to_bytes().len(), 10_000_000);
    writer.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn the_fetch_of_a_large_response_ends_with_its_last_reader() {
    let stage = Stage::with(|cache| cache.max_entry_bytes(1000));
    let (mut sender, body) = channel();
    stage.backend.then(async { Ok(script::response(200, FRESH, body)) });
    let response = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    sender.send_data(Bytes::from(vec![0; 500_000])).await.expect("a reader");
    settle().await;
    drop(response);
    settle().await;
    assert!(sender.send_data(Bytes::from_static(b"x")).await.is_err());
    assert_eq!(stage.cache.stats().filling_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_joins_a_chunked_response_gets_no_wrong_length() {
    let stage = Stage::new();
    let fields = [("cache-control", "max-age=60"), ("transfer-encoding", "chunked"), ("content-length", "3")];
    let (mut sender, body) = channel();
    stage.backend.then(async move { Ok(script::response(200, &fields, body)) });
    let first = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    let joined = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    assert!(!joined.headers().contains_key("content-length"), "{:?}", joined.headers());
    sender.send_data(Bytes::from_static(b"first")).await.expect("a reader");
    drop(sender);
    for response in [first, joined] {
        assert_eq!(script::read(response).await.expect("a complete body").body, "first");
    }
    assert_eq!(stage.backend.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_body_is_an_error_for_all_and_not_stored() {
    let stage = Stage::new();
    let fields = [("cache-control", "max-age=60"), ("content-length", "10")];
    for broken in [true, false] {
        let (mut sender, body) = channel();
        stage.backend.then(async move { Ok(script::response(200, &fields, body)) });
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let stage = stage.clone();
                tokio::spawn(async move {
                    let response = stage.send(script::request("GET", "/", &[])).await.expect("a response");
                    script::read(response).await.map(|got| got.body)
                })
            })
            .collect();
        settle().await;
        sender.send_data(Bytes::from_static(b"01234")).await.expect("a reader");
        settle().await;
        if broken {
            sender.abort("reset".into());
        } else {
            drop(sender);
        }
        for client in clients {
            assert!(client.await.expect("no panic").is_err());
        }
    }
    let stats = stage.cache.stats();
    assert_eq!((stats.incomplete, stats.stored, stage.backend.count()), (2, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_fails_and_its_key_is_fetched_again() {
    let stage = Stage::with(|cache| cache.fetch_idle_timeout(Duration::from_secs(30)));
    let (mut sender, body) = channel();
    stage.backend.then(async { Ok(script::response(200, FRESH, body)) }).answers(200, FRESH, "good");
    sender.send_data(Bytes::from_static(b"part")).await.expect("a reader");
    let begin = tokio::time::Instant::now();
    let stalled = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    assert!(script::read(stalled).await.is_err());
    assert_eq!(begin.elapsed().as_secs(), 30);
    settle().await;
    assert_eq!(stage.get("/", &[]).await.body, "good");
    assert_eq!((stage.cache.stats().incomplete, stage.cache.stats().fetches), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_does_not_stop_the_others() {
    let stage = Stage::with(|cache| cache.max_entry_bytes(1000));
    let (mut sender, body) = channel();
    stage.backend.then(async { Ok(script::response(200, FRESH, body)) });
    let idle = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    let other = tokio::spawn({
        let stage = stage.clone();
        async move { stage.get("/", &[]).await.body.len() }
    });
    settle().await;
    tokio::spawn(async move {
        for _ in 0..100 {
            sender.send_data(Bytes::from(vec![b'x'; 10_000])).await.expect("a reader");
        }
    });
    let begin = tokio::time::Instant::now();
    assert_eq!(other.await.expect("no panic"), 1_000_000);
    assert_eq!(begin.elapsed().as_secs(), 60);
    assert!(script::read(idle).await.is_err());
    assert_eq!((stage.cache.stats().filling_bytes, stage.backend.count()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn caches_with_one_store_have_one_limit_for_what_they_receive() {
    let store = SharedStore::new(Arc::new(MemoryStore::new(64 << 20))).max_filling_bytes(1000);
    let stages: Vec<_> = (0..3).map(|_| Stage::of(CacheLayer::with_shared_store(&store))).collect();
    let mut clients = Vec::new();
    for (i, stage) in stages.iter().enumerate() {
        let (mut sender, body) = channel();
        stage.backend.then(async { Ok(script::response(200, FRESH, body)) });
        let response = stage.send(script::request("GET", &format!("/{i}"), &[])).await.expect("a response");
        sender.send_data(Bytes::from(vec![b'x'; 400])).await.expect("a reader");
        settle().await;
        clients.push((sender, response));
    }
    let held: Vec<_> = stages.iter().map(|stage| stage.cache.stats().filling_bytes).collect();
    assert_eq!((held.as_slice(), store.filling_bytes()), (&[400, 400, 400][..], 1200));
    for (sender, response) in clients {
        drop(sender);
        assert_eq!(script::read(response).await.expect("a complete body").body.len(), 400);
    }
    settle().await;
    let stored: Vec<_> = stages.iter().map(|stage| stage.cache.stats().stored).collect();
    assert_eq!((stored.as_slice(), store.filling_bytes()), (&[1, 1, 0][..], 0));
    assert_eq!(stages[2].cache.stats().too_large, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_reads_the_rest_from_the_store_after_the_end() {
    let stage = Stage::new();
    let (mut sender, body) = channel();
    stage.backend.then(async { Ok(script::response(200, FRESH, body)) });
    let response = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    let mut body = response.into_body();
    let mut expected = Vec::new();
    // Each chunk is a small part of a large buffer, which is free when the response is complete.
    let buffers: Vec<Bytes> = (0..30_u8).map(|i| Bytes::from(vec![i; 100_000])).collect();
    for buffer in &buffers {
        sender.send_data(buffer.slice(..10_000)).await.expect("a reader");
        expected.extend_from_slice(&buffer[..10_000]);
    }
    settle().await;
    let mut got = Vec::new();
    for _ in 0..7 {
        let frame = body.frame().await.expect("a frame").expect("no error");
        got.extend_from_slice(frame.data_ref().expect("data"));
    }
    drop(sender);
    settle().await;
    assert!(buffers.iter().all(Bytes::is_unique), "the buffers are still in use");
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(230_000));
    got.extend_from_slice(&body.collect().await.expect("a complete body").to_bytes());
    assert!(got == expected, "other bytes");
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_evicted_while_clients_read_them_are_bounded() {
    // The store has room for about 4 of these, and as much may be received in addition.
    let layer = CacheLayer::builder(4_100_000).max_entry_bytes(1_010_000).max_filling_bytes(4_000_000);
    let stage = Stage::of(layer);
    let body = "x".repeat(1_000_000);
    let mut idle = Vec::new();
    for i in 0..20 {
        stage.backend.answers(200, FRESH, &body);
        idle.push(stage.send(script::request("GET", &format!("/{i}"), &[])).await.expect("a response"));
        settle().await;
    }
    for response in idle {
        assert_eq!(script::read(response).await.expect("a complete body").body.len(), 1_000_000);
    }
    settle().await;
    let stats = stage.cache.stats();
    assert_eq!((stats.stored, stats.too_large), (8, 12));
    stage.backend.answers(200, FRESH, &body);
    assert_eq!(stage.get("/later", &[]).await.body.len(), 1_000_000);
    assert!(stage.get("/later", &[]).await.is_hit());
}

#[tokio::test(start_paused = true)]
async fn a_complete_response_does_not_use_the_budget_of_others() {
    let stage = Stage::new();
    stage.backend.answers(200, FRESH, "body");
    let unread = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    settle().await;
    assert_eq!((stage.cache.stats().stored, stage.cache.stats().filling_bytes), (1, 0));
    assert_eq!(script::read(unread).await.expect("a complete body").body, "body");
}

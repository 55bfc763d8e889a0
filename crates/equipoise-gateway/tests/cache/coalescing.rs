//! One fetch for many clients, and responses that are read while they arrive.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, channel::Channel};

use crate::script::{self, BoxError, ScriptBody, Stage};

/// A body that the test writes, and its writing end.
fn channel() -> (http_body_util::channel::Sender<Bytes, BoxError>, ScriptBody) {
    let (sender, body) = Channel::<Bytes, BoxError>::new(64);
    (sender, body.boxed_unsync())
}

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// Lets all tasks do what they can do without the test.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_herd_on_a_cold_key_makes_one_request() {
    let stage = Stage::new();
    let (mut sender, body) = channel();
    stage.backend.then(async { Ok(script::response(200, FRESH, body)) });
    let clients: Vec<_> = (0..1000)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", &[]).await })
        })
        .collect();
    settle().await;
    for _ in 0..10 {
        sender.send_data(Bytes::from_static(b"0123456789")).await.expect("a reader");
        settle().await;
    }
    drop(sender);
    for client in clients {
        assert_eq!(client.await.expect("no panic").body.len(), 100);
    }
    assert_eq!((stage.backend.count(), stage.cache.stats().coalesced), (1, 999));
    assert_eq!(stage.cache.stats().filling_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_the_first_client_is_no_loss_for_the_others() {
    let stage = Stage::new();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    stage.backend.then(async move {
        released.await.expect("a release");
        Ok(script::response(200, FRESH, script::full("body")))
    });
    let first = tokio::spawn({
        let stage = stage.clone();
        async move { stage.get("/", &[]).await }
    });
    settle().await;
    let second = tokio::spawn({
        let stage = stage.clone();
        async move { stage.get("/", &[]).await }
    });
    settle().await;
    first.abort();
    settle().await;
    release.send(()).expect("the fetch goes on");
    let got = second.await.expect("no panic");
    assert_eq!((got.body.as_str(), stage.backend.count()), ("body", 1));
    assert_eq!(got.field("cache-status"), "equipoise; fwd=uri-miss; ttl=60; collapsed");
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_response_that_cannot_be_stored_fetch_at_the_same_time() {
    let stage = Stage::new();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    stage.backend.then(async move {
        released.await.expect("a release");
        Ok(script::response(200, &[("cache-control", "private")], script::full("first")))
    });
    let barrier = Arc::new(tokio::sync::Barrier::new(10));
    for _ in 0..10 {
        let barrier = barrier.clone();
        // These end only if all of them run together.
        stage.backend.then(async move {
            barrier.wait().await;
            Ok(script::response(200, &[("cache-control", "private")], script::full("own")))
        });
    }
    let clients: Vec<_> = (0..11)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", &[]).await.body })
        })
        .collect();
    settle().await;
    release.send(()).expect("the fetch is in progress");
    let mut bodies = Vec::new();
    for client in clients {
        bodies.push(client.await.expect("no panic"));
    }
    bodies.sort();
    assert_eq!((bodies[0].as_str(), bodies[1].as_str(), bodies[10].as_str()), ("first", "own", "own"));
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_another_fetch_for_a_limited_time() {
    let stage = Stage::with(|cache| cache.max_wait(Duration::from_secs(3)));
    stage.backend.then(std::future::pending()).answers(200, FRESH, "own");
    let first = tokio::spawn({
        let stage = stage.clone();
        async move { stage.get("/", &[]).await }
    });
    settle().await;
    let begin = tokio::time::Instant::now();
    assert_eq!(stage.get("/", &[]).await.body, "own");
    assert_eq!((begin.elapsed().as_secs(), stage.cache.stats().waited_in_vain), (3, 1));
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slow_response_is_not_cut_off_and_does_not_stop_other_requests() {
    let stage = Stage::new();
    stage.backend.then(async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        Ok(script::response(200, FRESH, script::full("slow")))
    });
    let first = tokio::spawn({
        let stage = stage.clone();
        async move { stage.get("/", &[]).await.body }
    });
    settle().await;
    stage.backend.answers(200, &[("cache-control", "no-store")], "own");
    let begin = tokio::time::Instant::now();
    assert_eq!(stage.get("/", &[]).await.body, "own");
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!(first.await.expect("no panic"), "slow");
    assert_eq!(begin.elapsed().as_secs(), 600);
    assert!(stage.get("/", &[]).await.is_hit());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_without_clients_ends_after_a_minute_unless_others_come() {
    let stage = Stage::new();
    let ask = || {
        let stage = stage.clone();
        tokio::spawn(async move { stage.get("/", &[]).await.body })
    };
    stage.backend.then(async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Ok(script::response(200, FRESH, script::full("slow")))
    });
    ask_and_leave(&stage, &ask).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(stage.cache.stats().fetches, 1);
    // A client comes for a moment: the minute begins again.
    ask_and_leave(&stage, &ask).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((stage.cache.stats().fetches, stage.backend.count()), (1, 1));
    let other = ask();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(other.await.expect("no panic"), "slow");

    stage.pass(61);
    stage.backend.then(std::future::pending());
    ask_and_leave(&stage, &ask).await;
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert_eq!((stage.cache.stats().fetches, stage.backend.count()), (0, 2));
}

async fn ask_and_leave(stage: &Stage, ask: &impl Fn() -> tokio::task::JoinHandle<String>) {
    let client = ask();
    // Longer than the pause between two looks for clients.
    tokio::time::sleep(Duration::from_secs(3)).await;
    client.abort();
    settle().await;
    assert_eq!(stage.cache.stats().fetches, 1);
}

#[tokio::test(start_paused = true)]
async fn clients_of_another_variant_share_a_fetch_of_their_own() {
    let stage = Stage::new();
    let fields = [("cache-control", "max-age=60"), ("vary", "x-a")];
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    stage.backend.then(async move {
        released.await.expect("a release");
        Ok(script::response(200, &fields, script::full("1")))
    });
    stage.backend.answers(200, &fields, "2");
    let clients: Vec<_> = (0..20)
        .map(|i| {
            let stage = stage.clone();
            let value = if i % 2 == 0 { "1" } else { "2" };
            tokio::spawn(async move { (value, stage.get("/", &[("x-a", value)]).await.body) })
        })
        .collect();
    settle().await;
    release.send(()).expect("the fetch is in progress");
    for client in clients {
        let (value, body) = client.await.expect("no panic");
        assert_eq!(value, body);
    }
    assert_eq!(stage.backend.count(), 2);
}

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
async fn errors_are_shared_with_their_cause() {
    let stage = Stage::new();
    stage.backend.fails();
    let error = stage.send(script::request("GET", "/", &[])).await.expect_err("an error");
    let source = std::error::Error::source(&error).expect("a cause");
    assert_eq!(source.to_string(), "connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_from_before_a_purge_is_not_stored() {
    let stage = Stage::new();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    stage.backend.then(async move {
        released.await.expect("a release");
        Ok(script::response(200, FRESH, script::full("old")))
    });
    stage.backend.answers(200, FRESH, "new");
    let first = tokio::spawn({
        let stage = stage.clone();
        async move { stage.get("/", &[]).await.body }
    });
    settle().await;
    stage.cache.handle().purge_url("http://example.com/").await.expect("a URL");
    assert_eq!(stage.get("/", &[]).await.body, "new");
    release.send(()).expect("the fetch is in progress");
    assert_eq!(first.await.expect("no panic"), "old");
    settle().await;
    assert_eq!(stage.get("/", &[]).await.body, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_on_several_threads_make_one_request_for_each_key() {
    let stage = Stage::new();
    for _ in 0..20 {
        stage.backend.then(async {
            tokio::task::yield_now().await;
            Ok(script::response(200, FRESH, script::full("body")))
        });
    }
    let clients: Vec<_> = (0..2000)
        .map(|i| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get(&format!("/{}", i % 20), &[]).await.body })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.expect("no panic"), "body");
    }
    assert_eq!(stage.backend.count(), 20);
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
async fn a_validation_without_an_answer_ends_and_another_one_follows() {
    let stage = Stage::with(|cache| cache.fetch_timeout(Duration::from_secs(30)));
    let fields = [("cache-control", "max-age=1, stale-while-revalidate=1000")];
    stage.backend.answers(200, &fields, "old").then(std::future::pending()).answers(200, FRESH, "new");
    stage.get("/", &[]).await;
    stage.pass(2);
    assert_eq!(stage.get("/", &[]).await.body, "old");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!((stage.get("/", &[]).await.body.as_str(), stage.cache.stats().fetches), ("old", 1));
    settle().await;
    assert_eq!((stage.get("/", &[]).await.body.as_str(), stage.backend.count()), ("new", 3));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_is_hidden_by_a_stale_response_or_is_an_error() {
    let stage = Stage::with(|cache| cache.fetch_timeout(Duration::from_secs(30)));
    let fields = [("cache-control", "max-age=1, stale-if-error=1000")];
    stage.backend.answers(200, &fields, "old").then(std::future::pending()).then(std::future::pending());
    stage.get("/", &[]).await;
    stage.pass(2);
    assert_eq!(stage.get("/", &[]).await.body, "old");
    assert!(stage.send(script::request("GET", "/other", &[])).await.is_err());
    assert_eq!(stage.backend.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_stale_while_it_is_received_is_not_joined() {
    let stage = Stage::new();
    let (mut sender, body) = channel();
    let fields = [("cache-control", "max-age=10, must-revalidate")];
    stage.backend.then(async move { Ok(script::response(200, &fields, body)) }).answers(200, FRESH, "new");
    let first = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    sender.send_data(Bytes::from_static(b"old")).await.expect("a reader");
    settle().await;
    stage.pass(9);
    let joined = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    assert_eq!(stage.backend.count(), 1);
    stage.pass(1);
    assert_eq!(stage.get("/", &[]).await.body, "new");
    assert_eq!(stage.backend.count(), 2);
    drop(sender);
    for response in [first, joined] {
        assert_eq!(script::read(response).await.expect("a complete body").body, "old");
    }
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

/// Begins a request whose response never comes, and leaves.
async fn abandon(stage: &Stage, path: String) {
    stage.backend.then(std::future::pending());
    let stage = stage.clone();
    let client = tokio::spawn(async move { stage.get(&path, &[]).await });
    settle().await;
    client.abort();
}

#[tokio::test(start_paused = true)]
async fn fetches_without_clients_are_bounded() {
    let stage = Stage::new();
    for i in 0..1000 {
        abandon(&stage, format!("/{i}")).await;
    }
    settle().await;
    assert_eq!((stage.backend.count(), stage.cache.stats().fetches), (1000, 256));
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_do_not_stop_validations_in_the_background() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "max-age=1, stale-while-revalidate=1000")], "old");
    stage.get("/", &[]).await;
    stage.pass(2);
    for i in 0..256 {
        abandon(&stage, format!("/{i}")).await;
    }
    settle().await;
    stage.backend.answers(200, FRESH, "new");
    assert_eq!(stage.get("/", &[]).await.body, "old");
    settle().await;
    assert_eq!(stage.get("/", &[]).await.body, "new");
}

#[tokio::test(start_paused = true)]
async fn caches_with_one_store_have_one_limit_for_what_they_receive() {
    use equipoise_gateway::cache::{CacheLayer, SharedStore, store::MemoryStore};
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
    use equipoise_gateway::cache::CacheLayer;
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

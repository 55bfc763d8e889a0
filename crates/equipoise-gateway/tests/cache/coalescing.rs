//! One fetch for many clients.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::script::{self, FRESH, Stage, channel, settle};

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

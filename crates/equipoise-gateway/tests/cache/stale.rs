//! Validation, and stale responses (RFC 9111, 4.2.4 and 4.3; RFC 5861).

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use equipoise_gateway::cache::SetCookie;

use crate::script::{self, Stage, settle};

#[tokio::test]
async fn a_stale_response_is_validated_and_its_fields_are_updated() {
    let stage = Stage::new();
    let first = [("cache-control", "max-age=10"), ("etag", "\"a\""), ("x-a", "1"), ("x-b", "1")];
    let update = [("cache-control", "max-age=20"), ("etag", "\"a\""), ("x-a", "2"), ("content-length", "0")];
    stage.backend.answers(200, &first, "body").answers(304, &update, "");
    stage.get("/", &[]).await;
    stage.pass(11);
    let got = stage.get("/", &[("if-none-match", "\"other\"")]).await;
    assert_eq!(stage.backend.last("if-none-match").as_deref(), Some("\"a\""));
    assert_eq!((got.status, got.body.as_str(), got.field("x-a"), got.field("x-b")), (200, "body", "2", "1"));
    assert_eq!(got.field("content-length"), "4");
    assert_eq!(got.field("cache-status"), "equipoise; fwd=stale; fwd-status=304; ttl=20");
    stage.pass(19);
    assert!(stage.get("/", &[]).await.is_hit());
    assert_eq!(stage.cache.stats().validated, 1);
}

#[tokio::test]
async fn the_client_gets_304_after_validation_if_it_has_the_response() {
    let stage = Stage::new();
    let modified = stage.date(-100);
    let fields = [("cache-control", "max-age=10"), ("last-modified", modified.as_str())];
    stage.backend.answers(200, &fields, "body").answers(304, &fields, "");
    stage.get("/", &[]).await;
    stage.pass(11);
    assert_eq!(stage.get("/", &[("if-modified-since", &modified)]).await.status, 304);
}

#[tokio::test]
async fn a_new_response_replaces_the_stale_one() {
    let stage = Stage::new();
    let fields = |etag| [("cache-control", "max-age=10"), ("etag", etag)];
    stage.backend.answers(200, &fields("\"a\""), "old").answers(200, &fields("\"b\""), "new");
    stage.get("/", &[]).await;
    stage.pass(11);
    assert_eq!(stage.get("/", &[]).await.body, "new");
    let hit = stage.get("/", &[]).await;
    assert_eq!((hit.is_hit(), hit.body.as_str()), (true, "new"));
}

#[tokio::test]
async fn no_cache_is_stored_and_validated_for_each_request() {
    let stage = Stage::new();
    let fields = [("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")];
    stage.backend.answers(200, &fields, "body").answers(304, &fields, "").answers(304, &fields, "");
    for count in 1..=3 {
        assert_eq!(stage.get("/", &[]).await.body, "body");
        assert_eq!(stage.backend.count(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn fields_of_a_304_that_are_not_stored_reach_the_client_of_the_validation_only() {
    let stage = Stage::with(|cache| cache.set_cookie(SetCookie::Strip));
    let control = |seconds| format!("max-age={seconds}, private=\"x-own\", no-cache=\"x-once\"");
    stage.backend.answers(200, &[("cache-control", &control(10)), ("etag", "\"a\"")], "body");
    stage.get("/", &[]).await;
    stage.pass(11);
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let control = control(60);
    stage.backend.then(async move {
        released.await.expect("a release");
        let fields = [("cache-control", control.as_str()), ("set-cookie", "a=1"), ("x-own", "1"), ("x-once", "1")];
        let mut response = script::response(304, &fields, script::full(""));
        response.headers_mut().append("set-cookie", "b=2".parse().expect("a value"));
        Ok(response)
    });
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", &[]).await })
        })
        .collect();
    settle().await;
    release.send(()).expect("the validation is in progress");
    for (client, expected) in clients.into_iter().zip([(2, "1", "1"), (0, "", "")]) {
        let got = client.await.expect("no panic");
        let cookies = got.headers.get_all("set-cookie").iter().count();
        assert_eq!((cookies, got.field("x-own"), got.field("x-once")), expected);
        assert_eq!((got.body.as_str(), got.field("age")), ("body", "0"));
    }
    let hit = stage.get("/", &[]).await;
    assert_eq!((hit.is_hit(), hit.field("set-cookie"), hit.field("x-own")), (true, "", ""));
    assert_eq!(stage.backend.count(), 2);
}

#[tokio::test]
async fn after_a_304_about_another_response_the_backend_is_asked_without_a_condition() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "max-age=10"), ("etag", "\"a\"")], "old");
    stage.backend.answers(304, &[("etag", "\"b\"")], "");
    stage.backend.answers(200, &[("cache-control", "max-age=10"), ("etag", "\"b\"")], "new");
    stage.get("/", &[]).await;
    stage.pass(11);
    let got = stage.get("/", &[("if-none-match", "\"x\""), ("x-a", "1")]).await;
    assert_eq!((got.status, got.body.as_str(), got.field("etag")), (200, "new", "\"b\""));
    assert_eq!((stage.backend.last("if-none-match"), stage.backend.last("x-a").as_deref()), (None, Some("1")));
    let hit = stage.get("/", &[]).await;
    assert_eq!((hit.is_hit(), hit.body.as_str(), stage.backend.count()), (true, "new", 3));
}

#[tokio::test]
async fn a_backend_that_answers_only_304_about_other_responses_has_failed() {
    for (control, hidden) in [("max-age=10", false), ("max-age=10, stale-if-error=60", true)] {
        let stage = Stage::new();
        stage.backend.answers(200, &[("cache-control", control), ("etag", "\"a\"")], "old");
        stage.backend.answers(304, &[("etag", "\"b\"")], "").answers(304, &[("etag", "\"b\"")], "");
        stage.get("/", &[]).await;
        stage.pass(11);
        let answer = stage.send(script::request("GET", "/", &[])).await;
        assert_eq!((answer.is_ok(), stage.backend.count()), (hidden, 3), "{control}");
    }
}

#[tokio::test]
async fn a_304_that_forbids_storing_removes_the_response() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "max-age=10"), ("etag", "\"a\"")], "old");
    stage.backend.answers(304, &[("cache-control", "no-store")], "").answers(200, &[], "new");
    stage.get("/", &[]).await;
    stage.pass(11);
    assert_eq!(stage.get("/", &[]).await.body, "old");
    assert_eq!(stage.get("/", &[]).await.body, "new");
    assert_eq!(stage.backend.last("if-none-match"), None);
}

#[tokio::test(start_paused = true)]
async fn stale_while_revalidate_answers_at_once_and_validates_once() {
    let stage = Stage::new();
    let fields = [("cache-control", "max-age=10, stale-while-revalidate=20"), ("etag", "\"a\"")];
    stage.backend.answers(200, &fields, "old");
    stage.get("/", &[]).await;
    stage.pass(15);
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    stage.backend.then(async move {
        released.await.expect("a release");
        Ok(script::response(200, &[("cache-control", "max-age=10")], script::full("new")))
    });
    for _ in 0..3 {
        let got = stage.get("/", &[]).await;
        assert_eq!(got.field("cache-status"), "equipoise; hit; ttl=-5; detail=stale-while-revalidate");
        assert_eq!(got.body, "old");
    }
    tokio::task::yield_now().await;
    release.send(()).expect("the fetch is in progress");
    while stage.cache.stats().fetches > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.get("/", &[]).await.body, "new");
    assert_eq!((stage.backend.count(), stage.cache.stats().background), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_waited_for_other_variants_still_gets_a_stale_response_at_once() {
    let stage = Stage::new();
    let client = |fields: &'static [(&str, &str)]| {
        let stage = stage.clone();
        tokio::spawn(async move { stage.get("/", fields).await })
    };
    // The backend answers when the test says so, with a response that varies by these fields.
    let answers = |vary: &'static str, body: &'static str| {
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        stage.backend.then(async move {
            released.await.expect("a release");
            let fields = [("cache-control", "max-age=1, stale-while-revalidate=60"), ("vary", vary)];
            Ok(script::response(200, &fields, script::full(body)))
        });
        release
    };
    let (one, two, three) = (answers("x-a", "one"), answers("x-a, x-b", "two"), answers("x-a, x-b", "three"));
    let mut clients = vec![client(&[("x-a", "1")])];
    settle().await;
    let mut waiting = stage.send(script::request("GET", "/", &[("x-a", "2"), ("x-b", "2")]));
    let mut poll = || waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending(), "it waits for the first fetch");
    one.send(()).expect("a fetch");
    settle().await;
    clients.push(client(&[("x-a", "2"), ("x-b", "1")]));
    settle().await;
    assert!(poll().is_pending(), "it waits for the second fetch");
    two.send(()).expect("a fetch");
    settle().await;
    clients.push(client(&[("x-a", "2"), ("x-b", "2")]));
    settle().await;
    three.send(()).expect("a fetch");
    for client in clients {
        client.await.expect("no panic");
    }
    stage.pass(5);
    stage.backend.then(std::future::pending());
    let Poll::Ready(response) = poll() else { panic!("it waits for a third fetch") };
    assert_eq!(script::read(response.expect("a response")).await.expect("a body").body, "three");
    let stats = stage.cache.stats();
    assert_eq!((stats.stale_while_revalidate, stats.background), (1, 1));
    settle().await;
    assert_eq!(stage.backend.count(), 4, "the validation in the background");
}

#[tokio::test]
async fn stale_while_revalidate_ends_with_its_window() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "max-age=10, stale-while-revalidate=20")], "old");
    stage.get("/", &[]).await;
    stage.pass(30);
    assert!(stage.reaches_backend(&[]).await);
}

#[tokio::test]
async fn stale_if_error_hides_errors_within_its_window() {
    for (control, seconds, hidden) in [
        ("max-age=10, stale-if-error=20", 29, true),
        ("max-age=10, stale-if-error=20", 31, false),
        ("max-age=10", 15, false),
        ("max-age=10, stale-if-error=20, must-revalidate", 15, false),
        ("max-age=10, stale-if-error=20, proxy-revalidate", 15, false),
        ("max-age=10, stale-if-error=20, no-cache", 15, false),
        ("s-maxage=10, stale-if-error=20", 15, false),
    ] {
        for status in [None, Some(500), Some(502), Some(503), Some(504)] {
            let stage = Stage::new();
            stage.backend.answers(200, &[("cache-control", control), ("etag", "\"a\"")], "old");
            stage.get("/", &[]).await;
            stage.pass(seconds);
            match status {
                None => stage.backend.fails(),
                Some(status) => stage.backend.answers(status, &[], "error"),
            };
            let got = stage.send(script::request("GET", "/", &[])).await;
            let body = match got {
                Ok(got) => script::read(got).await.expect("a body").body,
                Err(_) => "error".to_owned(),
            };
            assert_eq!(body == "old", hidden, "{control} after {seconds}: {status:?}");
        }
    }
}

#[tokio::test]
async fn settings_allow_stale_responses_that_do_not_say_it_themselves() {
    let stage = Stage::with(|cache| cache.stale_if_error(Duration::from_secs(100)).max_stale(Duration::from_secs(50)));
    stage.backend.answers(200, &[("cache-control", "max-age=10")], "old").fails().fails();
    stage.get("/", &[]).await;
    stage.pass(59);
    let got = stage.get("/", &[]).await;
    assert_eq!((got.body.as_str(), stage.cache.stats().stale_on_error), ("old", 1));
    assert!(got.field("cache-status").ends_with("detail=stale-if-error"), "{}", got.field("cache-status"));
    stage.pass(2);
    assert!(stage.send(script::request("GET", "/", &[])).await.is_err());
}

#[tokio::test]
async fn max_stale_of_the_request_counts_unless_the_response_forbids_it() {
    for (control, hit) in [
        ("max-age=10", true),
        ("max-age=10, must-revalidate", false),
        ("max-age=10, proxy-revalidate", false),
        ("max-age=10, no-cache", false),
        ("s-maxage=10", false),
        ("max-age=0", false),
    ] {
        let stage = Stage::new();
        stage.backend.answers(200, &[("cache-control", control), ("etag", "\"a\"")], "old");
        stage.get("/", &[]).await;
        stage.pass(15);
        assert_eq!(!stage.reaches_backend(&[("cache-control", "max-stale=10")]).await, hit, "{control}");
        if hit {
            assert!(stage.reaches_backend(&[("cache-control", "max-stale=4")]).await, "{control}");
        }
    }
}

#[tokio::test]
async fn a_validation_without_a_date_does_not_lengthen_the_lifetime() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("date", &stage.date(0)), ("expires", &stage.date(10)), ("etag", "\"a\"")], "body");
    stage.get("/", &[]).await;
    stage.pass(3600);
    stage.backend.answers(304, &[("expires", &stage.date(10))], "");
    stage.get("/", &[]).await;
    stage.pass(60);
    assert!(stage.reaches_backend(&[]).await);
}

#[tokio::test]
async fn a_validation_that_forbids_storing_keeps_the_fields_of_the_body_and_of_the_connection() {
    let stage = Stage::new();
    let stored = [("cache-control", "max-age=60"), ("etag", "\"a\""), ("content-encoding", "gzip")];
    stage.backend.answers(200, &stored, "body");
    stage.get("/", &[]).await;
    let update = [
        ("cache-control", "no-store"),
        ("content-encoding", "br"),
        ("content-range", "bytes 0-0/4"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-new", "1"),
    ];
    stage.backend.answers(304, &update, "");
    let got = stage.get("/", &[("cache-control", "no-cache")]).await;
    assert_eq!((got.status, got.body.as_str(), got.field("content-encoding")), (200, "body", "gzip"));
    assert_eq!((got.field("content-range"), got.field("x-hop"), got.field("x-new")), ("", "", "1"));
}

#[tokio::test]
async fn a_response_that_was_superseded_is_not_used_stale() {
    for (status, control, superseded) in [
        (200, "no-store", true),
        (200, "private", true),
        (301, "no-store", true),
        (404, "no-store", true),
        (410, "no-store", true),
        (401, "no-store", false),
        (403, "no-store", false),
        (429, "no-store", false),
    ] {
        let stage = Stage::new();
        stage.backend.answers(200, &[("cache-control", "max-age=1, stale-if-error=1000")], "old");
        stage.get("/", &[]).await;
        stage.pass(2);
        stage.backend.answers(status, &[("cache-control", control)], "other");
        assert_eq!(stage.get("/", &[]).await.status, status);
        stage.backend.fails();
        let answer = stage.send(script::request("GET", "/", &[])).await;
        assert_eq!(answer.is_err(), superseded, "{status} {control}");
    }
}

#[tokio::test]
async fn a_response_that_arrives_late_does_not_replace_a_newer_one() {
    let stage = Stage::new();
    let fresh = [("cache-control", "max-age=60")];
    let (sender, body) = script::channel();
    stage.backend.then(async move { Ok(script::response(200, &fresh, body)) });
    let slow = stage.send(script::request("GET", "/", &[])).await.expect("a response");
    stage.pass(1);
    stage.backend.answers(200, &fresh, "new");
    assert_eq!(stage.get("/", &[("cache-control", "no-cache")]).await.body, "new");
    drop(sender);
    assert_eq!(script::read(slow).await.expect("a body").body, "");
    let hit = stage.get("/", &[]).await;
    assert_eq!((hit.is_hit(), hit.body.as_str()), (true, "new"));
}

#[tokio::test]
async fn settings_do_not_share_responses_that_were_never_fresh() {
    for (control, shared) in
        [("", false), ("max-age=0", false), ("max-age=1", true), ("public, max-age=0", true), ("s-maxage=1", false)]
    {
        let time = Duration::from_secs(1000);
        let stage = Stage::with(|cache| cache.stale_while_revalidate(time).stale_if_error(time));
        let fields = [("cache-control", control), ("etag", "\"a\"")];
        stage.backend.answers(200, &fields, "of one client").fails().fails();
        stage.get("/", &[("cookie", "a")]).await;
        stage.pass(2);
        for _ in 0..2 {
            let answer = stage.send(script::request("GET", "/", &[("cookie", "b")])).await;
            assert_eq!(answer.is_ok(), shared, "{control}");
        }
    }
}

//! What one client does must not change what others get from the cache.

use std::time::Duration;

use equipoise_gateway::{Identity, Mechanism, cache::KeyPolicy};

use crate::script::{self, FRESH, Stage};

const VALIDATED: &[(&str, &str)] = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];

#[tokio::test]
async fn identities_without_a_name_do_not_share_responses() {
    let stage = Stage::with(|cache| cache.key(KeyPolicy::new().per_identity()));
    for body in ["first", "second"] {
        stage.backend.answers(200, FRESH, body);
        let mut request = script::request("GET", "/", &[]);
        request.extensions_mut().insert(Identity::new("", Mechanism::External));
        let response = stage.send(request).await.expect("a response");
        assert_eq!(script::read(response).await.expect("a body").body, body);
    }
}

#[tokio::test]
async fn a_validation_that_only_this_client_may_use_removes_nothing() {
    for fields in
        [&[("authorization", "x"), ("cache-control", "no-cache")][..], &[("cache-control", "no-cache, no-store")]]
    {
        let stage = Stage::new();
        stage.backend.answers(200, VALIDATED, "body");
        stage.get("/", &[]).await;
        stage.backend.answers(304, VALIDATED, "");
        assert_eq!(stage.get("/", fields).await.body, "body");
        assert!(stage.get("/", &[]).await.is_hit(), "{fields:?}");
    }
}

#[tokio::test]
async fn a_response_that_may_no_longer_be_stored_removes_its_variant_only() {
    let stage = Stage::new();
    let varied = [("cache-control", "max-age=60"), ("etag", "\"a\""), ("vary", "x-a")];
    for value in ["1", "2"] {
        stage.backend.answers(200, &varied, value);
        stage.get("/", &[("x-a", value)]).await;
    }
    stage.backend.answers(304, &[("cache-control", "no-store"), ("etag", "\"a\"")], "");
    assert_eq!(stage.get("/", &[("x-a", "1"), ("cache-control", "no-cache")]).await.body, "1");
    assert!(stage.get("/", &[("x-a", "2")]).await.is_hit());
    assert!(stage.reaches_backend(&[("x-a", "1")]).await);
}

/// How many of ten requests at the same time reach the backend.
async fn reach_together(stage: &Stage) -> usize {
    let before = stage.backend.count();
    for _ in 0..10 {
        stage.backend.then(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(script::response(200, FRESH, script::full("body")))
        });
    }
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", &[]).await })
        })
        .collect();
    for client in clients {
        client.await.expect("a response");
    }
    stage.backend.count() - before
}

#[tokio::test(start_paused = true)]
async fn ranges_conditions_and_credentials_of_one_client_do_not_stop_coalescing() {
    let part = [("cache-control", "max-age=60"), ("content-range", "bytes 0-0/10")];
    for (status, answer, fields) in [(206, &part[..], ("range", "bytes=0-0")), (200, FRESH, ("authorization", "x"))] {
        let stage = Stage::new();
        stage.backend.answers(status, answer, "a");
        stage.get("/", &[fields]).await;
        assert_eq!(reach_together(&stage).await, 1, "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_with_credentials_do_not_wait_for_each_other_if_their_responses_cannot_be_shared() {
    let stage = Stage::new();
    let credentials = [("authorization", "x"), ("if-none-match", "\"a\"")];
    stage.backend.answers(200, VALIDATED, "own");
    stage.get("/", &credentials).await;
    let begin = tokio::time::Instant::now();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            stage.backend.then(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(script::response(304, VALIDATED, script::full("")))
            });
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", &credentials).await.status })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.expect("a response"), 304);
    }
    // Their conditions reach the backend.
    assert_eq!((begin.elapsed().as_secs(), stage.backend.last("if-none-match").as_deref()), (1, Some("\"a\"")));
    assert_eq!(reach_together(&stage).await, 1, "the requests without credentials wait for one");
}

#[tokio::test(start_paused = true)]
async fn requests_without_credentials_do_not_wait_for_one_with_credentials() {
    for leader in [&[("authorization", "x")][..], &[]] {
        let stage = Stage::new();
        stage.backend.then(std::future::pending());
        let first = {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", leader).await })
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
        stage.backend.answers(200, FRESH, "other");
        let follower = if leader.is_empty() { &[("authorization", "x")][..] } else { &[] };
        let begin = tokio::time::Instant::now();
        assert_eq!(stage.get("/", follower).await.body, "other");
        assert_eq!(begin.elapsed(), Duration::ZERO);
        first.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_private_response_does_not_stop_the_coalescing_of_requests_with_credentials() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "private")], "own");
    stage.get("/", &[]).await;
    for _ in 0..10 {
        stage.backend.then(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(script::response(200, &[("cache-control", "public, max-age=60")], script::full("body")))
        });
    }
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get("/", &[("authorization", "x")]).await.body })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.expect("a response"), "body");
    }
    assert_eq!(stage.backend.count(), 2);
}

#[tokio::test]
async fn a_field_that_may_change_the_request_for_the_backend_does_not_poison_the_cache() {
    for field in
        ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "x-host"]
    {
        let stage = Stage::new();
        stage.backend.answers(200, FRESH, "poison");
        stage.get("/", &[(field, "x")]).await;
        stage.backend.answers(200, FRESH, "body");
        assert_eq!(stage.get("/", &[]).await.body, "body", "{field}");
        assert!(stage.get("/", &[(field, "x")]).await.is_hit());
        let name = http::HeaderName::from_static(field);
        let stage = Stage::with(|cache| cache.key(KeyPolicy::new().field(name)));
        stage.backend.answers(200, FRESH, "own");
        stage.get("/", &[(field, "x")]).await;
        assert!(stage.get("/", &[(field, "x")]).await.is_hit());
    }
}

#[tokio::test]
async fn a_parameter_that_the_key_ignores_does_not_reach_the_backend() {
    for (policy, uri, forwarded) in [
        (KeyPolicy::new().without_parameters(["utm"]), "/?a=1&utm=evil", "/?a=1"),
        (KeyPolicy::new().only_parameters(["a"]), "/?a=1&utm=evil", "/?a=1"),
        (KeyPolicy::new().without_query(), "/?a=1&utm=evil", "/"),
        (KeyPolicy::new().without_parameters(["utm"]).forward_ignored(true), "/?a=1&utm=evil", "/?a=1&utm=evil"),
    ] {
        let stage = Stage::with(|cache| cache.key(policy));
        for (count, (method, fields)) in
            [("GET", &[("range", "bytes=0-0")][..]), ("HEAD", &[]), ("GET", &[])].into_iter().enumerate()
        {
            stage.backend.answers(if count == 0 { 404 } else { 200 }, FRESH, "");
            stage.ask(method, uri, fields).await;
            assert_eq!((stage.backend.count(), stage.backend.last_uri().as_deref()), (count + 1, Some(forwarded)));
        }
        assert!(stage.get("/?utm=good&a=1", &[]).await.is_hit());
    }
}

#[tokio::test]
async fn another_form_of_the_host_does_not_poison_the_cache() {
    let stage = Stage::new();
    for host in ["EXAMPLE.com", "example.com:80"] {
        stage.backend.answers(200, FRESH, "poison");
        let mut request = script::request("GET", "/", &[]);
        request.headers_mut().insert("host", host.parse().expect("a value"));
        script::read(stage.send(request).await.expect("a response")).await.expect("a body");
    }
    stage.backend.answers(200, FRESH, "body");
    assert_eq!(stage.get("/", &[]).await.body, "body");
}

#[tokio::test]
async fn head_removes_only_what_a_get_would_not_return_any_more() {
    let varied = [("cache-control", "max-age=60"), ("etag", "\"a\""), ("vary", "x-a")];
    for (status, etag, field, stays) in [
        (404, "\"a\"", ("x-b", ""), true),
        (206, "\"b\"", ("range", "bytes=0-0"), true),
        (200, "\"b\"", ("authorization", "x"), true),
        (200, "\"b\"", ("x-b", ""), false),
    ] {
        let stage = Stage::new();
        for value in ["1", "2"] {
            stage.backend.answers(200, &varied, value);
            stage.get("/", &[("x-a", value)]).await;
        }
        stage.backend.answers(status, &[("etag", etag)], "");
        stage.ask("HEAD", "/", &[("x-a", "1"), ("cache-control", "no-cache"), field]).await;
        assert!(stage.get("/", &[("x-a", "2")]).await.is_hit());
        assert_eq!(stage.reaches_backend(&[("x-a", "1")]).await, !stays, "{status} {field:?}");
    }
}

#[tokio::test]
async fn an_old_validation_does_not_replace_a_newer_response() {
    let stage = Stage::new();
    stage.backend.answers(200, VALIDATED, "old");
    stage.get("/", &[]).await;
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    stage.backend.then(async {
        let _ = released.await;
        Ok(script::response(304, VALIDATED, script::full("")))
    });
    let no_cache = &[("cache-control", "no-cache")];
    let slow = {
        let stage = stage.clone();
        tokio::spawn(async move { stage.get("/", no_cache).await })
    };
    while stage.backend.count() < 2 {
        tokio::task::yield_now().await;
    }
    stage.pass(1);
    stage.backend.answers(200, &[("cache-control", "max-age=60"), ("etag", "\"b\"")], "new");
    stage.get("/", no_cache).await;
    release.send(()).expect("a request that waits");
    assert_eq!(slow.await.expect("a response").body, "old");
    assert_eq!(stage.get("/", &[]).await.body, "new");
}

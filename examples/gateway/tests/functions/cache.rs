//! Caches.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{config, report};
use crate::{
    backend::{Backend, response},
    client::soon,
    process::{Folder, Gateway},
};

/// Starts a server that numbers its responses, which can be cached for a minute.
fn numbered(fields: &'static str) -> Backend {
    let count = Arc::new(AtomicUsize::new(0));
    Backend::responding(move |_, _| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move { response(&format!("cache-control: public, max-age=60\r\n{fields}"), &number.to_string()) }
    })
}

fn with_store(config: &str) -> String {
    format!("[cache.main]\nmax_bytes = 1000000\n{config}")
}

async fn start_cached(folder: &Folder, listener: &str, backend: &Backend) -> Gateway {
    Gateway::start(folder, &with_store(&config(listener, backend))).await
}

#[tokio::test]
async fn stored_responses_are_used_until_they_are_purged_and_a_reload_keeps_them() {
    let (backend, folder) = (numbered("cache-tag: a b\r\n"), Folder::new());
    let listener = "pool = \"web\"\ncache = { strip_tags = true }";
    let mut gateway = start_cached(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let first = client.get("/x").await;
    assert_eq!((first.body.as_str(), first.header("cache-tag")), ("1", None));
    let second = client.get("/x").await;
    assert!(second.body == "1" && second.header("cache-status").unwrap().contains("; hit"));
    gateway.logs("cache=\"uri-miss\"").await;
    gateway.logs("cache=\"hit\"").await;
    gateway.reload(&folder, &with_store(&config(&format!("{listener}\nrequest_id = true"), &backend))).await;
    assert_eq!(client.get("/x").await.body, "1");
    // Other settings of the route use the same store.
    let other = listener.replace("true }", "true, stale_if_error = \"1m\" }");
    gateway.reload(&folder, &with_store(&config(&other, &backend))).await;
    assert_eq!(client.get("/x").await.body, "1");
    let mut number = 1;
    for purge in ["url=http://localhost/x", "prefix=http://localhost/", "tag=b", "all", "all&cache=main"] {
        let answer = gateway.connect(1).await.post(&format!("/cache/purge?{purge}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "1 removed\n"), "{purge}");
        number += 1;
        assert_eq!(client.get("/x").await.body, number.to_string());
        assert_eq!(client.get("/x").await.body, number.to_string());
    }
    let mut admin = gateway.connect(1).await;
    for (purge, status) in [("", 400), ("url=x", 400), ("all&tag=a", 400), ("all&cache=other", 404), ("al", 400)] {
        assert_eq!(admin.post(&format!("/cache/purge?{purge}")).await.status, status, "{purge}");
    }
    let store = report(&gateway, "cache.main").await;
    assert!(store["bytes"].as_u64().unwrap() > 0 && store["max_bytes"] == 1_000_000, "{store}");
}

#[tokio::test]
async fn a_purge_needs_an_operator() {
    let (backend, folder) = (numbered(""), Folder::new());
    let config = with_store(&config("pool = \"web\"\ncache = true", &backend));
    let gateway = Gateway::start(&folder, &config.replace("changes = true", "")).await;
    gateway.connect(0).await.get("/").await;
    assert_eq!(gateway.connect(1).await.post("/cache/purge?all").await.status, 403);
    assert_eq!(gateway.connect(0).await.get("/").await.body, "1");
}

#[tokio::test]
async fn a_purge_that_a_store_has_not_done_is_answered_with_503_and_the_reason() {
    let (backend, folder) = (numbered("cache-tag: a\r\n"), Folder::new());
    // Nothing listens there.
    let listener = r#"
        pool = "web"
        cache = { store = "main" }
        [[listener.route]]
        path_prefix = "/away"
        pool = "web"
        cache = { store = "away" }
        [cache.away]
        redis = { url = "redis://127.0.0.1:1" }
    "#;
    let gateway = start_cached(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    assert_eq!([client.get("/").await.body, client.get("/").await.body], ["1", "1"]);
    let mut admin = gateway.connect(1).await;
    for purge in ["tag=leaked", "all&cache=away", "prefix=http://localhost/", "url=http://localhost/away"] {
        let answer = admin.post(&format!("/cache/purge?{purge}")).await;
        assert_eq!(answer.status, 503, "{purge}");
        assert!(answer.body.contains("the Redis server cannot be used: "), "{}", answer.body);
    }
    // The store that works was purged all the same.
    assert_eq!(client.get("/").await.body, "2");
    assert_eq!(admin.post("/cache/purge?all&cache=main").await.status, 200);
}

#[tokio::test]
async fn nothing_of_the_cache_is_sent_before_authentication_and_identities_have_their_own_responses() {
    let (backend, folder) = (numbered(""), Folder::new());
    // The SHA-256 of `a` and of `b`.
    let keys = "ada:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\n\
                bob:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\n";
    fs::write(folder.path().join("keys"), keys).unwrap();
    let listener =
        "pool = \"web\"\nauth = { api_key = { keys_file = \"keys\" } }\ncache = { key = { identity = true } }";
    let gateway = start_cached(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (key, status, body) in [("a", 200, "1"), ("a", 200, "1"), ("b", 200, "2"), ("a", 200, "1"), ("b", 200, "2")] {
        let answer = client.request("GET /", &format!("x-api-key: {key}\r\n")).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{key}");
    }
    assert_eq!(client.get("/").await.status, 401);
}

#[tokio::test]
async fn the_pool_gets_no_parameters_that_the_key_ignores_unless_it_is_told_to() {
    for (key, expected) in [("", "GET /x?a=1 HTTP/1.1"), (", forward_ignored = true", "GET /x?utm=1&a=1 HTTP/1.1")] {
        let folder = Folder::new();
        let backend = Backend::responding(|head, _| async move {
            response("cache-control: public, max-age=60\r\n", head.lines().next().unwrap())
        });
        let listener = format!("pool = \"web\"\ncache = {{ key = {{ without = [\"utm\"]{key} }} }}");
        let gateway = start_cached(&folder, &listener, &backend).await;
        let mut client = gateway.connect(0).await;
        assert_eq!(client.get("/x?utm=1&a=1").await.body, expected);
        assert_eq!(client.get("/x?a=1&utm=2").await.body, expected);
        assert_eq!(backend.served(), 1);
    }
}

#[tokio::test]
async fn routes_that_differ_in_more_than_the_url_have_their_own_responses() {
    let (backend, folder) = (numbered(""), Folder::new());
    let route = "[[listener.route]]\nheader = { x-beta = \"1\" }\npool = \"web\"\n";
    let gateway = start_cached(&folder, &format!("pool = \"web\"\ncache = true\n{route}"), &backend).await;
    let mut client = gateway.connect(0).await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.body, "1");
        assert_eq!(client.request("GET /", "x-beta: 1\r\n").await.unwrap().body, "2");
    }
}

#[tokio::test]
async fn stale_responses_are_used_when_the_backend_is_gone() {
    let mut backend =
        Backend::responding(|_, _| async { response("cache-control: public, max-age=0\r\netag: \"a\"\r\n", "old") });
    let folder = Folder::new();
    let gateway = start_cached(&folder, "pool = \"web\"\ncache = { stale_if_error = \"1h\" }", &backend).await;
    let mut client = gateway.connect(0).await;
    assert_eq!(client.get("/").await.body, "old");
    backend.stop().await;
    let answer = client.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "old"));
    assert_eq!(client.get("/other").await.status, 502);
    assert_eq!(report(&gateway, "127.0.0.1:0 cache").await["stale_on_error"], 1);
}

#[tokio::test]
async fn after_a_switch_of_the_pool_no_response_of_the_old_one_is_used() {
    let (blue, green, folder) = (numbered("x-pool: blue\r\n"), numbered("x-pool: green\r\n"), Folder::new());
    let pool = format!("[pool.green]\nendpoints = [{{ address = \"{}\" }}]\n", green.address());
    let of = |name: &str| pool.clone() + &with_store(&config(&format!("pool = \"{name}\"\ncache = true"), &blue));
    let mut gateway = Gateway::start(&folder, &of("web")).await;
    let mut client = gateway.connect(0).await;
    for (pool, name) in [("web", "blue"), ("green", "green"), ("web", "blue"), ("green", "green")] {
        gateway.reload(&folder, &of(pool)).await;
        assert_eq!(client.get("/").await.header("x-pool"), Some(name));
    }
}

/// Returns whether the second of two equal requests is answered from the store, and its `Cache-Status`, with a table of the listener's
/// cache, keys of the store, and fields of the response.
async fn second(cache: &str, store: &str, fields: &'static str) -> (bool, String) {
    let backend = Backend::responding(move |_, _| async move { response(fields, &"x".repeat(200)) });
    let folder = Folder::new();
    let config =
        config(&format!("pool = \"web\"\ncache = {cache}\n[cache.main]\nmax_bytes = 1000000\n{store}"), &backend);
    let gateway = Gateway::start(&folder, &config).await;
    let mut client = gateway.connect(0).await;
    client.request("GET /", "x-a: 1\r\n").await.unwrap();
    client.request("GET /", "x-a: 2\r\n").await.unwrap();
    let before = backend.served();
    let answer = client.request("GET /", "x-a: 1\r\n").await.unwrap();
    (backend.served() == before, answer.header("cache-status").unwrap().to_owned())
}

#[tokio::test]
async fn keys_of_the_cache_and_of_its_store_decide_what_is_stored() {
    const FRESH: &str = "cache-control: max-age=60\r\n";
    const TARGETED: &str = "cache-control: no-store\r\nx-control: max-age=60\r\n";
    const VARIED: &str = "cache-control: max-age=60\r\nvary: x-a\r\n";
    for (cache, store, fields, hit) in [
        ("true", "", FRESH, true),
        ("true", "", TARGETED, false),
        ("{ targeted_header = [\"x-control\"] }", "", TARGETED, true),
        ("true", "max_filling_bytes = 100", FRESH, false),
        ("true", "", VARIED, true),
        ("true", "max_variants = 1", VARIED, false),
    ] {
        assert_eq!(second(cache, store, fields).await.0, hit, "{cache} {store} {fields}");
    }
    let (_, status) = second("{ status_key = true }", "", FRESH).await;
    assert!(status.ends_with("; key=\"http://localhost/\""), "{status}");
}

#[tokio::test]
async fn keys_of_the_cache_limit_the_time_of_a_fetch() {
    // A head that does not come, and a body that does not end.
    let backend = Backend::responding(|head, _| async move {
        match head.starts_with("GET /head") {
            true => std::future::pending().await,
            false => "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\nabc".to_owned(),
        }
    });
    let folder = Folder::new();
    let listener = "pool = \"web\"\ncache = { fetch_timeout = \"50ms\", fetch_idle_timeout = \"50ms\" }";
    let gateway = start_cached(&folder, listener, &backend).await;
    assert_eq!(gateway.connect(0).await.get("/head").await.status, 504);
    let mut client = gateway.connect(0).await;
    assert!(client.request("GET /body", "").await.is_err(), "the body has not ended");
    soon(async { while report(&gateway, "127.0.0.1:0 cache").await["incomplete"] != 1 {} }).await;
}

#[tokio::test]
async fn requests_wait_for_each_other_as_the_keys_of_the_cache_say() {
    for (cache, waited) in [
        ("{ max_wait = \"20ms\" }", 0),
        ("{ max_wait = \"20ms\", remember_uncacheable = \"0s\" }", 1),
        ("{ max_wait = \"0s\", remember_uncacheable = \"0s\" }", 0),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let backend = Backend::responding(move |_, _| {
            let is_second = count.fetch_add(1, Ordering::SeqCst) == 1;
            async move {
                match is_second {
                    true => std::future::pending().await,
                    false => response("cache-control: private\r\n", "own"),
                }
            }
        });
        let folder = Folder::new();
        let gateway = start_cached(&folder, &format!("pool = \"web\"\ncache = {cache}"), &backend).await;
        gateway.connect(0).await.get("/").await;
        let mut slow = gateway.connect(0).await;
        slow.send("GET /", "").await.unwrap();
        backend.until_served(2).await;
        assert_eq!(gateway.connect(0).await.get("/").await.body, "own");
        assert_eq!(report(&gateway, "127.0.0.1:0 cache").await["waited_in_vain"], waited, "{cache}");
    }
}

//! Limits of rates and of requests in flight.

use std::fs;

use tokio::sync::Notify;

use super::{config, echo, report, start};
use crate::{backend::Backend, process::Folder};

#[tokio::test]
async fn requests_above_the_quota_of_a_client_are_denied_and_a_reload_keeps_its_state() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = r#"
        pool = "web"
        trusted_proxies = ["loopback"]
        errors = { format = "json" }
        limit = { rate = [{ quota = "2/h", by = "client" }, { name = "all", quota = "100/s", by = "all" }] }
    "#;
    let mut gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let of = |address: &str| format!("x-forwarded-for: {address}\r\n");
    for _ in 0..2 {
        let answer = client.request("GET /", &of("192.0.2.1")).await.unwrap();
        assert!(answer.status == 200 && answer.header("ratelimit").is_some());
    }
    // Other forms of the same address do not help, and neither does a reload.
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"] {
        let answer = client.request("GET /", &of(address)).await.unwrap();
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (429, true), "{address}");
        assert!(answer.body.contains("\"rate_limited\""), "{}", answer.body);
        let other = format!("{listener}\ncompression = true");
        gateway.reload(&folder, &config(&other, &backend)).await;
    }
    assert_eq!(client.request("GET /", &of("192.0.2.2")).await.unwrap().status, 200);
    let report = report(&gateway, "127.0.0.1:0 limit").await;
    assert_eq!([&report["rate"][0]["admitted"], &report["rate"][0]["denied"]], [3, 3]);
    assert!(gateway.logs("status=429").await.contains("denial=\"rate_limited\""));
    // Another quota begins anew.
    gateway.reload(&folder, &config(&listener.replace("2/h", "3/h"), &backend)).await;
    assert_eq!(client.request("GET /", &of("192.0.2.1")).await.unwrap().status, 200);
}

#[tokio::test]
async fn routes_share_the_limit_of_their_listener_unless_they_have_their_own() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = r#"
        pool = "web"
        limit = { rate = [{ quota = "1/h", by = "client" }] }
        [[listener.route]]
        path_prefix = "/a"
        pool = "web"
        [[listener.route]]
        path_prefix = "/own"
        pool = "web"
        limit = { rate = [{ quota = "1/h", by = "client" }] }
        [[listener.route]]
        path_prefix = "/free"
        pool = "web"
        limit = false
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (path, status) in
        [("/a", 200), ("/", 429), ("/a", 429), ("/own", 200), ("/own", 429), ("/free", 200), ("/free", 200)]
    {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_limit_by_route_counts_routes_apart_and_others_of_the_same_table_together() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = r#"
        pool = "web"
        [listener.limit]
        rate = [{ quota = "2/h", by = "route" }, { quota = "3/h", by = "client" }]
        [[listener.route]]
        path_prefix = "/a"
        pool = "web"
        [[listener.route]]
        path_prefix = "/b"
        pool = "web"
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (path, status) in [("/a", 200), ("/a", 200), ("/a", 429), ("/b", 200), ("/b", 429), ("/", 429)] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn each_identity_has_its_quota_after_its_authentication() {
    let (backend, folder) = (echo(), Folder::new());
    // The SHA-256 of `a` and of `b`.
    let keys = "ada:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\n\
                bob:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\n";
    fs::write(folder.path().join("keys"), keys).unwrap();
    let listener = r#"
        pool = "web"
        auth = { api_key = { keys_file = "keys" } }
        limit = { rate = [{ quota = "1/h", by = "identity" }] }
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (key, status) in [("x", 401), ("x", 401), ("a", 200), ("a", 429), ("b", 200), ("b", 429)] {
        let answer = client.request("GET /", &format!("x-api-key: {key}\r\n")).await.unwrap();
        assert_eq!(answer.status, status, "{key}");
    }
}

#[tokio::test]
async fn requests_at_the_same_time_are_limited() {
    static GO: Notify = Notify::const_new();
    let backend = Backend::answering(|head| async move {
        if head.starts_with("GET /slow") {
            GO.notified().await;
        }
        head
    });
    let folder = Folder::new();
    let listener = "pool = \"web\"\nlimit = { in_flight = [{ max = 1, by = \"client\" }] }";
    let gateway = start(&folder, listener, &backend).await;
    let (mut slow, mut other) = (gateway.connect(0).await, gateway.connect(0).await);
    slow.send("GET /slow", "").await.unwrap();
    backend.until_served(1).await;
    assert_eq!(other.get("/").await.status, 429);
    GO.notify_one();
    assert_eq!(slow.answer().await.unwrap().status, 200);
    assert_eq!(report(&gateway, "127.0.0.1:0 limit").await["in_flight"]["denied"], 1);
}

//! Rates and responses that gateways share in Redis.

use super::{config, report};
use crate::{
    backend::{Backend, response},
    client::soon,
    process::{Folder, Gateway},
};

#[path = "../../../../crates/equipoise-affinity/tests/redis/server.rs"]
#[allow(dead_code, reason = "this test uses a part of it")]
mod server;

/// Waits until a gateway is connected to Redis, or is not any more.
async fn connected(gateway: &Gateway, place: &str, state: bool) {
    until(gateway, place, |report| report["redis"]["connected"] == state).await;
}

/// Waits until the report of a function meets a condition.
async fn until(gateway: &Gateway, place: &str, is_met: impl Fn(&serde_json::Value) -> bool) {
    soon(async { while !is_met(&report(gateway, place).await) {} }).await;
}

#[tokio::test]
async fn two_gateways_share_rates_and_responses_and_do_without_them_while_redis_is_away() {
    let folders = [Folder::new(), Folder::new()];
    let Some(mut redis) = server::Server::start(&[]).await else { return };
    let port = redis.port();
    let backend = Backend::responding(|_, _| async { response("cache-control: max-age=60\r\n", "fresh") });
    let listener = format!(
        r#"
        pool = "web"
        cache = true
        [listener.limit]
        rate = [{{ quota = "3/h", by = "client" }}]
        redis = {{ url = "redis://127.0.0.1:{port}", gateways = 2 }}
        [[listener.route]]
        path_prefix = "/own"
        pool = "web"
        cache = false
        limit = {{ rate = [{{ quota = "1/h", by = "client" }}], redis = {{ url = "redis://127.0.0.1:{port}" }} }}
        [cache.main]
        redis = {{ url = "redis://127.0.0.1:{port}", write_timeout = "2s", connect_timeout = "2s" }}
        "#
    );
    let config = config(&listener, &backend);
    // They listen on different addresses.
    let other = config.replace("127.0.0.1:0", "127.0.0.2:0");
    let gateways = [Gateway::start(&folders[0], &config).await, Gateway::start(&folders[1], &other).await];
    for (gateway, place) in gateways.iter().zip(["127.0.0.1:0 limit", "127.0.0.2:0 limit"]) {
        connected(gateway, place, true).await;
        connected(gateway, "cache.main", true).await;
    }
    let mut clients = [gateways[0].connect(0).await, gateways[1].connect(0).await];
    assert_eq!(clients[0].get("/").await.body, "fresh");
    // The response is stored after the client has it.
    until(&gateways[0], "cache.main", |report| report["stored"] == 1).await;
    let second = clients[1].get("/").await;
    assert!(second.body == "fresh" && second.header("cache-status").unwrap().contains("; hit"));
    assert_eq!([clients[0].get("/").await.status, clients[1].get("/").await.status], [200, 429]);
    assert_eq!((clients[0].get("/").await.status, backend.served()), (429, 1));
    // The limit of a route has the same name, and a bucket of its own.
    connected(&gateways[0], "127.0.0.1:0 /own limit", true).await;
    assert_eq!([clients[0].get("/own").await.status, clients[0].get("/own").await.status], [200, 429]);

    redis.kill();
    // The gateway admits its half of the quota by itself, and caches nothing.
    assert_eq!((clients[0].get("/").await.status, backend.served()), (200, 3));
    assert_eq!(clients[0].get("/").await.status, 429);
    connected(&gateways[0], "127.0.0.1:0 limit", false).await;
    connected(&gateways[0], "cache.main", false).await;
    assert!(report(&gateways[0], "127.0.0.1:0 limit").await["redis"]["fallbacks"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn requests_without_a_key_use_the_bucket_of_their_own_limits_only() {
    let folder = Folder::new();
    let Some(redis) = server::Server::start(&[]).await else { return };
    let port = redis.port();
    let backend = Backend::responding(|_, _| async { response("", "") });
    let route = |path: &str, quota: &str| {
        format!(
            r#"
            [[listener.route]]
            path_prefix = "{path}"
            pool = "web"
            [listener.route.limit]
            rate = [{{ quota = "{quota}", by = "header:x-key" }}]
            redis = {{ url = "redis://127.0.0.1:{port}" }}
            "#
        )
    };
    let listener = format!("pool = \"web\"\n{}{}", route("/few", "1/h"), route("/many", "1000/s"));
    let gateway = Gateway::start(&folder, &config(&listener, &backend)).await;
    for place in ["/few", "/many"] {
        connected(&gateway, &format!("127.0.0.1:0 {place} limit"), true).await;
    }
    let mut client = gateway.connect(0).await;
    for (path, status) in [("/few", 200), ("/few", 429), ("/many", 200), ("/many", 200)] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
    assert_eq!(report(&gateway, "127.0.0.1:0 /many limit").await["redis"]["decisions"], 2);
}

#[tokio::test]
async fn clients_are_not_told_a_limit_of_all_requests_together() {
    let folder = Folder::new();
    let backend = Backend::responding(|_, _| async { response("", "") });
    // Without the server, the gateway itself decides.
    let listener = r#"
        pool = "web"
        [listener.limit]
        rate = [{ quota = "100/h", by = "all" }, { quota = "10/h", by = "client" }]
        redis = { url = "redis://127.0.0.1:1" }
    "#;
    let gateway = Gateway::start(&folder, &config(listener, &backend)).await;
    let answer = gateway.connect(0).await.get("/").await;
    assert_eq!(answer.header("ratelimit-policy"), Some("\"client\";q=10;w=3600"));
}

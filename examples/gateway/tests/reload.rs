//! SIGHUP.

use crate::{
    backend::Backend,
    client::{Client, soon},
    process::{Folder, Gateway},
};

fn config(weight: u32, more: &str, endpoints: &[&Backend]) -> String {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|backend| format!("{{ address = \"{}\", weight = {weight} }}", backend.address()))
        .collect();
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        {more}
        [pool.web]
        strategy = "round-robin"
        endpoints = [{}]
        [admin]
        bind = "127.0.0.1:0"
        changes = true
        "#,
        endpoints.join(", "),
    )
}

async fn counted(gateway: &Gateway) -> Vec<u64> {
    let endpoints = gateway.connect(1).await.get("/endpoints").await.body;
    let endpoints: serde_json::Value = serde_json::from_str(&endpoints).unwrap();
    let total = |endpoint: &serde_json::Value| endpoint["status"]["requests"]["total"].as_u64().unwrap();
    endpoints.as_array().unwrap().iter().map(total).collect()
}

/// Returns how many connections to endpoints were opened.
async fn opened(gateway: &Gateway) -> u64 {
    let endpoints = gateway.connect(1).await.get("/endpoints").await.body;
    let endpoints: serde_json::Value = serde_json::from_str(&endpoints).unwrap();
    endpoints.as_array().unwrap().iter().map(|one| one["connections"]["opened"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_listener_can_be_widened_and_narrowed_on_its_port() {
    let a = Backend::start("a");
    let folder = Folder::new();
    // Chosen by the system, and free again.
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let on = |ip: &str| config(1, "", &[&a]).replacen("127.0.0.1:0", &format!("{ip}:{port}"), 1);
    let mut gateway = Gateway::start(&folder, &on("127.0.0.1")).await;
    for (ip, address) in [("0.0.0.0", "127.0.0.2"), ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.2")] {
        gateway.reload(&folder, &on(ip)).await;
        gateway.logs("0 connections were aborted").await;
        assert_eq!(Client::connect(&format!("{address}:{port}")).await.get("/").await.body, "a", "{ip}");
    }
    gateway.reload(&folder, &on("127.0.0.1")).await;
    gateway.logs("closed 0.0.0.0").await;
    assert!(soon(tokio::net::TcpStream::connect(format!("127.0.0.2:{port}"))).await.is_err());
}

#[tokio::test]
async fn a_reload_keeps_connections_and_the_state_of_endpoints() {
    let [a, b] = ["a", "b"].map(Backend::start);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config(1, "", &[&a])).await;
    let mut client = gateway.connect(0).await;
    for _ in 0..3 {
        client.get("/").await;
    }
    gateway.connect(1).await.post(&format!("/endpoints/{}/drain", a.address())).await;

    gateway.reload(&folder, &config(2, "served_by_header = true", &[&a, &b])).await;
    assert_eq!(counted(&gateway).await, [3, 0]);
    // The same connection, with the new settings: `a` still drains.
    let answer = client.get("/").await;
    assert_eq!(answer.header("x-served-by"), Some(b.address()));
    assert_eq!(counted(&gateway).await, [3, 1]);
    assert_eq!(gateway.addresses.len(), 2, "no socket was opened");

    gateway.reload(&folder, &config(1, "", &[&b])).await;
    assert_eq!(client.get("/").await.header("x-served-by"), None);
    assert_eq!(counted(&gateway).await, [2]);
}

#[tokio::test]
async fn new_health_checks_and_another_form_of_the_same_strategy_keep_the_state_of_endpoints() {
    let a = Backend::start("a");
    let folder = Folder::new();
    let with = |settings: &str| config(1, "", &[&a]).replace("strategy = \"round-robin\"", settings);
    let mut gateway = Gateway::start(&folder, &with("outlier = \"nginx\"")).await;
    gateway.connect(0).await.get("/").await;
    for settings in [
        "outlier = \"nginx\"\nstrategy = \"log-ewma()\"\nhealth = { check = \"http\", path = \"/a\" }",
        "outlier = { preset = \"nginx\" }\nhealth = { check = \"http\", path = \"/b\", interval = \"1s\" }",
        "outlier = \"nginx\"\nhealth = { check = \"tcp\" }",
        "outlier = \"nginx\"",
    ] {
        gateway.reload(&folder, &with(settings)).await;
        assert!(counted(&gateway).await[0] > 0, "{settings}");
        assert!(gateway.connect(1).await.get("/endpoints").await.body.contains("\"availability\": \"up\""));
    }
    gateway.reload(&folder, &with("outlier = { preset = \"nginx\", consecutive_failures = 9 }")).await;
    gateway.logs("pool web was built anew, because its outlier has changed").await;
    assert_eq!(counted(&gateway).await, [0]);
}

#[tokio::test]
async fn a_pool_whose_strategy_changes_starts_anew_and_keeps_administrative_states() {
    let [a, b] = ["a", "b"].map(Backend::start);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config(1, "", &[&a, &b])).await;
    gateway.connect(0).await.get("/").await;
    gateway.connect(1).await.post(&format!("/endpoints/{}/drain", a.address())).await;
    gateway.reload(&folder, &config(1, "", &[&a, &b]).replace("round-robin", "p2c")).await;
    gateway.logs("pool web was built anew, because its strategy has changed").await;
    assert_eq!(counted(&gateway).await, [0, 0]);
    assert_eq!(opened(&gateway).await, 1, "connections stay");
    let answer = gateway.connect(1).await.post(&format!("/endpoints/{}/ready", b.address())).await.body;
    assert_eq!(answer, format!("web: {} is up\n", b.address()));
    for _ in 0..10 {
        assert_eq!(gateway.connect(0).await.get("/").await.body, "b");
    }
}

#[tokio::test]
async fn the_log_says_when_a_pool_loses_its_sessions() {
    let [a, b] = ["a", "b"].map(Backend::start);
    let folder = Folder::new();
    let with = |settings: &str| {
        let affinity = format!("strategy = \"round-robin\"\n{settings}");
        config(1, "", &[&a, &b]).replace("strategy = \"round-robin\"", &affinity)
    };
    let sessions = "affinity = \"header(name=x-user, by=table)\"";
    let mut gateway = Gateway::start(&folder, &with(sessions)).await;
    let mut client = gateway.connect(0).await;
    let first = client.request("GET /", "x-user: ada\r\n").await.unwrap().body;
    gateway.reload(&folder, &with(&format!("{sessions}\nprotocol = \"http1\""))).await;
    for _ in 0..4 {
        assert_eq!(client.request("GET /", "x-user: ada\r\n").await.unwrap().body, first);
    }
    gateway.reload(&folder, &with("affinity = \"header(name=x-user, by=table, idle-timeout=9m)\"")).await;
    gateway.logs("pool web has other sessions now, because its affinity has changed").await;
    gateway.reload(&folder, &with("slow_start = \"1s\"")).await;
    let line = gateway.logs("pool web was built anew, because its slow_start has changed").await;
    assert!(line.contains("its session tables are empty"), "{line}");
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing_and_is_told() {
    let [a, b] = ["a", "b"].map(Backend::start);
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config(1, "", &[&a])).await;
    let mut client = gateway.connect(0).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = |address: std::net::SocketAddr| format!("[[listener]]\nbind = \"{address}\"\npool = \"web\"\n");
    let more = listener("127.0.0.2:0".parse().unwrap()) + &listener(taken.local_addr().unwrap());
    for (wrong, error) in [
        (config(1, "", &[&a]).replace("strategy", "stategy"), "gateway.toml:7: unknown field `stategy`"),
        (config(1, "", &[]), "gateway.toml:8: a pool needs at least one endpoint"),
        (config(1, &more, &[&a, &b]), "gateway.toml:9: cannot listen on"),
    ] {
        folder.write(&wrong);
        gateway.signal("-HUP").await;
        let line = gateway.logs("the old configuration stays").await;
        assert!(line.contains(error), "{line}");
        assert_eq!(client.get("/").await.body, "a");
    }
    assert_eq!(counted(&gateway).await, [3]);
    assert_eq!(gateway.addresses.len(), 2, "no other socket was announced");
}

#[tokio::test]
async fn a_listener_that_leaves_finishes_its_requests() {
    let a = Backend::start("a");
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config(1, "", &[&a])).await;
    let mut client = gateway.connect(0).await;
    assert_eq!(client.get("/").await.status, 200);
    gateway
        .reload(
            &folder,
            &config(1, "", &[&a]).replace("\"127.0.0.1:0\"\n        pool", "\"127.0.0.2:0\"\n        pool"),
        )
        .await;
    gateway.logs("closed 127.0.0.1:0; 0 connections were aborted").await;
    assert!(client.request("GET /", "").await.is_err(), "its idle connection was closed");
    assert!(soon(tokio::net::TcpStream::connect(&gateway.addresses[0])).await.is_err());
    let new = &gateway.addresses[2];
    assert!(new.starts_with("127.0.0.2:"), "{new}");
    assert_eq!(gateway.connect(2).await.get("/").await.body, "a");
}

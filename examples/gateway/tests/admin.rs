//! The admin interface.

use crate::{
    backend::Backend,
    process::{Folder, Gateway},
};

fn config(a: &Backend, b: &Backend) -> String {
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        strategy = "round-robin"
        endpoints = [{{ id = "a", address = "{}" }}, {{ id = "b", address = "{}" }}]
        [admin]
        bind = "127.0.0.1:0"
        changes = true
        "#,
        a.address(),
        b.address(),
    )
}

async fn start() -> (Folder, Gateway, [Backend; 2]) {
    let backends = ["a", "b"].map(Backend::start);
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config(&backends[0], &backends[1])).await;
    (folder, gateway, backends)
}

#[tokio::test]
async fn an_operator_takes_an_endpoint_out_and_back() {
    let (_folder, gateway, _backends) = start().await;
    let (mut client, mut admin) = (gateway.connect(0).await, gateway.connect(1).await);
    for (order, state) in [("drain", "draining"), ("maintenance", "maintenance")] {
        let answer = admin.post(&format!("/endpoints/a/{order}")).await;
        assert_eq!((answer.status, answer.body), (200, format!("web: a is {state}\n")));
        for _ in 0..4 {
            assert_eq!(client.get("/").await.body, "b");
        }
        assert_eq!(admin.post("/endpoints/a/ready?pool=web").await.body, "web: a is up\n");
        let mut answers = [client.get("/").await.body, client.get("/").await.body];
        answers.sort();
        assert_eq!(answers, ["a", "b"]);
    }
    admin.post("/endpoints/a/maintenance").await;
    admin.post("/endpoints/b/maintenance").await;
    let answer = client.get("/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("\"code\":\"backend_unavailable\""), "{}", answer.body);
}

#[tokio::test]
async fn the_state_of_endpoints_is_told_as_json() {
    let (_folder, gateway, backends) = start().await;
    gateway.connect(0).await.get("/").await;
    let endpoints = gateway.connect(1).await.get("/endpoints").await;
    assert_eq!(endpoints.header("content-type"), Some("application/json"));
    let endpoints: serde_json::Value = serde_json::from_str(&endpoints.body).unwrap();
    let a = &endpoints[0];
    assert_eq!(a["pool"], "web");
    assert_eq!(a["status"]["id"], "a");
    assert_eq!(a["status"]["address"], backends[0].address());
    assert_eq!(a["health"]["availability"], "up");
    let total = |at: usize| endpoints[at]["status"]["requests"]["total"].as_u64().unwrap();
    assert_eq!(total(0) + total(1), 1);
    let served = &endpoints[usize::from(total(1) == 1)]["connections"];
    assert_eq!((&served["open"], &served["idle"], &served["opened"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(served["closed"]["peer"], 0);
}

#[tokio::test]
async fn the_state_of_listeners_is_told_as_json() {
    let (_folder, gateway, _backends) = start().await;
    let mut client = gateway.connect(0).await;
    client.get("/").await;
    client.get("/").await;
    let listeners = gateway.connect(1).await.get("/listeners").await.body;
    let listeners: serde_json::Value = serde_json::from_str(&listeners).unwrap();
    let listener = &listeners[0];
    assert_eq!(listener["bind"], "127.0.0.1:0");
    assert_eq!((&listener["requests"]["total"], &listener["requests"]["refused"]), (&2.into(), &0.into()));
    assert_eq!((&listener["connections"]["open"], &listener["connections"]["accepted"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn ids_in_paths_are_percent_decoded() {
    let (_folder, gateway, _backends) = start().await;
    let answer = gateway.connect(1).await.post("/endpoints/%61/drain").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "web: a is draining\n"));
}

#[tokio::test]
async fn a_request_is_explained_without_being_sent() {
    let (_folder, gateway, backends) = start().await;
    let mut admin = gateway.connect(1).await;
    admin.post("/endpoints/a/drain").await;
    let explained = admin.get("/explain?path=/x&header=x-user:ada").await.body;
    assert!(explained.starts_with("127.0.0.1:0: pool web\n"), "{explained}");
    let line = |id: &str| explained.lines().find(|line| line.trim_start().starts_with(id)).unwrap_or_default();
    assert!(line("a ").contains("draining") && line("b ").contains("picked"), "{explained}");
    assert_eq!(backends[1].served(), 0);
}

#[tokio::test]
async fn wrong_commands_are_refused_with_what_would_be_right() {
    let (folder, gateway, backends) = start().await;
    let mut admin = gateway.connect(1).await;
    let answer = admin.post("/endpoints/c/drain").await;
    assert_eq!(
        (answer.status, answer.body.trim_end()),
        (404, "no such pool has an endpoint \"c\": see GET /endpoints")
    );
    let answer = admin.post("/endpoints/a/stop").await;
    assert_eq!((answer.status, answer.body.trim_end()), (404, "there is no \"stop\": use drain, ready or maintenance"));
    let answer = admin.get("/explain?user=ada").await;
    assert!(answer.status == 400 && answer.body.starts_with("there is no parameter \"user\"\n"), "{}", answer.body);
    let rebound = admin.request("GET /config", "host: evil.test\r\n").await;
    assert_eq!(rebound.unwrap().status, 421);
    let browser = admin.request("POST /endpoints/a/drain", "origin: http://evil.test\r\ncontent-length: 0\r\n").await;
    assert_eq!(browser.unwrap().status, 403);
    let answer = admin.get("/config").await;
    assert_eq!(answer.body, config(&backends[0], &backends[1]));
    drop(folder);
}

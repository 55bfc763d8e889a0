//! What the log tells about requests.

use std::future::pending;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    backend::Backend,
    client::soon,
    process::{Folder, Gateway},
};

fn config(access: bool, backend: &str) -> String {
    format!(
        r#"
        [log]
        access = {access}
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        endpoints = [{{ address = "{backend}" }}]
        "#
    )
}

#[tokio::test]
async fn the_cause_of_a_failure_is_in_the_log_only() {
    // No program listens on this port.
    let dead = "127.0.0.1:1";
    for access in [true, false] {
        let folder = Folder::new();
        let mut gateway = Gateway::start(&folder, &config(access, dead)).await;
        let answer = gateway.connect(0).await.get("/x").await;
        assert_eq!(answer.status, 502);
        assert!(answer.body.contains("\"detail\":\"the backend could not be reached or failed\""), "{}", answer.body);
        let line = gateway.logs("a request has failed").await;
        for part in
            ["WARN", "client=127.0.0.1", "method=GET", "uri=/x", "pool=web", dead, "does not accept a connection"]
        {
            assert!(line.contains(part), "{part}: {line}");
        }
        if access {
            let line = gateway.logs("status=502").await;
            assert!(line.contains("uri=/x") && line.contains("pool=web endpoint=127.0.0.1:1"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_in_the_access_log() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let backend = Backend::answering(move |_| {
        begun.send(()).unwrap();
        pending()
    });
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config(true, backend.address())).await;
    let mut client = gateway.connect(0).await;
    client.send("GET /x", "").await.unwrap();
    soon(has_begun.recv()).await.unwrap();
    drop(client);
    let line = gateway.logs("status=cancelled").await;
    assert!(line.contains("host=localhost "), "{line}");
    assert!(line.contains("method=GET") && line.contains("uri=/x") && line.contains("pool=web"), "{line}");
}

#[tokio::test]
async fn lines_can_be_json() {
    let (folder, backend) = (Folder::new(), Backend::start("a"));
    let config = config(true, backend.address()).replace("[log]", "[log]\nformat = \"json\"");
    let mut gateway = Gateway::start(&folder, &config).await;
    gateway.connect(0).await.request("GET /x?y", "host: app.test:81\r\n").await.unwrap();
    let line: Value = serde_json::from_str(&gateway.logs("app.test").await).unwrap();
    let fields =
        ["level", "uri", "client", "method", "host", "status", "pool", "endpoint"].map(|key| line[key].as_str());
    let address = backend.address();
    let expected = ["INFO", "/x?y", "127.0.0.1", "GET", "app.test", "200", "web", address];
    assert_eq!(fields, expected.map(Some), "{line}");
    assert!(line["micros"].is_u64() && line["target"] == "access", "{line}");
}

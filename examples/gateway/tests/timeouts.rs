//! The timeouts of pools and listeners.

use std::future::pending;

use crate::{
    backend::Backend,
    client::soon,
    process::{Folder, Gateway},
    shutdown::Held,
};

fn config(backends: &[&Backend], attempt: &str, listener: &str) -> String {
    let endpoints: Vec<_> =
        backends.iter().map(|backend| format!("{{ address = \"{}\" }}", backend.address())).collect();
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        timeouts = {{ {listener} }}
        [pool.web]
        strategy = "round-robin"
        timeouts = {{ connect = "10s", attempt = "{attempt}" }}
        endpoints = [{}]
        "#,
        endpoints.join(", "),
    )
}

#[tokio::test]
async fn a_request_to_an_endpoint_that_hangs_is_answered_by_another_one() {
    let hangs = Backend::answering(|_| pending());
    let [b, c] = ["b", "c"].map(Backend::start);
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config(&[&hangs, &b, &c], "100ms", "")).await;
    let mut client = gateway.connect(0).await;
    for _ in 0..6 {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert!(hangs.served() > 0, "it got requests");
}

#[tokio::test]
async fn a_request_that_cannot_be_repeated_has_no_attempt_timeout() {
    let (held, folder) = (Held::start(), Folder::new());
    let gateway = Gateway::start(&folder, &config(&[&held.backend], "20ms", "")).await;
    let (mut get, mut post) = (gateway.connect(0).await, gateway.connect(0).await);
    post.send("POST /", "content-length: 0\r\n").await.unwrap();
    soon(held.begun.acquire()).await.unwrap().forget();
    // The attempt of this request begins later and ends before the other one.
    assert_eq!(get.get("/").await.status, 504);
    held.may_answer.add_permits(2);
    assert_eq!(post.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_response_that_does_not_begin_in_time_is_an_error() {
    for listener in [r#"head = "50ms""#, r#"total = "50ms""#] {
        let (hangs, folder) = (Backend::answering(|_| pending()), Folder::new());
        let gateway = Gateway::start(&folder, &config(&[&hangs], "10ms", listener)).await;
        let answer = gateway.connect(0).await.post("/").await;
        assert_eq!(answer.status, 504, "{listener}");
    }
}

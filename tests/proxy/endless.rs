//! Endpoints that never begin or never end their response.

use std::{sync::Arc, time::Duration};

use equipoise::proxy::{ReverseProxyLayer, Timeouts};
use equipoise_tests::{Peer, Scripted, soon};
use http::Request;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use crate::setup::{Body, Proxy, Version, frames};

const CLIENTS: [Version; 2] = [Version::Http1, Version::Http2];

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(frames([])).expect("a request")
}

/// An endpoint that never answers `/silent`, answers `/endless` without an end, and all else with "ok". `closed` has one
/// permit for each request of the first two whose connection was closed.
fn endpoint(closed: &Arc<Semaphore>) -> Scripted {
    let closed = Arc::clone(closed);
    Scripted::start(move |mut peer: Peer| {
        let closed = Arc::clone(&closed);
        async move {
            loop {
                let head = peer.head().await?;
                if head.starts_with("GET /silent ") {
                    peer.closed().await;
                    closed.add_permits(1);
                } else if head.starts_with("GET /endless ") {
                    peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                    while peer.send(format!("1000\r\n{}\r\n", ".".repeat(0x1000))).await.is_ok() {}
                    closed.add_permits(1);
                } else {
                    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
                }
            }
        }
    })
    .expect("a port")
}

async fn is_served(proxy: &Proxy) {
    let response = soon(proxy.send(Version::Http1, get("/"))).await;
    assert_eq!(soon(response.into_body().collect()).await.expect("a body").to_bytes(), "ok");
}

#[tokio::test]
async fn an_endpoint_without_an_answer_is_a_timeout_and_loses_its_connection() {
    let closed = Arc::new(Semaphore::new(0));
    let endpoint = endpoint(&closed);
    let settings = ReverseProxyLayer::new().timeouts(Timeouts::new().head(Duration::from_millis(300)));
    let proxy = Proxy::start_with(&settings, endpoint.address(), Version::Http1).await;
    for client in CLIENTS {
        let silent = proxy.send(client, get("/silent"));
        let (response, ()) = tokio::join!(soon(silent), is_served(&proxy));
        assert_eq!(response.status(), 504, "{client:?}");
        soon(closed.acquire()).await.expect("not closed").forget();
    }
    assert_eq!(proxy.counts().await, (2, 2));
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_connection_of_an_endless_response_with_it() {
    let closed = Arc::new(Semaphore::new(0));
    let endpoint = endpoint(&closed);
    let proxy = Proxy::start(endpoint.address(), Version::Http1).await;
    for client in CLIENTS {
        for _ in 0..10 {
            let mut body = soon(proxy.send(client, get("/endless"))).await.into_body();
            for _ in 0..10 {
                soon(body.frame()).await.expect("a frame").expect("no error");
            }
            is_served(&proxy).await;
            drop(body);
            soon(closed.acquire()).await.expect("not closed").forget();
        }
    }
    soon(proxy.pool.idle(proxy.pool.endpoints()[0].id.clone())).await;
}

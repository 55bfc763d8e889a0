use std::sync::Arc;

use equipoise_tests::{Peer, Reserved, Scripted, soon};
use http::{Request, Response};
use http_body_util::{BodyExt, channel::Channel};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use crate::setup::{Body, Proxy, VERSIONS, Version, backend, data, frames};

fn post() -> Request<Body> {
    Request::post("/").body(frames([data("hello")])).expect("a request")
}

/// Sends a request, and lets the endpoint break its response off when its begin has arrived.
async fn breaks_off(proxy: &Proxy, client: Version, may_break: &Semaphore) {
    let mut body = proxy.send(client, post()).await.into_body();
    let frame = soon(body.frame()).await.expect("a frame").expect("not yet broken");
    assert_eq!(frame.into_data().expect("data"), "hello");
    may_break.add_permits(1);
    assert!(soon(body.collect()).await.is_err(), "{client:?}");
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_at_the_client() {
    for (client, endpoint) in VERSIONS {
        let may_break = Arc::new(Semaphore::new(0));
        let waits = Arc::clone(&may_break);
        // Of unknown length, so that only the error tells that this is not all.
        let broken = move |_: Request<Incoming>| {
            let (mut sender, body) = Channel::new(1);
            let waits = Arc::clone(&waits);
            tokio::spawn(async move {
                sender.send_data("hello".into()).await.expect("the proxy reads");
                waits.acquire().await.expect("not closed").forget();
                sender.abort("broken".into());
            });
            async { Response::new(body.boxed()) }
        };
        let proxy = Proxy::start(backend(broken).await, endpoint).await;
        breaks_off(&proxy, client, &may_break).await;
        assert_eq!(proxy.counts().await, (0, 1), "{client:?} {endpoint:?}");
    }
}

#[tokio::test]
async fn a_response_that_is_shorter_than_its_length_breaks_off_at_the_client() {
    let may_break = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&may_break);
    let peer = Scripted::start(move |mut peer: Peer| {
        let waits = Arc::clone(&waits);
        async move {
            peer.head().await?;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await?;
            waits.acquire().await.expect("not closed").forget();
            Ok(())
        }
    })
    .expect("a port");
    let proxy = Proxy::start(peer.address(), Version::Http1).await;
    for client in [Version::Http1, Version::Http2] {
        breaks_off(&proxy, client, &may_break).await;
    }
    assert_eq!(proxy.counts().await, (0, 2));
}

#[tokio::test]
async fn an_endpoint_that_closes_without_a_response_is_a_bad_gateway() {
    let peer = Scripted::start(|mut peer: Peer| async move { peer.head().await.map(drop) }).expect("a port");
    let proxy = Proxy::start(peer.address(), Version::Http1).await;
    for client in [Version::Http1, Version::Http2] {
        let response = proxy.send(client, post()).await;
        assert_eq!(response.status(), 502, "{client:?}");
    }
    assert_eq!(proxy.counts().await, (0, 2));
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_a_bad_gateway() {
    let nobody = Reserved::new().expect("a port");
    for endpoint in [Version::Http1, Version::Http2] {
        let proxy = Proxy::start(nobody.address(), endpoint).await;
        assert_eq!(proxy.send(Version::Http1, post()).await.status(), 502, "{endpoint:?}");
    }
}

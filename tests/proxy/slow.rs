//! Clients that read nothing of their responses, and endpoints that read nothing of their requests.

use std::time::Duration;

use equipoise_tests::{Peer, Scripted, soon};
use http::Request;
use http_body_util::{BodyExt, channel::Channel};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    app,
    setup::{Body, Proxy, Version, data, frames},
};

#[tokio::test]
async fn clients_that_read_nothing_hold_up_no_other_client_of_the_same_endpoint() {
    for endpoint in [Version::Http1, Version::Http2] {
        let proxy = Proxy::start(app::start().await, endpoint).await;
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut client = proxy.connect().await;
            client.write_all(b"GET /endless HTTP/1.1\r\nhost: app.test\r\n\r\n").await.expect("open");
            // More than the buffers of the proxy: the response is being forwarded.
            let mut part = vec![0; 1 << 20];
            soon(client.read_exact(&mut part)).await.expect("a response");
            slow.push(client);
        }
        for _ in 0..100 {
            let request = Request::get("/hello").body(frames([])).expect("a request");
            let response = soon(proxy.send(Version::Http1, request)).await;
            assert_eq!(soon(response.into_body().collect()).await.expect("a body").to_bytes(), "hello", "{endpoint:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_that_its_endpoint_does_not_read_holds_up_no_other_of_the_same_connection() {
    let endpoint = Scripted::start(|mut peer: Peer| async move {
        if peer.head().await?.starts_with("POST /unread ") {
            return std::future::pending().await;
        }
        peer.body(5).await?;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await
    })
    .expect("a port");
    let proxy = Proxy::start(endpoint.address(), Version::Http1).await;
    let io = TokioIo::new(proxy.connect().await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    let send = |path: &str, body: Body| {
        let request = Request::post(format!("http://app.test{path}")).header("content-type", "text/plain");
        sender.clone().send_request(request.body(body).expect("a request"))
    };
    let (mut upload, body) = Channel::<bytes::Bytes, crate::setup::BoxError>::new(1);
    let unread = tokio::spawn(send("/unread", body.boxed()));
    // Until nothing takes the data any more.
    while timeout(Duration::from_millis(500), upload.send_data(vec![b'.'; 1 << 16].into())).await.is_ok() {}
    for _ in 0..10 {
        let response = soon(send("/", frames([data("hello")]))).await.expect("a response");
        assert_eq!(soon(response.into_body().collect()).await.expect("a body").to_bytes(), "ok");
    }
    unread.abort();
}

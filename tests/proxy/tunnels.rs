use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::setup::{Body, Proxy, Version, backend, frames};

/// Switches to the protocol `websocket`, and sends back what comes.
async fn echo(mut request: Request<Incoming>) -> Response<Body> {
    // A client for HTTP/1.1 need not send a key here, because this is no test of it.
    let key = request.headers().get("sec-websocket-key").cloned();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded.await.expect("switched")));
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let mut response = response.header("connection", "upgrade").header("upgrade", "websocket");
    if let Some(key) = key {
        let hash = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
        response = response.header("sec-websocket-accept", BASE64_STANDARD.encode(hash));
    }
    response.body(frames([])).expect("a response")
}

#[tokio::test]
async fn websockets_pass_from_both_versions() {
    let proxy = Proxy::start(backend(echo).await, Version::Http1).await;
    for client in [Version::Http1, Version::Http2] {
        let (request, status) = match client {
            Version::Http1 => (Request::get("/").header("connection", "upgrade").header("upgrade", "websocket"), 101),
            Version::Http2 => {
                let protocol = hyper::ext::Protocol::from_static("websocket");
                (Request::builder().method(Method::CONNECT).uri("/").extension(protocol), 200)
            }
        };
        let response = proxy.send(client, request.body(frames([])).expect("a request")).await;
        assert_eq!(response.status(), status, "{client:?}");
        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.expect("switched"));
        tunnel.write_all(b"ping").await.expect("open");
        let mut echoed = [0; 4];
        tunnel.read_exact(&mut echoed).await.expect("open");
        assert_eq!(&echoed, b"ping", "{client:?}");
        tunnel.shutdown().await.expect("open");
        assert_eq!(tunnel.read(&mut echoed).await.expect("closed in order"), 0);
    }
    assert_eq!(proxy.counts().await, (2, 0));
}

#[tokio::test]
async fn an_endpoint_that_switches_unasked_has_failed() {
    let proxy = Proxy::start(backend(echo).await, Version::Http1).await;
    let asks_for_another = Request::get("/").header("connection", "upgrade").header("upgrade", "other");
    let response = proxy.send(Version::Http1, asks_for_another.body(frames([])).expect("a request")).await;
    assert_eq!(response.status(), 502);
    assert_eq!(proxy.counts().await, (0, 1));
}

//! Bodies in both directions: trailers, `100-continue`, tunnels.

use std::time::Duration;

use bytes::Bytes;
use equipoise_http::{CloseReason, Error, Settings, Upstream};
use equipoise_tower::FailureStage;
use futures::{SinkExt, channel::mpsc};
use http::{HeaderMap, Request, header::EXPECT};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    join,
};
use tower::ServiceExt;

use crate::server::{EMPTY, HELLO, Server, get, post, send};

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        let mut request = peer.read_until("0\r\n").await;
        request += &peer.read_until("\r\n\r\n").await;
        peer.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .await;
        peer.answer(EMPTY).await;
        request
    };
    let request = async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-count", "2".parse().unwrap());
        let frames = [Ok::<_, std::io::Error>(Frame::data(Bytes::from("hi"))), Ok(Frame::trailers(trailers))];
        let body = StreamBody::new(futures::stream::iter(frames));
        let request = Request::post("/").header("trailer", "x-count").header("te", "trailers").body(body).unwrap();
        let response = upstream.clone().oneshot(request).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        let sum = collected.trailers().unwrap()["x-sum"].clone();
        // The connection is used again after trailers.
        send(&upstream, get("/")).await.unwrap();
        (sum, collected.to_bytes())
    };
    let (sent, (sum, body)) = join!(serve, request);
    assert!(sent.contains("2\r\nhi\r\n0\r\nx-count: 2\r\n\r\n"), "{sent}");
    assert_eq!((sum.to_str().unwrap(), &body[..], upstream.status().opened), ("7", &b"ab"[..], 1));
}

#[tokio::test]
async fn a_body_and_its_response_flow_at_the_same_time() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let (mut sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let serve = async {
        let mut peer = server.accept().await;
        peer.head().await;
        peer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        peer.read_until("ping\r\n").await;
        peer.write(b"4\r\npong\r\n").await;
        peer.read_until("0\r\n\r\n").await;
        peer.write(b"0\r\n\r\n").await;
        peer
    };
    let request = async {
        let request = Request::post("/").body(StreamBody::new(receiver)).unwrap();
        let mut body = upstream.clone().oneshot(request).await.unwrap().into_body();
        sender.send(Ok(Frame::data(Bytes::from("ping")))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "pong");
        drop(sender);
        assert!(body.frame().await.is_none());
    };
    let (_peer, ()) = join!(serve, request);
    assert_eq!((upstream.status().open, upstream.status().idle), (1, 1));
}

#[tokio::test]
async fn a_request_body_that_fails_is_an_error_of_the_caller() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let frames = [Ok(Frame::data(Bytes::from("hi"))), Err(std::io::Error::other("gone"))];
    let request = Request::post("/").body(StreamBody::new(futures::stream::iter(frames))).unwrap();
    let serve = async { server.accept().await.closed().await };
    let (_, response) = join!(serve, send(&upstream, request));
    assert_eq!(FailureStage::of(&response.unwrap_err()), FailureStage::Caller);
    assert_eq!(upstream.status().open, 0);
}

fn expecting(body: &'static str) -> Request<http_body_util::Full<Bytes>> {
    let mut request = post("/", body);
    request.headers_mut().insert(EXPECT, http::HeaderValue::from_static("100-continue"));
    request
}

#[tokio::test(start_paused = true)]
async fn the_body_waits_for_100_continue() {
    let settings = Settings::new().continue_timeout(Duration::from_secs(3600)).max_lifetime(None);
    let (server, upstream) = Server::with_upstream(&settings).await;
    let begun = tokio::time::Instant::now();
    let serve = async {
        let mut peer = server.accept().await;
        assert!(peer.head().await.contains("expect: 100-continue\r\n"));
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(peer.read_until("body").await, "body");
        peer.write(HELLO).await;
        peer
    };
    let (_peer, response) = join!(serve, send(&upstream, expecting("body")));
    assert_eq!((response.unwrap().status().as_u16(), upstream.status().idle), (200, 1));
    assert!(begun.elapsed() < Duration::from_secs(3600));
}

#[tokio::test]
async fn a_final_response_instead_of_100_continue_saves_the_body() {
    let settings = Settings::new().continue_timeout(Duration::from_secs(3600));
    let (server, upstream) = Server::with_upstream(&settings).await;
    let serve = async {
        let mut peer = server.accept().await;
        peer.answer(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno").await;
        peer.closed().await
    };
    let (sent, response) = join!(serve, send(&upstream, expecting("body")));
    let response = response.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_str(), sent.as_str()), (417, "no", ""));
    assert_eq!(upstream.status().open, 0);
}

#[tokio::test(start_paused = true)]
async fn the_body_is_not_sent_while_the_body_of_a_refusal_is_read() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        peer.answer(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\n").await;
        // Longer than the client would wait for the permission to send the body.
        tokio::time::sleep(Duration::from_secs(5)).await;
        peer.write(b"none").await;
        peer.closed().await
    };
    let (sent, response) = join!(serve, send(&upstream, expecting("body")));
    assert_eq!((response.unwrap().body().as_str(), sent.as_str()), ("none", ""));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_the_expectation_gets_the_body_later() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let begun = tokio::time::Instant::now();
    let serve = async {
        let mut peer = server.accept().await;
        peer.head().await;
        peer.read_until("body").await;
        peer.write(HELLO).await;
        peer
    };
    let (_peer, response) = join!(serve, send(&upstream, expecting("body")));
    assert_eq!((response.unwrap().status().as_u16(), begun.elapsed().as_secs()), (200, 1));
}

#[tokio::test]
async fn an_upgrade_gives_the_raw_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        let head =
            peer.answer(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly").await;
        assert_eq!(peer.read_until("ping").await, "ping");
        peer.write(b"pong").await;
        assert_eq!(peer.closed().await, "");
        head
    };
    let request = async {
        let request = Request::get("/").header("connection", "upgrade").header("upgrade", "echo");
        let response = upstream.clone().oneshot(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 101);
        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        tunnel.write_all(b"ping").await.unwrap();
        let mut read = [0; 9];
        tunnel.read_exact(&mut read).await.unwrap();
        assert_eq!((&read, upstream.status().open, upstream.status().idle), (b"earlypong", 1, 0));
    };
    let (head, ()) = join!(serve, request);
    assert!(head.contains("upgrade: echo\r\n"), "{head}");
    assert_eq!((upstream.status().open, upstream.status().closed(CloseReason::Tunnel)), (0, 1));
}

#[tokio::test]
async fn connect_gives_the_raw_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        let head = peer.answer(b"HTTP/1.1 200 OK\r\n\r\n").await;
        peer.read_until("ping").await;
        peer.write(b"pong").await;
        peer.closed().await;
        head
    };
    let request = async {
        let request = Request::connect("db.test:5432").body(Empty::<Bytes>::new()).unwrap();
        let response = upstream.clone().oneshot(request).await.unwrap();
        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        tunnel.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        tunnel.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"pong");
    };
    let (head, ()) = join!(serve, request);
    assert!(head.starts_with("CONNECT db.test:5432 HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_connect_request_without_a_target_is_refused() {
    let upstream = Upstream::new("127.0.0.1:1").unwrap();
    let request = Request::builder().method("CONNECT").uri("/a").body(Empty::<Bytes>::new()).unwrap();
    let error = send(&upstream, request).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)));
    assert_eq!(FailureStage::of(&error), FailureStage::Caller);
}

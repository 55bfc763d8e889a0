//! Responses that begin before their request was sent.

use std::time::Duration;

use bytes::Bytes;
use equipoise_http::{CloseReason, Settings};
use futures::{SinkExt, channel::mpsc};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{join, time::timeout};
use tower::ServiceExt;

use crate::server::{EMPTY, HALF, HELLO, Server, get, send, text};

/// Far longer than any of these tests needs.
const LONG: Duration = Duration::from_secs(10);

type Part = Result<Frame<Bytes>, std::io::Error>;

/// Returns a request, and the sender of its body.
fn upload() -> (mpsc::Sender<Part>, Request<StreamBody<mpsc::Receiver<Part>>>) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Request::post("/").body(StreamBody::new(receiver)).expect("a valid request"))
}

fn data(text: &'static str) -> Part {
    Ok(Frame::data(Bytes::from(text)))
}

#[tokio::test]
async fn an_upload_goes_on_while_the_response_is_not_read() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let (mut sender, request) = upload();
    let (mut peer, response) = join!(server.serve(HALF), upstream.clone().oneshot(request));
    let response = response.unwrap();
    sender.send(data("ping")).await.unwrap();
    drop(sender);
    timeout(LONG, peer.read_until("ping\r\n0\r\n\r\n")).await.expect("the rest of the request");
    peer.write(b"other").await;
    assert_eq!(text(response.into_body()).await.unwrap(), "firstother");
    while upstream.status().idle < 1 {
        tokio::task::yield_now().await;
    }
    let (_, response) = join!(peer.answer(HELLO), send(&upstream, get("/")));
    assert_eq!((response.unwrap().body().as_str(), upstream.status().opened), ("hello", 1));
}

#[tokio::test]
async fn a_body_that_the_system_has_not_accepted_is_sent_while_the_response_is_not_read() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    const BYTES: usize = 32 << 20;
    let request = Request::post("/").body(Full::<Bytes>::from(vec![b'x'; BYTES])).unwrap();
    let (mut peer, response) = join!(server.serve(HALF), upstream.clone().oneshot(request));
    timeout(LONG, peer.skip(BYTES)).await.expect("the rest of the request");
    peer.write(b"other").await;
    assert_eq!(text(response.unwrap().into_body()).await.unwrap(), "firstother");
}

#[tokio::test]
async fn a_success_without_a_body_does_not_end_the_upload() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let (mut sender, request) = upload();
    let (mut peer, response) = join!(server.serve(EMPTY), upstream.clone().oneshot(request));
    assert_eq!(response.unwrap().status(), 204);
    sender.send(data("ping")).await.unwrap();
    drop(sender);
    timeout(LONG, peer.read_until("ping\r\n0\r\n\r\n")).await.expect("the rest of the request");
    while upstream.status().idle < 1 {
        tokio::task::yield_now().await;
    }
    let (_, response) = join!(peer.answer(HELLO), send(&upstream, get("/")));
    assert_eq!((response.unwrap().body().as_str(), upstream.status().opened), ("hello", 1));
}

/// Asserts that the connection is closed although the body of the request has not ended.
async fn assert_cut_off(answer: &'static [u8], reads_response: bool) {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let (_sender, request) = upload();
    let (mut peer, response) = join!(server.serve(answer), upstream.clone().oneshot(request));
    let body = response.expect("a response").into_body();
    if reads_response {
        body.collect().await.expect("the whole body");
    } else {
        drop(body);
    }
    timeout(LONG, peer.closed()).await.expect("the end of the connection");
    while upstream.status().open > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.status().closed(CloseReason::Abandoned), 1);
}

#[tokio::test]
async fn the_upload_ends_with_a_response_that_is_no_success() {
    assert_cut_off(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n", true).await;
    assert_cut_off(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno", true).await;
}

#[tokio::test]
async fn the_upload_ends_with_a_response_that_is_dropped() {
    assert_cut_off(HALF, false).await;
}

#[tokio::test]
async fn a_body_that_fails_after_the_head_of_the_response_ends_the_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let (mut sender, request) = upload();
    let (mut peer, response) = join!(server.serve(EMPTY), upstream.clone().oneshot(request));
    assert_eq!(response.unwrap().status(), 204);
    sender.send(Err(std::io::Error::other("gone"))).await.unwrap();
    timeout(LONG, peer.closed()).await.expect("the end of the connection");
    while upstream.status().open > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.status().idle, 0);
}

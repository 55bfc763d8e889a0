//! The limits of a listener.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::{
    backend::Backend,
    client::{Client, soon},
    process::{Folder, Gateway},
    shutdown::{Held, echo, tunnel},
};

fn config(limits: &str, backend: &str) -> String {
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        limits = {{ {limits} }}
        [pool.web]
        endpoints = [{{ address = "{backend}" }}]
        "#
    )
}

#[tokio::test]
async fn requests_above_the_limit_are_refused_until_others_have_ended() {
    let (folder, held) = (Folder::new(), Held::start());
    let mut gateway = Gateway::start(&folder, &config("max_in_flight = 1", held.backend.address())).await;
    let (mut first, mut second) = (gateway.connect(0).await, gateway.connect(0).await);
    first.send("GET /", "").await.unwrap();
    soon(held.begun.acquire()).await.unwrap().forget();
    let refused = second.get("/").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    gateway.logs("too many requests are in flight").await;
    held.may_answer.add_permits(2);
    assert_eq!(first.answer().await.unwrap().body, "done");
    // The first request ends a moment after its response was written.
    let mut answer = second.get("/").await;
    while answer.status == 503 {
        answer = second.get("/").await;
    }
    assert_eq!(answer.body, "done");
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_client_has_taken_the_response() {
    let (folder, backend) = (Folder::new(), Backend::answering(|_| async { "x".repeat(4096) }));
    let gateway = Gateway::start(&folder, &config("max_in_flight = 1", backend.address())).await;
    let stream = tokio::net::TcpStream::connect(&gateway.addresses[0]).await.unwrap();
    let mut slow = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut client, connection) = slow.initial_stream_window_size(1024).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://app.test/").body(Empty::<Bytes>::new()).unwrap();
    let response = soon(client.send_request(request)).await.unwrap();
    let mut other = gateway.connect(0).await;
    assert_eq!(other.get("/").await.status, 503);
    assert_eq!(soon(response.collect()).await.unwrap().to_bytes().len(), 4096);
    // The gateway drops the last frame after it has written it.
    while other.get("/").await.status == 503 {}
}

#[tokio::test]
async fn a_reload_replaces_the_limits() {
    let (folder, backend) = (Folder::new(), Backend::start("a"));
    let mut gateway = Gateway::start(&folder, &config("max_requests_per_connection = 1", backend.address())).await;
    let answer = gateway.connect(0).await.get("/").await;
    assert_eq!(answer.header("connection"), Some("close"));
    gateway.reload(&folder, &config("", backend.address())).await;
    assert_eq!(gateway.connect(0).await.get("/").await.header("connection"), None);
    assert_eq!(gateway.addresses.len(), 1, "no socket was opened");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (folder, backend) = (Folder::new(), Backend::start("a"));
    let gateway = Gateway::start(&folder, &config("", backend.address())).await;
    let header = format!("x: {}\r\n", "x".repeat(17 * 1024));
    assert_eq!(gateway.connect(0).await.request("GET /", &header).await.unwrap().status, 431);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let (folder, backend) = (Folder::new(), Backend::start("a"));
    let gateway = Gateway::start(&folder, &config("max_body_bytes = 4", backend.address())).await;
    let post = async |body: &str| {
        let mut client = gateway.connect(0).await;
        let length = format!("content-length: {}\r\n", body.len());
        client.send_with_body("POST /", &length, body).await.unwrap();
        client.answer().await.unwrap().status
    };
    assert_eq!((post("1234").await, post("12345").await), (200, 413));
}

#[tokio::test]
async fn tunnels_at_the_limit_do_not_delay_a_connection_that_waits_in_a_shutdown() {
    let folder = Folder::new();
    let mut gateway = Gateway::start(&folder, &config("max_connections = 1", &echo().await)).await;
    let tunnel = tunnel(&gateway).await;
    let mut waiting = Client::connect(&gateway.addresses[0]).await;
    // The gateway answers it without the backend, which serves one connection only.
    waiting.send("GET /", "host: a b\r\n").await.unwrap();
    gateway.signal("-TERM").await;
    assert_eq!(waiting.answer().await.unwrap().status, 400);
    gateway.logs("closed 127.0.0.1:0; 0 connections were aborted").await;
    drop(tunnel);
    assert!(soon(gateway.child.wait()).await.unwrap().success());
}

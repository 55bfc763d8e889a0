//! Responses that begin before the body of their request has come.

use std::convert::Infallible;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tower::service_fn;

use crate::{answers, exchange, long, ok, response, rest, start};

const WITH_LENGTH: &[u8] = b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 4\r\n\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n";
const EXPECTING: &[u8] = b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn the_end_of_a_connection_is_announced_if_a_body_comes_after_its_response() {
    for head in [WITH_LENGTH, CHUNKED, EXPECTING] {
        let server = start!(answers(), long());
        let mut client = server.connect().await;
        client.write_all(head).await.expect("open");
        let answer = response(&mut client).await;
        assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
        // The rest is read, so that the response is not lost.
        client.write_all(b"4\r\nkept\r\n0\r\n\r\n").await.expect("open");
        assert_eq!(rest(&mut client).await, "");
    }
}

#[tokio::test]
async fn the_end_is_announced_if_the_server_itself_refuses_a_request_with_a_body() {
    let server = start!(answers(), long().max_in_flight(0));
    let mut client = server.connect().await;
    client.write_all(WITH_LENGTH).await.expect("open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.expect("a response"));
    }
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_connection_stays_open_if_the_whole_body_came_before_the_response() {
    let server = start!(answers(), long());
    let mut client = server.connect().await;
    for body in [&[WITH_LENGTH, b"kept"].concat()[..], &[CHUNKED, b"0\r\n\r\n"].concat()] {
        client.write_all(body).await.expect("open");
        let answer = response(&mut client).await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    assert!(!exchange(&mut client).await.contains("connection: close"));
    assert_eq!(server.server.stats().accepted, 1);
}

#[tokio::test]
async fn the_end_is_announced_if_several_chunks_have_come_and_the_body_is_dropped() {
    let server = start!(answers(), long());
    let mut client = server.connect().await;
    client.write_all(&[CHUNKED, b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"].concat()).await.expect("open");
    let answer = response(&mut client).await;
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_connection_stays_open_if_the_body_of_a_pipelined_request_comes_later() {
    let reads = service_fn(async |request: Request<Incoming>| {
        request.into_body().collect().await.expect("the whole body");
        Ok::<_, Infallible>(ok())
    });
    for first in [&[WITH_LENGTH, b"kept"].concat()[..], &[CHUNKED, b"0\r\n\r\n"].concat()] {
        let (reading, dropping) = (start!(reads, long()), start!(answers(), long()));
        let mut client = reading.connect().await;
        client.write_all(&[first, WITH_LENGTH, b"ke"].concat()).await.expect("open");
        let answer = response(&mut client).await;
        assert!(!answer.contains("connection: close"), "{answer}");
        client.write_all(b"pt").await.expect("open");
        let answer = response(&mut client).await;
        assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"), "{answer}");

        let mut client = dropping.connect().await;
        client.write_all(&[first, WITH_LENGTH, b"ke"].concat()).await.expect("open");
        for is_last in [false, true] {
            let answer = response(&mut client).await;
            assert_eq!(answer.contains("connection: close"), is_last, "{answer}");
        }
        client.write_all(b"pt").await.expect("open");
        assert_eq!(rest(&mut client).await, "");
    }
}

#[tokio::test]
async fn a_service_that_responds_first_can_read_the_body_afterwards() {
    let (bodies, mut read) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let bodies = bodies.clone();
        tokio::spawn(async move {
            let body = request.into_body().collect().await.expect("the whole body").to_bytes();
            bodies.send(body).expect("the test waits");
        });
        async { Ok::<_, Infallible>(ok()) }
    });
    let server = start!(service, long());
    let mut client = server.connect().await;
    client.write_all(WITH_LENGTH).await.expect("open");
    let answer = response(&mut client).await;
    assert!(answer.contains("connection: close"), "{answer}");
    client.write_all(b"kept").await.expect("open");
    assert_eq!(read.recv().await.expect("a body"), "kept");
    assert_eq!(rest(&mut client).await, "");
}

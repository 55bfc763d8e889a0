//! Clients that attack with raw frames of HTTP/2, while others must be served.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_proxy::{listen::Established, server::Server};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::service_fn;

use crate::{
    LONG, SHORT, answers, exchange, long,
    shutdown::{held, semaphores},
    start,
};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://app.test/`, compressed.
const HEAD: &[u8] = b"\x82\x84\x86\x01\x08app.test";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The start of a connection.
fn start() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..]].concat()
}

/// Returns the kinds of received frames.
fn kinds(received: &[u8]) -> impl Iterator<Item = u8> {
    let frames = std::iter::successors(Some(received), |rest| {
        let length = u32::from_be_bytes([0, *rest.first()?, *rest.get(1)?, *rest.get(2)?]);
        rest.get(9 + length as usize..)
    });
    frames.filter_map(|frame| frame.get(3).copied())
}

/// The numbers of streams that a client opens.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|stream| 2 * stream + 1)
}

/// Sends bytes until the server closes the connection.
async fn flood(mut client: TcpStream, bytes: Vec<u8>) {
    client.write_all(&start()).await.expect("open");
    let (mut reader, mut writer) = client.into_split();
    // The server stops reading at some time, so an error is expected.
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        // Not closed by this side.
        writer
    });
    let mut received = Vec::new();
    // If the server had not read all, the connection is reset.
    let _ = reader.read_to_end(&mut received).await;
    writing.await.expect("no panic");
}

/// Runs a flood, with requests of another client before, meanwhile and after. Returns the number of connections that
/// were closed because of floods.
async fn others_are_served(bytes: Vec<u8>) -> u64 {
    // Requests over HTTP/2 are never answered.
    let service = service_fn(async |request: Request<Incoming>| {
        if request.version() == http::Version::HTTP_2 {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
    });
    let running = start!(service, long());
    let mut other = running.connect().await;
    exchange(&mut other).await;
    let attack = tokio::spawn(flood(running.connect().await, bytes));
    for _ in 0..10 {
        assert!(exchange(&mut other).await.starts_with("http/1.1 200"));
    }
    attack.await.expect("no panic");
    assert!(exchange(&mut other).await.starts_with("http/1.1 200"));
    drop(other);
    assert_eq!(running.server.shutdown(LONG).await, 0);
    running.server.stats().floods
}

#[tokio::test]
async fn rapid_resets_close_the_connection() {
    let bytes = streams(10_000)
        .flat_map(|stream| {
            let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            [frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD), reset].concat()
        })
        .collect();
    assert_eq!(others_are_served(bytes).await, 1);
}

#[tokio::test]
async fn resets_that_malformed_frames_cause_close_the_connection() {
    let bytes = streams(10_000)
        .flat_map(|stream| {
            // The window becomes larger than 2^31 - 1, so the server resets the stream.
            let malformed = frame(WINDOW_UPDATE, 0, stream, &(u32::MAX >> 1).to_be_bytes());
            [frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD), malformed].concat()
        })
        .collect();
    assert_eq!(others_are_served(bytes).await, 1);
}

#[tokio::test]
async fn endless_continuations_close_the_connection() {
    let mut bytes = frame(HEADERS, END_STREAM, 1, HEAD);
    // Each is a field `x: y`.
    for _ in 0..100_000 {
        bytes.extend(frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"));
    }
    assert_eq!(others_are_served(bytes).await, 1);
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_ping_is_closed() {
    let running = start!(answers(), long().http2_ping(SHORT, SHORT));
    let mut client = running.connect().await;
    client.write_all(&start()).await.expect("open");
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.expect("closed");
    const PING: u8 = 6;
    assert!(kinds(&received).any(|kind| kind == PING));
    assert_eq!(running.server.shutdown(LONG).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_does_not_hold_a_shutdown() {
    const GOAWAY: u8 = 7;
    for is_busy in [false, true] {
        let (begun, may_answer) = semaphores();
        let server = Server::with_limits(held!(begun, may_answer), long().http2_ping(Duration::ZERO, LONG));
        let (mut client, stream) = tokio::io::duplex(64 * 1024);
        tokio::spawn(server.serve_connection(Established::new(stream).into()));
        client.write_all(&start()).await.expect("open");
        if is_busy {
            client.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, HEAD)).await.expect("open");
            begun.acquire().await.expect("not closed").forget();
        }
        let began = tokio::time::Instant::now();
        let shutdown = tokio::spawn(server.shutdown(LONG));
        let mut received = Vec::new();
        while !kinds(&received).any(|kind| kind == GOAWAY) {
            client.read_buf(&mut received).await.expect("open");
        }
        may_answer.add_permits(1);
        assert_eq!(shutdown.await.expect("no panic"), 0);
        assert!(began.elapsed() < LONG / 4, "{:?}", began.elapsed());
        client.read_to_end(&mut received).await.expect("closed");
        assert_eq!(kinds(&received).any(|kind| kind == HEADERS), is_busy, "the response");
        assert_eq!(server.stats().idle_timeouts, 0);
    }
}

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_proxy::{
    listen::Established,
    server::{Server, ServerLimits, ServerStats},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};
use tower::service_fn;

use crate::{
    GET, LONG, SHORT, answers, exchange, get, long, response, rest,
    shutdown::{held, semaphores},
    start,
};

#[tokio::test]
async fn a_head_that_does_not_end_gets_408() {
    let running = start!(answers(), long().head_timeout(SHORT));
    // The second one could also become an HTTP/2 connection.
    for head in ["GET / HTTP/1.1\r\nhost: a", "PRI * HTTP"] {
        let mut client = running.connect().await;
        client.write_all(head.as_bytes()).await.expect("open");
        let response = rest(&mut client).await;
        assert!(response.starts_with("http/1.1 408 ") && response.contains("connection: close\r\n"), "{response}");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{response}");
    }
    assert_eq!(running.server.stats().head_timeouts, 2);
}

#[tokio::test]
async fn the_time_for_a_head_does_not_begin_again_with_each_byte() {
    let running = start!(answers(), long().head_timeout(SHORT));
    let mut client = running.connect().await;
    assert!(exchange(&mut client).await.starts_with("http/1.1 200"));
    let (mut reader, mut writer) = client.into_split();
    let slow = tokio::spawn(async move {
        let mut tick = tokio::time::interval(SHORT / 10);
        loop {
            tick.tick().await;
            if writer.write_all(b"x").await.is_err() {
                return;
            }
        }
    });
    let mut answer = [0; 12];
    reader.read_exact(&mut answer).await.expect("a response");
    assert_eq!(&answer, b"HTTP/1.1 408");
    slow.abort();
}

const UPLOAD: &[u8] = b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 5\r\n\r\n";

/// A service that answers when the body of the request has ended.
macro_rules! reads {
    () => {
        service_fn(async |request: Request<Incoming>| {
            request.into_body().collect().await.map(|_| Response::new(Full::<Bytes>::from("ok")))
        })
    };
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_go_on_gets_408() {
    let server = Server::with_limits(reads!(), long().body_timeout(SHORT));
    let (mut client, stream) = tokio::io::duplex(1024);
    tokio::spawn(server.serve_connection(Established::new(stream).into()));
    // The time begins again with each part.
    for part in [UPLOAD, b"he"] {
        client.write_all(part).await.expect("open");
        tokio::time::sleep(SHORT * 3 / 4).await;
    }
    let mut response = String::new();
    client.read_to_string(&mut response).await.expect("closed");
    assert!(response.starts_with("HTTP/1.1 408 ") && response.contains("connection: close\r\n"), "{response}");
    let stats = server.stats();
    assert_eq!((stats.body_timeouts, stats.head_timeouts), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_is_not_limited() {
    let server = Server::with_limits(reads!(), long().body_timeout(SHORT));
    let (mut client, stream) = tokio::io::duplex(1024);
    tokio::spawn(server.serve_connection(Established::new(stream).into()));
    for part in [UPLOAD, b"h", b"e", b"l", b"l", b"o"] {
        client.write_all(part).await.expect("open");
        tokio::time::sleep(SHORT * 3 / 4).await;
    }
    assert!(response(&mut client).await.starts_with("http/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_read_the_body_may_take_its_time() {
    for waits_before in [Duration::ZERO, SHORT / 2] {
        let slow = service_fn(move |request: Request<Incoming>| async move {
            let mut body = request.into_body();
            let _ = tokio::time::timeout(waits_before, body.frame()).await;
            drop(body);
            tokio::time::sleep(LONG).await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        });
        let server = Server::with_limits(slow, long().body_timeout(SHORT));
        let (mut client, stream) = tokio::io::duplex(1024);
        tokio::spawn(server.serve_connection(Established::new(stream).into()));
        client.write_all(UPLOAD).await.expect("open");
        assert!(response(&mut client).await.starts_with("http/1.1 200 "));
        assert_eq!(server.stats().body_timeouts, 0);
    }
}

#[tokio::test]
async fn a_connection_without_a_byte_is_closed() {
    let running = start!(answers(), long().head_timeout(SHORT));
    let mut client = running.connect().await;
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(running.server.stats().idle_timeouts, 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let running = start!(answers(), long().keep_alive_timeout(SHORT));
    let mut client = running.connect().await;
    for _ in 0..2 {
        let response = exchange(&mut client).await;
        assert!(response.starts_with("http/1.1 200 ok\r\n") && response.contains("\r\ndate: "), "{response}");
    }
    assert_eq!(rest(&mut client).await, "");
    let stats = running.server.stats();
    assert_eq!((stats.accepted, stats.idle_timeouts), (1, 1));
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431_although_more_follows() {
    let running = start!(answers(), long().max_header_bytes(16 * 1024));
    let mut client = running.connect().await;
    let mut flood = b"GET / HTTP/1.1\r\n".to_vec();
    while flood.len() < 256 * 1024 {
        flood.extend_from_slice(b"x-flood: ................................\r\n");
    }
    client.write_all(&flood).await.expect("the server reads the rest");
    let response = rest(&mut client).await;
    assert!(response.starts_with("http/1.1 431 "), "{response}");
    assert!(response.ends_with("\"code\":\"fields_too_large\"}\n"), "{response}");
    assert_eq!(running.server.stats().malformed, 1);
}

#[tokio::test]
async fn a_target_that_is_too_large_gets_414() {
    let running = start!(answers(), long().max_header_bytes(16 * 1024));
    for after in [&b""[..], GET] {
        let mut client = running.connect().await;
        client.write_all(&[after, b"GET /"].concat()).await.expect("open");
        client.write_all(&[b'a'; 256 * 1024]).await.expect("the server reads the rest");
        let response = rest(&mut client).await;
        let (_, last) = response.rsplit_once("http/1.1 ").expect("a response");
        assert!(last.starts_with("414 ") && last.ends_with("\"code\":\"uri_too_long\"}\n"), "{response}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_get_400() {
    let running = start!(answers(), long());
    let mut client = running.connect().await;
    client.write_all(b"PRI not a preface\r\n\r\n").await.expect("open");
    let response = rest(&mut client).await;
    assert!(response.starts_with("http/1.1 400 ") && response.contains("connection: close\r\n"), "{response}");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("\"detail\":\"the request is malformed, or its length is not certain\""), "{body}");
    assert_eq!(running.server.stats().malformed, 1);
}

#[tokio::test]
async fn a_request_with_two_lengths_gets_a_body_in_the_form_that_its_client_prefers() {
    let running = start!(answers(), long());
    for (method, accept, kind, end) in [
        ("POST", "text/html", "text/plain", "is not certain\n"),
        ("POST", "*/*", "application/problem+json", "\"code\":\"malformed_request\"}\n"),
        ("HEAD", "text/html", "text/plain", "\r\n\r\n"),
    ] {
        let mut client = running.connect().await;
        let lengths = "content-length: 5\r\n".repeat(2);
        let bad = format!("{method} / HTTP/1.1\r\nhost: a\r\naccept: {accept}\r\n{lengths}\r\nhello");
        client.write_all(&[GET, bad.as_bytes()].concat()).await.expect("open");
        let responses = rest(&mut client).await;
        let (first, last) = responses.split_once("\r\n\r\nok").expect("two responses");
        assert!(first.starts_with("http/1.1 200 "), "{first}");
        assert!(last.starts_with("http/1.1 400 ") && last.contains("connection: close\r\n"), "{last}");
        assert!(last.contains(&format!("content-type: {kind}")) && last.ends_with(end), "{last}");
    }
    assert_eq!(running.server.stats().malformed, 3);
}

#[tokio::test]
async fn requests_above_the_limit_get_503_until_others_have_ended() {
    let may_answer = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&may_answer);
    let held = service_fn(move |request: Request<Incoming>| {
        let permits = Arc::clone(&permits);
        async move {
            if request.uri() == "/held" {
                permits.acquire().await.expect("open").forget();
            }
            Ok::<_, Infallible>(crate::ok())
        }
    });
    let running = start!(held, long().max_in_flight(1));
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    // So that the first request is in flight when its connection is polled with these bytes.
    exchange(&mut first).await;
    first.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    while running.server.stats().overloaded == 0 {
        second.write_all(GET).await.expect("open");
        let mut status = [0; 12];
        second.read_exact(&mut status).await.expect("a response");
        let end = if status.ends_with(b"503") { &b"\"overloaded\"}\n"[..] } else { b"ok" };
        let mut rest = Vec::new();
        while !rest.ends_with(end) {
            rest.push(second.read_u8().await.expect("a response"));
        }
        assert_eq!(status.ends_with(b"503"), rest.windows(16).any(|part| part == b"retry-after: 1\r\n"));
    }
    // The limit is that of all connections, also of those that are open.
    running.server.set_limits(long().max_in_flight(2));
    assert!(exchange(&mut second).await.starts_with("http/1.1 200"));
    running.server.set_limits(long().max_in_flight(1));
    may_answer.add_permits(1);
    assert!(response(&mut first).await.starts_with("http/1.1 200"));
    assert!(exchange(&mut first).await.starts_with("http/1.1 200"));
    assert_eq!(running.server.stats().overloaded, 1);
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_client_has_taken_the_response() {
    let large = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(LARGE))));
    let running = start!(large, long().max_in_flight(1));
    let mut sender = running.http2(1024).await;
    let response = sender.send_request(get()).await.expect("a response");
    let mut other = running.http2(1 << 20).await;
    assert_eq!(other.send_request(get()).await.expect("a response").status(), 503);
    // The h2 crate refuses a response to HEAD that has a body.
    let head = Request::head("http://app.test/").body(Full::default()).expect("a request");
    let head = other.send_request(head).await.expect("a response");
    assert!(head.status() == 503 && head.headers().contains_key("content-length"));
    assert!(head.collect().await.expect("no error").to_bytes().is_empty());
    assert_eq!(response.collect().await.expect("a body").to_bytes().len(), LARGE.len());
    // The server drops the last frame after it has written it.
    while other.send_request(get()).await.expect("a response").status() == 503 {}
}

#[tokio::test]
async fn at_the_limit_the_connection_that_is_idle_longest_makes_room() {
    let running = start!(answers(), long().max_connections(2));
    let (mut unused, mut first) = (running.connect().await, running.connect().await);
    exchange(&mut first).await;
    // Both are idle for ever, and the first one has waited longest.
    let mut second = running.connect().await;
    assert!(exchange(&mut second).await.starts_with("http/1.1 200"));
    assert_eq!(rest(&mut unused).await, "");
    let mut third = running.connect().await;
    assert!(exchange(&mut third).await.starts_with("http/1.1 200"));
    assert_eq!(rest(&mut first).await, "");
    let stats = running.server.stats();
    assert_eq!((stats.accepted, stats.displaced, stats.idle_timeouts), (4, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_further_connections_wait_for_those_with_a_request() {
    let server = Server::with_limits(answers(), long().max_connections(1));
    let serve = || {
        let (client, stream) = tokio::io::duplex(1024);
        tokio::spawn(server.serve_connection(Established::new(stream).into()));
        client
    };
    let (mut first, mut second) = (serve(), serve());
    let (begin, end) = GET.split_at(10);
    first.write_all(begin).await.expect("open");
    second.write_all(GET).await.expect("open");
    tokio::time::sleep(LONG / 2).await;
    assert_eq!(server.stats().accepted, 1);
    first.write_all(end).await.expect("open");
    assert!(response(&mut first).await.starts_with("http/1.1 200"));
    // The first one is idle now, and makes room.
    assert!(response(&mut second).await.starts_with("http/1.1 200"));
    assert_eq!((server.stats().accepted, server.stats().displaced), (2, 1));
}

#[tokio::test]
async fn limits_can_be_replaced_while_connections_are_open() {
    let running = start!(answers(), long().max_connections(3).max_requests_per_connection(3));
    let mut clients = Vec::new();
    let (begin, end) = GET.split_at(10);
    for _ in 0..3 {
        let mut client = running.connect().await;
        exchange(&mut client).await;
        // So that it is not idle.
        client.write_all(begin).await.expect("open");
        clients.push(client);
    }
    running.server.set_limits(long().max_connections(1).max_requests_per_connection(1));
    let mut waiting = running.connect().await;
    waiting.write_all(GET).await.expect("the operating system accepts");
    // Open connections keep their limits, and are not replaced until only one is left.
    while let Some(mut client) = clients.pop() {
        assert_eq!(running.server.stats().accepted, 3);
        client.write_all(end).await.expect("open");
        assert!(!response(&mut client).await.contains("connection: close"));
    }
    assert!(response(&mut waiting).await.contains("connection: close\r\n"), "the new limit");
    drop(waiting);
    running.server.set_limits(long().max_connections(2));
    for _ in 0..2 {
        let mut client = running.connect().await;
        assert!(!exchange(&mut client).await.contains("connection: close"));
        clients.push(client);
    }
}

#[tokio::test]
async fn the_last_request_of_a_connection_closes_it() {
    let running = start!(answers(), long().max_requests_per_connection(2));
    let mut client = running.connect().await;
    assert!(!exchange(&mut client).await.contains("connection"));
    assert!(exchange(&mut client).await.contains("connection: close\r\n"));
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_closed() {
    let large = service_fn(async |_: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(vec![0; 64 << 20])))
    });
    let running = start!(large, long().write_timeout(SHORT));
    let mut client = running.connect().await;
    client.write_all(GET).await.expect("open");
    // Its first bytes, so that the request has begun.
    client.read_u8().await.expect("a response");
    assert_eq!(running.server.shutdown(LONG).await, 0);
    assert_eq!(running.server.stats().write_timeouts, 1);
}

const LARGE: &[u8] = &[b'.'; 64 * 1024];

/// Sends a request for a large response, and `next` when the response has begun. Takes the response so slowly that all
/// timeouts but that for writing pass between its parts. Returns what has come until the connection was closed.
async fn taken_slowly(next: &[u8]) -> (Vec<u8>, ServerStats) {
    let large = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(LARGE))));
    let server = Server::with_limits(large, long().head_timeout(SHORT).keep_alive_timeout(SHORT));
    let (mut client, stream) = tokio::io::duplex(1024);
    let serving = tokio::spawn(server.serve_connection(Established::new(stream).into()));
    client.write_all(GET).await.expect("open");
    let mut taken = vec![client.read_u8().await.expect("a response")];
    client.write_all(next).await.expect("open");
    while client.read_buf(&mut taken).await.expect("open") > 0 {
        if taken.len() < LARGE.len() {
            tokio::time::sleep(LONG / 4).await;
        }
    }
    drop(client);
    serving.await.expect("no panic");
    (taken, server.stats())
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_idle_while_its_client_takes_a_response() {
    let (taken, stats) = taken_slowly(b"").await;
    assert!(taken.ends_with(LARGE), "{} bytes", taken.len());
    assert_eq!((stats.idle_timeouts, stats.head_timeouts, stats.write_timeouts), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_408_does_not_interrupt_a_response() {
    let (taken, stats) = taken_slowly(b"GET / HT").await;
    let text = String::from_utf8(taken).expect("text");
    let (response, timeout) = text.split_once("HTTP/1.1 408 ").expect("a second response");
    assert!(response.as_bytes().ends_with(LARGE) && timeout.ends_with("\"code\":\"request_timeout\"}\n"), "{timeout}");
    assert_eq!((stats.idle_timeouts, stats.head_timeouts, stats.write_timeouts), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_goes_on_after_the_response_is_no_head() {
    let (received, mut all) = tokio::sync::mpsc::unbounded_channel();
    let keeps_reading = service_fn(move |request: Request<Incoming>| {
        let received = received.clone();
        tokio::spawn(async move {
            let (mut body, mut length) = (request.into_body(), 0);
            while length < 500 {
                let frame = body.frame().await.expect("more").expect("not broken");
                length += frame.into_data().expect("data").len();
            }
            received.send(length).expect("the test waits");
        });
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))) }
    });
    let server = Server::with_limits(keeps_reading, ServerLimits::new());
    for (head, part, end) in [
        ("content-length: 500\r\n", "0123456789".repeat(10), ""),
        ("transfer-encoding: chunked\r\n", format!("64\r\n{}\r\n", "0123456789".repeat(10)), "0\r\n\r\n"),
    ] {
        let (mut client, stream) = tokio::io::duplex(1024);
        let serving = tokio::spawn(server.serve_connection(Established::new(stream).into()));
        client.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n").as_bytes()).await.expect("open");
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\nok") {
            response.push(client.read_u8().await.expect("a response"));
        }
        for _ in 0..5 {
            // Longer than the timeout of a head, and together longer than that of an idle connection.
            tokio::time::sleep(Duration::from_secs(40)).await;
            client.write_all(part.as_bytes()).await.expect("open");
        }
        client.write_all(end.as_bytes()).await.expect("open");
        assert_eq!(all.recv().await, Some(500), "{head}");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("closed");
        assert_eq!(String::from_utf8(rest).expect("text"), "", "{head}");
        drop(client);
        serving.await.expect("no panic");
    }
    let stats = server.stats();
    // The response has announced that the connection is closed after the upload.
    assert_eq!((stats.idle_timeouts, stats.head_timeouts), (0, 0), "{stats:?}");
}

#[tokio::test]
async fn a_client_that_closes_its_direction_cancels_its_request() {
    let (begun, may_answer) = semaphores();
    let running = start!(held!(begun, may_answer), long());
    let mut client = running.connect().await;
    client.write_all(GET).await.expect("open");
    begun.acquire().await.expect("not closed").forget();
    client.shutdown().await.expect("open");
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(running.server.shutdown(LONG).await, 0);
    assert_eq!(Arc::strong_count(&may_answer), 2, "the service and the test");
}

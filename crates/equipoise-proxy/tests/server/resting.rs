//! Connections at rest: those that had no request for a while keep no buffers, and their clients do not notice it. The
//! pauses in these tests are longer than the time until a connection rests.

use std::{
    convert::Infallible,
    future::ready,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use equipoise_proxy::{listen::Established, server::Server};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tower::{Service, service_fn};

use crate::{GET, LONG, Text, answers, long, ok, response};

const PAUSE: Duration = Duration::from_secs(10);

/// Serves one connection. The task ends with the connection.
fn serve<S>(server: &Server<S>) -> (DuplexStream, JoinHandle<()>)
where
    S: Service<Request<Incoming>, Response = Text, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static,
{
    let (client, stream) = tokio::io::duplex(1024);
    (client, tokio::spawn(server.serve_connection(Established::new(stream).into())))
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_serves_further_requests() {
    let server = Server::with_limits(answers(), long());
    let (mut client, serving) = serve(&server);
    for _ in 0..3 {
        let (first, rest) = GET.split_at(5);
        client.write_all(first).await.expect("open");
        tokio::time::sleep(PAUSE).await;
        client.write_all(rest).await.expect("open");
        assert!(response(&mut client).await.starts_with("http/1.1 200"));
        tokio::time::sleep(PAUSE).await;
    }
    drop(client);
    serving.await.expect("no panic");
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.idle_timeouts, stats.head_timeouts), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_is_closed_at_its_timeout() {
    let server = Server::with_limits(answers(), long());
    let (mut client, serving) = serve(&server);
    client.write_all(GET).await.expect("open");
    response(&mut client).await;
    let began = tokio::time::Instant::now();
    serving.await.expect("no panic");
    assert_eq!(began.elapsed().as_secs(), LONG.as_secs());
    assert_eq!(server.stats().idle_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_after_a_rest_must_end_in_time() {
    let server = Server::with_limits(answers(), long().keep_alive_timeout(PAUSE * 100));
    let (mut client, serving) = serve(&server);
    client.write_all(GET).await.expect("open");
    response(&mut client).await;
    tokio::time::sleep(PAUSE).await;
    client.write_all(b"GET").await.expect("open");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("closed");
    assert!(answer.starts_with(b"HTTP/1.1 408"));
    drop(client);
    serving.await.expect("no panic");
    assert_eq!(server.stats().head_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_after_a_request_begins_no_head() {
    for empty in ["\r\n", "\n", "\r\n\r\n"] {
        let server = Server::with_limits(answers(), long().head_timeout(PAUSE));
        let (mut client, _serving) = serve(&server);
        client.write_all(&[GET, empty.as_bytes()].concat()).await.expect("open");
        response(&mut client).await;
        for pause in [Duration::ZERO, PAUSE] {
            tokio::time::sleep(pause).await;
            // In several parts, the first of which may end within a line.
            for part in [empty, "\r", "\n"] {
                client.write_all(part.as_bytes()).await.expect("open");
                tokio::time::sleep(PAUSE).await;
            }
            client.write_all(GET).await.expect("open");
            assert!(!response(&mut client).await.contains("connection: close"));
        }
        client.write_all(empty.as_bytes()).await.expect("open");
        let began = tokio::time::Instant::now();
        assert_eq!(server.shutdown(LONG).await, 0);
        assert!(began.elapsed() < PAUSE / 10, "{:?}", began.elapsed());
        assert_eq!((server.stats().head_timeouts, server.stats().idle_timeouts), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_cr_before_a_head_is_refused_after_a_rest() {
    let server = Server::with_limits(answers(), long());
    let (mut client, _serving) = serve(&server);
    client.write_all(GET).await.expect("open");
    response(&mut client).await;
    for part in [&b"\r"[..], GET] {
        tokio::time::sleep(PAUSE).await;
        client.write_all(part).await.expect("open");
    }
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("closed");
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", answer.escape_ascii());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_connections_at_rest() {
    let server = Server::with_limits(answers(), long());
    let (mut client, serving) = serve(&server);
    client.write_all(GET).await.expect("open");
    response(&mut client).await;
    tokio::time::sleep(PAUSE).await;
    assert_eq!(server.shutdown(LONG).await, 0);
    serving.await.expect("no panic");
    assert_eq!(client.read(&mut [0]).await.expect("closed"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_used_connection_cannot_switch_to_http2() {
    let server = Server::with_limits(answers(), long());
    let (mut client, _serving) = serve(&server);
    client.write_all(GET).await.expect("open");
    response(&mut client).await;
    tokio::time::sleep(PAUSE).await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("open");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("closed");
    // HTTP/2 would begin with settings.
    assert_eq!(answer, b"");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_head_that_has_arrived_before_a_rest_is_kept() {
    let server = Server::with_limits(answers(), long());
    let (mut client, _serving) = serve(&server);
    let (part, remainder) = GET.split_at(7);
    client.write_all(&[GET, part].concat()).await.expect("open");
    response(&mut client).await;
    tokio::time::sleep(PAUSE).await;
    client.write_all(remainder).await.expect("open");
    response(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_length_is_found_after_a_rest() {
    for pauses_within in [false, true] {
        let server = Server::with_limits(answers(), long());
        let (mut client, _serving) = serve(&server);
        client.write_all(GET).await.expect("open");
        response(&mut client).await;
        tokio::time::sleep(PAUSE).await;
        client.write_all(b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 5\r\n").await.expect("open");
        if pauses_within {
            tokio::time::sleep(PAUSE).await;
        }
        client.write_all(b"content-length: 5\r\n\r\nhello").await.expect("open");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("closed");
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", answer.escape_ascii());
    }
}

/// The rest of the body must not be taken for a request.
#[tokio::test(start_paused = true)]
async fn a_connection_does_not_rest_before_the_body_of_its_request_has_ended() {
    let (bodies, mut received) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let bodies = bodies.clone();
        tokio::spawn(async move {
            // If the response ends before the body, hyper never tells the end of the body.
            let (mut body, mut received) = (request.into_body(), Vec::new());
            while received.len() < GET.len() {
                let frame = body.frame().await.expect("more").expect("not broken");
                received.extend_from_slice(&frame.into_data().expect("data"));
            }
            bodies.send(received).expect("the test waits");
        });
        ready(Ok::<_, Infallible>(ok()))
    });
    let server = Server::with_limits(service, long());
    let (mut client, _serving) = serve(&server);
    let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: {}\r\n\r\n", GET.len());
    client.write_all(head.as_bytes()).await.expect("open");
    response(&mut client).await;
    tokio::time::sleep(PAUSE).await;
    client.write_all(GET).await.expect("open");
    assert_eq!(received.recv().await.expect("a body"), GET);
}

/// The request after a body that is read late must not be lost.
#[tokio::test(start_paused = true)]
async fn a_connection_does_not_rest_before_the_body_of_its_request_has_been_read() {
    let (may_read, read) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waits, has_read) = (Arc::clone(&may_read), Arc::clone(&read));
    let service = service_fn(move |request: Request<Incoming>| {
        let (waits, has_read) = (Arc::clone(&waits), Arc::clone(&has_read));
        tokio::spawn(async move {
            waits.notified().await;
            request.into_body().collect().await.expect("not broken");
            has_read.notify_one();
        });
        ready(Ok::<_, Infallible>(ok()))
    });
    let server = Server::with_limits(service, long());
    let (mut client, _serving) = serve(&server);
    for _ in 0..2 {
        // hyper passes the first chunk on before the service asks for it.
        let body = "5\r\nhello\r\n".repeat(3);
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n");
        client.write_all(request.as_bytes()).await.expect("open");
        assert!(!response(&mut client).await.contains("connection: close"));
        tokio::time::sleep(PAUSE).await;
        may_read.notify_one();
        read.notified().await;
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_connections_without_a_time_limit() {
    let limits = long().head_timeout(Duration::MAX).keep_alive_timeout(Duration::MAX).write_timeout(Duration::MAX);
    let server = Server::with_limits(answers(), limits);
    let (_unused, serving_unused) = serve(&server);
    let (mut used, serving_used) = serve(&server);
    used.write_all(GET).await.expect("open");
    response(&mut used).await;
    tokio::time::sleep(PAUSE).await;
    assert_eq!(server.shutdown(LONG).await, 0);
    serving_unused.await.expect("no panic");
    serving_used.await.expect("no panic");
}

/// A stream that notes whether it was shut down, as a stream with TLS needs it.
struct Noting(DuplexStream, Arc<AtomicBool>);

impl AsyncRead for Noting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Noting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.store(true, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_connection_at_rest_is_shut_down_when_it_ends() {
    for first in [GET, b""] {
        for ends in ["its timeout", "a shutdown", "its client"] {
            let server = Server::with_limits(answers(), long());
            let shut_down = Arc::new(AtomicBool::new(false));
            let (mut client, stream) = tokio::io::duplex(1024);
            let stream = Established::new(Noting(stream, Arc::clone(&shut_down))).into();
            let serving = tokio::spawn(server.serve_connection(stream));
            client.write_all(first).await.expect("open");
            if !first.is_empty() {
                response(&mut client).await;
            }
            tokio::time::sleep(PAUSE).await;
            assert!(!shut_down.load(Ordering::Relaxed), "it is open");
            match ends {
                "its timeout" => {}
                "a shutdown" => assert_eq!(server.shutdown(LONG).await, 0),
                _ => client.shutdown().await.expect("open"),
            }
            serving.await.expect("no panic");
            assert!(shut_down.load(Ordering::Relaxed), "ended by {ends}");
        }
    }
}

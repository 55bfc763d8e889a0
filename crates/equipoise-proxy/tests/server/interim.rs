//! Interim responses (1xx) of a service.

use std::{convert::Infallible, sync::Arc};

use equipoise_proxy::{listen::Established, server::Server};
use equipoise_tower::InterimSender;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc},
};
use tower::service_fn;

use crate::{GET, Text, get, long, ok, response, start};

pub(crate) fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
        .collect()
}

pub(crate) fn sender<B>(request: &Request<B>) -> Option<InterimSender> {
    request.extensions().get().cloned()
}

/// Reads up to the end of a head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn a_client_gets_interim_responses_before_the_service_responds() {
    let seen = Arc::new(Notify::new());
    let waits = Arc::clone(&seen);
    let running = start!(
        service_fn(move |request: Request<Incoming>| {
            let waits = Arc::clone(&waits);
            async move {
                let sender = sender(&request).expect("the extension");
                let connection =
                    [("connection", "x-hop, close"), ("x-hop", "1"), ("keep-alive", "1"), ("trailer", "x")];
                let body = [
                    ("content-length", "7"),
                    ("transfer-encoding", "chunked"),
                    ("upgrade", "a"),
                    ("set-cookie", "a=1"),
                ];
                let link = [("link", "</a>"), ("link", "</b>")];
                sender.send(StatusCode::EARLY_HINTS, &fields(&[&connection[..], &body, &link].concat()));
                waits.notified().await;
                sender.send(StatusCode::PROCESSING, &HeaderMap::new());
                sender.send(StatusCode::from_u16(199).expect("a status"), &HeaderMap::new());
                waits.notified().await;
                Ok::<_, Infallible>(ok())
            }
        }),
        long().interim_responses(true)
    );
    let mut client = running.connect().await;
    for method in ["GET", "HEAD", "POST"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 5\r\n\r\nhello");
        client.write_all(request.as_bytes()).await.expect("open");
        assert_eq!(head(&mut client).await, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n");
        seen.notify_one();
        assert_eq!(head(&mut client).await, "HTTP/1.1 102 Processing\r\n\r\n");
        assert_eq!(head(&mut client).await, "HTTP/1.1 199 \r\n\r\n");
        seen.notify_one();
        let last = head(&mut client).await;
        assert!(last.starts_with("HTTP/1.1 200 OK\r\n") && !last.contains("link"), "{last}");
        if method != "HEAD" {
            client.read_exact(&mut [0; 2]).await.expect("a body");
        }
    }
}

#[tokio::test]
async fn only_requests_that_may_get_interim_responses_have_the_extension() {
    let service = service_fn(async |request: Request<Incoming>| {
        let has = sender(&request).is_some();
        let response = Response::builder().header("x-has", has.to_string());
        Ok::<Text, Infallible>(response.body(Full::from("ok")).expect("valid"))
    });
    let (off, on) = (start!(service, long()), start!(service, long().interim_responses(true)));
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n", true),
        ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n", false),
        ("GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n", false),
    ] {
        for (running, expected) in [(&off, false), (&on, expected)] {
            let mut client = running.connect().await;
            client.write_all(format!("{request}host: app.test\r\n\r\n").as_bytes()).await.expect("open");
            let head = response(&mut client).await;
            assert!(head.contains(&format!("x-has: {expected}\r\n")), "{request}: {head}");
        }
    }
    let mut client = on.connect().await;
    client.write_all(b"CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n").await.expect("open");
    assert!(head(&mut client).await.contains("x-has: false\r\n"));
    let response = on.http2(65_535).await.send_request(get()).await.expect("a response");
    assert_eq!(response.headers()["x-has"], "false");
}

#[tokio::test]
async fn interim_responses_are_not_sent_after_the_response_has_begun() {
    let (senders, mut kept) = mpsc::unbounded_channel();
    let running = start!(
        service_fn(move |request: Request<Incoming>| {
            let _ = senders.send(sender(&request).expect("the extension"));
            async { Ok::<_, Infallible>(ok()) }
        }),
        long().interim_responses(true)
    );
    let mut client = running.connect().await;
    for _ in 0..3 {
        client.write_all(GET).await.expect("open");
        assert!(response(&mut client).await.starts_with("http/1.1 200"));
        kept.recv().await.expect("a sender").send(StatusCode::EARLY_HINTS, &HeaderMap::new());
    }
    // A client may leave before a sender is used.
    client.write_all(GET).await.expect("open");
    let sender = kept.recv().await.expect("a sender");
    drop(client);
    sender.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
}

#[tokio::test]
async fn a_service_that_sends_without_end_fills_no_memory_and_its_response_arrives() {
    const SENT: usize = 10_000;
    let (unread, read) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waits, done) = (Arc::clone(&read), Arc::clone(&unread));
    let running = start!(
        service_fn(move |request: Request<Incoming>| {
            let (waits, done) = (Arc::clone(&waits), Arc::clone(&done));
            async move {
                let (sender, fields) =
                    (sender(&request).expect("the extension"), fields(&[("x-a", &"a".repeat(1000))]));
                // One that is larger than what may wait, and then many that are not.
                let large = (0..40).map(|_| (HeaderName::from_static("x-b"), fields["x-a"].clone()));
                sender.send(StatusCode::EARLY_HINTS, &large.collect());
                for _ in 0..SENT {
                    sender.send(StatusCode::PROCESSING, &fields);
                }
                done.notify_one();
                waits.notified().await;
                Ok::<_, Infallible>(ok())
            }
        }),
        long().interim_responses(true)
    );
    let mut client = running.connect().await;
    client.write_all(GET).await.expect("open");
    unread.notified().await;
    read.notify_one();
    let all = response(&mut client).await;
    let interim = all.matches("http/1.1 102 processing\r\n").count();
    assert!((30..SENT / 10).contains(&interim), "{interim}");
    assert!(!all.contains("x-b: "));
    assert!(all.rsplit("\r\n\r\n").nth(1).is_some_and(|last| last.starts_with("http/1.1 200")), "{all}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_interim_response_is_closed_after_the_write_timeout() {
    let (mut client, stream) = tokio::io::duplex(10);
    let service = service_fn(async |request: Request<Incoming>| {
        sender(&request).expect("the extension").send(StatusCode::EARLY_HINTS, &HeaderMap::new());
        std::future::pending::<Result<Text, Infallible>>().await
    });
    let server = Server::with_limits(service, long().interim_responses(true));
    let serving = tokio::spawn(server.serve_connection(Established::new(stream).into()));
    client.write_all(GET).await.expect("open");
    serving.await.expect("no panic");
    assert_eq!(server.stats().write_timeouts, 1);
}

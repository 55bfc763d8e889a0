//! Interim responses of the endpoint (1xx), from its socket to that of the client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use equipoise::{
    EndpointSpec,
    http::Upstream,
    proxy::{ReverseProxyLayer, Timeouts, server::ServerLimits},
};
use equipoise_tests::{Peer, Scripted, program, run, soon};
use http::Request;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::setup::{Proxy, Version, frames};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Starts a proxy that passes interim responses on.
async fn proxy(endpoint: &Scripted) -> Proxy {
    let limits = ServerLimits::new().interim_responses(true);
    Proxy::start_limited(&ReverseProxyLayer::new(), limits, endpoint.address(), Version::Http1).await
}

/// Starts an endpoint that sends `interim` to each request. It sends the response after it was notified.
fn waiting(interim: &'static str) -> (Scripted, Arc<Notify>) {
    let seen = Arc::new(Notify::new());
    let waits = Arc::clone(&seen);
    let endpoint = Scripted::start(move |mut peer: Peer| {
        let waits = Arc::clone(&waits);
        async move {
            loop {
                let head = peer.head().await?;
                peer.send(interim).await?;
                waits.notified().await;
                // Without the body.
                let length = if head.starts_with("HEAD") { OK.len() - 2 } else { OK.len() };
                peer.send(&OK[..length]).await?;
            }
        }
    });
    (endpoint.expect("a port"), seen)
}

/// Starts an endpoint that sends `all` at once, as the response to each request.
fn at_once(all: String) -> Scripted {
    let endpoint = Scripted::start(move |mut peer: Peer| {
        let all = all.clone();
        async move {
            loop {
                peer.head().await?;
                peer.send(&all).await?;
            }
        }
    });
    endpoint.expect("a port")
}

/// Reads as many bytes as are expected, and compares them.
async fn expect(client: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    let read = soon(client.read_exact(&mut bytes)).await;
    assert_eq!(String::from_utf8_lossy(&bytes), expected, "{read:?}");
}

/// Reads the head of a final response.
async fn head(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(soon(client.read_u8()).await.expect("a head"));
    }
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn a_client_gets_early_hints_before_the_endpoint_responds() {
    let (endpoint, seen) = waiting(HINTS);
    let proxy = proxy(&endpoint).await;
    let mut client = proxy.connect().await;
    for request in
        ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"]
    {
        client.write_all(request.as_bytes()).await.expect("open");
        expect(&mut client, HINTS).await;
        seen.notify_one();
        let head = head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("link"), "{head}");
        if request.starts_with("GET") {
            expect(&mut client, "ok").await;
        }
    }
}

#[tokio::test]
async fn interim_responses_that_arrive_together_with_the_response_come_first() {
    let all = format!("HTTP/1.1 102 Processing\r\n\r\n{HINTS}HTTP/1.1 199 Ours\r\nx-a: 1\r\n\r\n{OK}");
    let endpoint = at_once(all);
    let proxy = proxy(&endpoint).await;
    let mut client = proxy.connect().await;
    // The second and third are pipelined.
    for requests in [1, 2] {
        let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(requests);
        client.write_all(request.as_bytes()).await.expect("open");
        for _ in 0..requests {
            expect(&mut client, &format!("HTTP/1.1 102 Processing\r\n\r\n{HINTS}HTTP/1.1 199 \r\nx-a: 1\r\n\r\n"))
                .await;
            assert!(head(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
            expect(&mut client, "ok").await;
        }
    }
    assert_eq!(proxy.counts().await, (3, 0));
}

#[tokio::test]
async fn early_hints_pass_before_the_body_of_the_request_is_asked_for() {
    let endpoint = Scripted::start(|mut peer: Peer| async move {
        peer.head().await?;
        peer.send(HINTS).await?;
        peer.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
        assert_eq!(peer.body(5).await?, b"hello");
        peer.send(HINTS).await?;
        peer.send(OK).await
    });
    let endpoint = endpoint.expect("a port");
    let proxy = proxy(&endpoint).await;
    let mut client = proxy.connect().await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.write_all(request.as_bytes()).await.expect("open");
    // The server itself asks for the body.
    let mut interim = vec![0; HINTS.len() + 25];
    soon(client.read_exact(&mut interim)).await.expect("two interim responses");
    let interim = String::from_utf8(interim).expect("text");
    assert!(interim.contains(HINTS) && interim.contains("HTTP/1.1 100 Continue\r\n\r\n"), "{interim}");
    client.write_all(b"hello").await.expect("open");
    expect(&mut client, HINTS).await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn clients_of_other_versions_get_the_response_alone() {
    let endpoint = at_once(format!("{HINTS}{OK}"));
    let proxy = proxy(&endpoint).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n").await.expect("open");
    let mut all = String::new();
    soon(client.read_to_string(&mut all)).await.expect("text");
    assert!(all.starts_with("HTTP/1.0 200 OK\r\n") && all.ends_with("\r\n\r\nok"), "{all}");

    let request = Request::get("/").body(frames([])).expect("a request");
    let response = proxy.send(Version::Http2, request).await;
    assert_eq!((response.status(), response.headers().get("link")), (http::StatusCode::OK, None));
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "ok");
}

#[tokio::test]
async fn by_default_no_client_gets_interim_responses() {
    let endpoint = at_once(format!("{HINTS}{OK}"));
    let proxy = Proxy::start(endpoint.address(), Version::Http1).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_client_that_leaves_after_early_hints_ends_the_request_to_the_endpoint() {
    let closed = Arc::new(Notify::new());
    let told = Arc::clone(&closed);
    let endpoint = Scripted::start(move |mut peer: Peer| {
        let told = Arc::clone(&told);
        async move {
            peer.head().await?;
            peer.send(HINTS).await?;
            peer.closed().await;
            told.notify_one();
            Ok(())
        }
    });
    let endpoint = endpoint.expect("a port");
    let proxy = proxy(&endpoint).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    expect(&mut client, HINTS).await;
    drop(client);
    soon(closed.notified()).await;
}

#[tokio::test]
async fn interim_responses_without_end_do_not_keep_a_request_alive() {
    let endpoint = Scripted::start(|mut peer: Peer| async move {
        peer.head().await?;
        loop {
            peer.send(HINTS.repeat(100)).await?;
        }
    });
    let limits = ServerLimits::new().interim_responses(true);
    let timeouts = Timeouts::new().head(Duration::from_millis(200));
    let layer = ReverseProxyLayer::new().timeouts(timeouts);
    let endpoint = endpoint.expect("a port");
    let proxy = Proxy::start_limited(&layer, limits, endpoint.address(), Version::Http1).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("open");
    let mut all = Vec::new();
    soon(client.read_to_end(&mut all)).await.expect("closed, not reset");
    let all = String::from_utf8(all).expect("text");
    let last = all.trim_start_matches(HINTS);
    assert!(all.len() > last.len() && last.starts_with("HTTP/1.1 504 "), "{}", &last[..last.len().min(1000)]);
}

#[tokio::test]
async fn the_interim_responses_of_the_next_attempt_follow_those_of_the_failed_one() {
    let requests = Arc::new(AtomicUsize::new(0));
    let start = || {
        let requests = Arc::clone(&requests);
        let endpoint = Scripted::start(move |mut peer: Peer| {
            let requests = Arc::clone(&requests);
            async move {
                peer.head().await?;
                // The first request fails, at any of the endpoints.
                if requests.fetch_add(1, Ordering::SeqCst) == 0 {
                    return peer.send(HINTS).await;
                }
                peer.send(format!("HTTP/1.1 102 Processing\r\n\r\n{OK}")).await?;
                peer.closed().await;
                Ok(())
            }
        });
        endpoint.expect("a port")
    };
    let endpoints = [start(), start()];
    let proxy = proxy(&endpoints[0]).await;
    let specs = endpoints.each_ref().map(|endpoint| EndpointSpec::new(endpoint.address()));
    proxy.pool.try_update(specs, |spec| Upstream::new(spec.address())).expect("valid addresses");
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    expect(&mut client, &format!("{HINTS}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n")).await;
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn curl_sees_early_hints() {
    let Some(curl) = program("curl", "curl") else { return };
    let endpoint = at_once(format!("{HINTS}{OK}"));
    let proxy = proxy(&endpoint).await;
    let url = format!("http://{}/", proxy.address);
    let output = run(&curl, ["--silent", "--show-error", "--include", "--http1.1", &*url]).await.stdout;
    assert!(output.starts_with(HINTS), "{output}");
    assert!(output[HINTS.len()..].starts_with("HTTP/1.1 200 OK\r\n") && output.ends_with("\r\n\r\nok"), "{output}");
}

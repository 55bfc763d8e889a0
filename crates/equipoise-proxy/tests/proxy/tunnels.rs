use std::{convert::Infallible, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use equipoise_core::{Availability, EndpointSpec, Pool};
use equipoise_proxy::{RequestBody, ReverseProxy, ReverseProxyLayer, Tunnels};
use equipoise_tower::{BalanceLayer, BoxError, Replayable};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Returns the `Sec-WebSocket-Accept` for a request.
fn proof(request: &Request<Incoming>) -> String {
    let key = request.headers()["sec-websocket-key"].as_bytes();
    let hash = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    BASE64_STANDARD.encode(hash)
}

/// A server that switches to `protocol`, and then sends back what it gets.
fn echo_server(io: DuplexStream, protocol: &'static str) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| async move {
        assert_eq!(request.method(), Method::GET);
        // The path `/wrong` has a wrong one.
        let proof = if request.uri() == "/wrong" { String::new() } else { proof(&request) };
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded.await.expect("switched")));
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        });
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let response = response.header("connection", "upgrade").header("upgrade", protocol);
        let response = response.header("sec-websocket-accept", proof);
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).expect("a response"))
    });
    let server = hyper::server::conn::http1::Builder::new();
    tokio::spawn(server.serve_connection(TokioIo::new(io), service).with_upgrades());
}

/// Serves a connection with a proxy in front of the echo server.
fn serve(tunnels: &Tunnels, protocol: &'static str, http2: bool) -> DuplexStream {
    let client = service_fn(move |request: Request<RequestBody<Incoming>>| async move {
        assert!(request.extensions().get::<hyper::ext::Protocol>().is_none());
        let (near, far) = duplex(1024);
        echo_server(far, protocol);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
        tokio::spawn(connection.with_upgrades());
        Ok::<Response<Incoming>, BoxError>(sender.send_request(request).await?)
    });
    let proxy: ReverseProxy<_> = ReverseProxyLayer::new().tunnels(tunnels.clone()).layer(client);
    let service = hyper::service::service_fn(move |request| {
        let mut proxy = proxy.clone();
        async move { proxy.ready().await?.call(request).await }
    });
    let (near, far) = duplex(1024);
    if http2 {
        let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.enable_connect_protocol();
        tokio::spawn(server.serve_connection(TokioIo::new(far), service));
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(server.serve_connection(TokioIo::new(far), service).with_upgrades());
    }
    near
}

async fn head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

const OPEN: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

async fn echoes<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S) {
    stream.write_all(b"ping").await.expect("open");
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).await.expect("open");
    assert_eq!(&pong, b"ping");
}

#[tokio::test(start_paused = true)]
async fn a_websocket_passes_byte_for_byte_and_ends_by_halves() {
    let tunnels = Tunnels::new();
    let mut stream = serve(&tunnels, "websocket", false);
    // The first bytes of the new protocol may come with the request.
    stream.write_all(&[OPEN, b"early"].concat()).await.expect("open");
    let head = head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    let mut early = [0; 5];
    stream.read_exact(&mut early).await.expect("open");
    assert_eq!(&early, b"early");
    echoes(&mut stream).await;
    assert_eq!(tunnels.open(), 1);
    stream.shutdown().await.expect("open");
    assert_eq!(stream.read(&mut [0; 8]).await.expect("the end"), 0);
    tunnels.closed().await;
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_closed_on_request_and_when_idle() {
    for by_hand in [true, false] {
        let tunnels = Tunnels::new().idle_timeout(Duration::from_secs(5));
        let mut stream = serve(&tunnels, "websocket", false);
        stream.write_all(OPEN).await.expect("open");
        head(&mut stream).await;
        echoes(&mut stream).await;
        if by_hand {
            tunnels.close();
        }
        assert_eq!(stream.read(&mut [0; 8]).await.expect("the end"), 0);
        tunnels.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_was_not_asked_for_gets_502() {
    let tunnels = Tunnels::new();
    let mut stream = serve(&tunnels, "other", false);
    stream.write_all(OPEN).await.expect("open");
    let head = head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert_eq!(tunnels.open(), 0);
}

#[cfg(feature = "http2")]
#[tokio::test(start_paused = true)]
async fn a_websocket_on_an_http_2_stream_becomes_an_upgrade() {
    let tunnels = Tunnels::new();
    let stream = serve(&tunnels, "websocket", true);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let open = |uri: &str| {
        let request = Request::connect(uri).version(Version::HTTP_2).header("sec-websocket-version", "13");
        let request = request.extension(hyper::ext::Protocol::from_static("websocket"));
        request.body(Empty::<Bytes>::new()).expect("a request")
    };
    // The server's settings must have arrived. The clock is paused, so this waits until nothing else can run.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let refused = sender.send_request(open("https://app.test/wrong")).await.expect("a response");
    assert_eq!((refused.status(), tunnels.open()), (StatusCode::BAD_GATEWAY, 0));
    let mut response = sender.send_request(open("https://app.test/chat")).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    assert!(!response.headers().contains_key("upgrade"));
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.expect("switched"));
    echoes(&mut stream).await;
    assert_eq!(tunnels.open(), 1);
    stream.shutdown().await.expect("open");
    assert_eq!(stream.read(&mut [0; 8]).await.expect("the end"), 0);
    tunnels.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_counts_at_its_endpoint_and_ends_with_it() {
    let pool: Pool<()> = Pool::default();
    pool.add(EndpointSpec::new("127.0.0.1:1"), ()).expect("a new endpoint");
    let client = service_fn(|request: Request<Replayable<RequestBody<Incoming>>>| async move {
        let (near, far) = duplex(1024);
        echo_server(far, "websocket");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Replayable<_>>(TokioIo::new(near)).await?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await
    });
    let proxy = ReverseProxy::new(BalanceLayer::new(pool.clone()).incoming().layer(client));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut proxy = proxy.clone();
        async move { proxy.ready().await?.call(request).await }
    });
    let (mut stream, far) = duplex(1024);
    let server = hyper::server::conn::http1::Builder::new();
    tokio::spawn(server.serve_connection(TokioIo::new(far), service).with_upgrades());

    stream.write_all(OPEN).await.expect("open");
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 101"));
    echoes(&mut stream).await;
    assert_eq!(pool.endpoints()[0].in_flight, 1);
    let idle = pool.idle("127.0.0.1:1");
    pool.drain("127.0.0.1:1").expect("an endpoint");
    echoes(&mut stream).await;
    pool.set_availability("127.0.0.1:1", Availability::Maintenance).expect("an endpoint");
    assert_eq!(stream.read(&mut [0; 8]).await.expect("the end"), 0);
    idle.await;
}

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use equipoise_proxy::{
    headers::{ConnectionInfo, remove_hop_by_hop},
    listen::Established,
    server::Server,
};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};
use tower::service_fn;

use crate::{GET, LONG, answers, bind, get, long, response, rest, start};

type Seen = (Version, Option<SocketAddr>, Option<ConnectionInfo>);

/// A service whose response has what it knows of its request as text.
macro_rules! describes {
    () => {
        service_fn(async |request: Request<Incoming>| {
            let extensions = request.extensions();
            let seen: Seen =
                (request.version(), extensions.get().map(|PeerAddr(peer)| *peer), extensions.get().cloned());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{seen:?}"))))
        })
    };
}

#[tokio::test]
async fn each_request_knows_its_connection() {
    let running = start!(describes!(), long());
    let info = ConnectionInfo::new().local(running.address);

    let mut client = running.connect().await;
    let peer = client.local_addr().expect("connected");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("open");
    let expected: Seen = (Version::HTTP_10, Some(peer), Some(info.clone()));
    assert!(rest(&mut client).await.ends_with(&format!("{expected:?}").to_ascii_lowercase()));

    let client = running.connect().await;
    let peer = client.local_addr().expect("connected");
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(client)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let response = sender.send_request(get()).await.expect("a response");
    assert!(response.headers().contains_key("date"));
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let expected: Seen = (Version::HTTP_2, Some(peer), Some(info.clone()));
    assert_eq!(body, format!("{expected:?}"));
}

#[tokio::test]
async fn a_client_cannot_remove_a_field_that_a_layer_adds() {
    let adds = service_fn(async |mut request: Request<Incoming>| {
        request.headers_mut().insert("x-user-id", http::HeaderValue::from_static("7"));
        remove_hop_by_hop(request.headers_mut());
        let body = format!("{:?}", request.headers().get("x-user-id"));
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body)))
    });
    let running = start!(adds, long());
    let mut client = running.connect().await;
    let request = b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close, x-user-id\r\n\r\n";
    client.write_all(request).await.expect("open");
    assert!(rest(&mut client).await.ends_with("some(\"7\")"));
}

#[tokio::test]
async fn one_server_has_several_listeners() {
    let running = start!(answers(), long().max_connections(1));
    let other = bind().await;
    let address = other.local_addr().expect("bound");
    let accepting: JoinHandle<()> = tokio::spawn(running.server.clone().serve(other));
    // A listener that waits does not take the only place.
    for address in [running.address, address, running.address] {
        let mut client = tokio::net::TcpStream::connect(address).await.expect("the server listens");
        client.write_all(GET).await.expect("open");
        response(&mut client).await;
    }
    assert_eq!(running.server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
    assert_eq!(running.server.stats().accepted, 3);
}

#[tokio::test]
async fn a_stream_that_was_accepted_elsewhere_is_served() {
    let server = Server::with_limits(describes!(), long());
    let (mut client, stream) = tokio::io::duplex(1024);
    let info = ConnectionInfo::new().tls(true);
    let serving = tokio::spawn(server.serve_connection(Established::new(stream).info(info.clone()).into()));
    client.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n").await.expect("open");
    let mut text = String::new();
    client.read_to_string(&mut text).await.expect("a response");
    let expected: Seen = (Version::HTTP_11, None, Some(info));
    assert!(text.ends_with(&format!("{expected:?}")), "{text}");
    drop(client);
    serving.await.expect("no panic");
}

#[tokio::test]
async fn connections_that_have_switched_protocols_count_until_they_end() {
    let echoes = service_fn(async |mut request: Request<Incoming>| {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.expect("switched"));
            let byte = stream.read_u8().await.expect("a byte");
            stream.write_u8(byte).await.expect("open");
            let _ = stream.read_u8().await;
        });
        let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
        response.body(Full::<Bytes>::default())
    });
    let running = start!(echoes, long().max_connections(1).max_requests_per_connection(1));
    let request = b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let mut first = running.connect().await;
    first.write_all(request).await.expect("open");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(first.read_u8().await.expect("a response"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));

    let mut second = running.connect().await;
    second.write_all(request).await.expect("the operating system accepts");
    first.write_u8(b'.').await.expect("open");
    assert_eq!(first.read_u8().await.expect("echoed"), b'.');
    assert_eq!(running.server.stats().accepted, 1);
    drop(first);
    second.read_u8().await.expect("a response");
    assert_eq!(running.server.stats().accepted, 2);
}

#[cfg(unix)]
fn bind_unix(name: &str) -> (tokio::net::UnixListener, std::path::PathBuf) {
    let path = std::env::temp_dir().join(format!("equipoise-server-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    (tokio::net::UnixListener::bind(&path).expect("a free path"), path)
}

#[cfg(unix)]
#[tokio::test]
async fn connections_that_wait_at_a_unix_socket_are_served_in_a_shutdown() {
    let (listener, path) = bind_unix("waiting");
    let server = Server::with_limits(answers(), long());
    let accepting = tokio::spawn(server.clone().serve(listener));
    let clients = [(); 3].map(|()| std::os::unix::net::UnixStream::connect(&path).expect("the server listens"));
    assert_eq!(server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
    for mut client in clients {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut client, &mut bytes).expect("closed, not reset");
    }
    assert_eq!(server.stats().accepted, 3);
    let _ = std::fs::remove_file(&path);
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_have_no_peer_address() {
    let (listener, path) = bind_unix("peer");
    let server = Server::with_limits(describes!(), long());
    let accepting = tokio::spawn(server.clone().serve(listener));
    let mut client = tokio::net::UnixStream::connect(&path).await.expect("the server listens");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("open");
    let mut text = String::new();
    client.read_to_string(&mut text).await.expect("a response");
    let expected: Seen = (Version::HTTP_10, None, Some(ConnectionInfo::new()));
    assert!(text.ends_with(&format!("{expected:?}")), "{text}");
    assert_eq!(server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
    let _ = std::fs::remove_file(&path);
}

/// Opens a tunnel over HTTP/2 to a service that sends back what it receives.
macro_rules! http2_tunnel {
    ($server:ident, $serving:ident, $client:ident, $tunnel:ident) => {
        let echoes = service_fn(async |mut request: Request<Incoming>| {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.expect("switched")));
                tokio::io::copy(&mut read, &mut write).await.expect("open");
                write.shutdown().await.expect("open");
            });
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let $server = Server::new(echoes);
        let (client, stream) = tokio::io::duplex(1024);
        let $serving = tokio::spawn($server.serve_connection(Established::new(stream).into()));
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut $client, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(client)).await.expect("HTTP/2");
        tokio::spawn(connection);
        // The server's settings must have arrived. The clock is paused, so this waits until nothing else can run.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let request = Request::connect("http://app.test/").extension(hyper::ext::Protocol::from_static("websocket"));
        let response = $client.send_request(request.body(Full::<Bytes>::default()).expect("a request")).await;
        let upgraded = hyper::upgrade::on(response.expect("a response")).await;
        let mut $tunnel = TokioIo::new(upgraded.expect("switched"));
    };
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_with_a_tunnel_is_not_idle() {
    http2_tunnel!(server, serving, _client, tunnel);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        tunnel.write_u8(b'.').await.expect("open");
        assert_eq!(tunnel.read_u8().await.expect("echoed"), b'.');
    }
    assert_eq!(server.stats().idle_timeouts, 0);
    tunnel.shutdown().await.expect("open");
    assert!(tunnel.read_u8().await.is_err(), "the end");
    serving.await.expect("no panic");
    assert_eq!(server.stats().idle_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_tunnel_over_http2() {
    http2_tunnel!(server, serving, _client, tunnel);
    let shutdown = tokio::spawn(server.shutdown(LONG));
    tokio::time::sleep(LONG / 2).await;
    assert!(!shutdown.is_finished());
    tunnel.write_u8(b'.').await.expect("open");
    assert_eq!(tunnel.read_u8().await.expect("echoed"), b'.');
    tunnel.shutdown().await.expect("open");
    assert_eq!(shutdown.await.expect("no panic"), 0);
    serving.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn pings_of_http2_may_have_no_limit() {
    for (interval, timeout) in [(Duration::MAX, LONG), (LONG, Duration::MAX), (Duration::MAX, Duration::MAX)] {
        let limits = long().keep_alive_timeout(LONG * 10).http2_ping(interval, timeout);
        let server = Server::with_limits(answers(), limits);
        let (client, stream) = tokio::io::duplex(1024);
        tokio::spawn(server.serve_connection(Established::new(stream).into()));
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(client)).await.expect("HTTP/2");
        tokio::spawn(connection);
        for _ in 0..2 {
            assert_eq!(sender.send_request(get()).await.expect("a response").status(), 200);
            tokio::time::sleep(LONG * 2).await;
        }
    }
}

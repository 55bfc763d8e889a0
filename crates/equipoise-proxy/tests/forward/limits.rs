//! Limits on tunnels, bytes and time.

use std::time::Duration;

use equipoise_proxy::{
    Tunnels,
    forward::{BasicAuth, ForwardLimits, ForwardSettings, Passwords},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::rig::{Origin, Proxy, basic, echo, echoes, ends, local, names, until};

const HOUR: Duration = Duration::from_secs(3600);

async fn start(limits: ForwardLimits) -> Proxy {
    Proxy::start([local()], ForwardSettings::new().resolver(names()).limits(limits)).await
}

async fn open(proxy: &Proxy, port: u16) -> TcpStream {
    proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel")
}

#[tokio::test]
async fn each_user_may_have_so_many_tunnels() {
    let (port, _) = echo().await;
    let users = BasicAuth::new("p", Passwords::new().user("ann", "a").user("bob", "b")).expect("a realm");
    let limits = ForwardLimits::new().max_tunnels_per_client(2).max_tunnels(3);
    let settings = ForwardSettings::new().resolver(names()).authentication(users).limits(limits);
    let proxy = Proxy::start([local()], settings).await;
    let open = async |user, password| proxy.tunnel(&format!("app.test:{port}"), &basic(user, password)).await;
    let (first, second) = (open("ann", "a").await.expect("a tunnel"), open("ann", "a").await.expect("a tunnel"));
    let reply = open("ann", "a").await.expect_err("at the limit");
    assert_eq!((reply.status, reply.body.as_str()), (429, "this client has too many open tunnels\n"));
    let third = open("bob", "b").await.expect("another user");
    let reply = open("bob", "b").await.expect_err("at the limit of all");
    assert_eq!((reply.status, reply.body.as_str()), (503, "too many tunnels are open\n"));
    drop((first, second));
    until(|| proxy.proxy.stats().open_tunnels == 1).await;
    let fourth = open("ann", "a").await.expect("room again");
    drop((third, fourth));
    until(|| proxy.proxy.stats().open_tunnels == 0).await;
    assert_eq!(proxy.proxy.stats().limited, 2);
}

#[tokio::test]
async fn each_client_may_have_so_many_requests_in_flight() {
    let origin = Origin::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let slow = format!("http://app.test:{}/", listener.local_addr().expect("bound").port());
    let proxy = start(ForwardLimits::new().max_requests_per_client(1)).await;
    let mut first = proxy.connect().await;
    first.write_all(format!("GET {slow} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.expect("open");
    let (mut server, _) = listener.accept().await.expect("the proxy connects");
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nba").await.expect("open");
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\nba") {
        bytes.push(first.read_u8().await.expect("the response has begun"));
    }
    let reply = proxy.get(&origin.url("/"), "").await;
    assert_eq!((reply.status, reply.body.as_str()), (429, "this client has too many requests in flight\n"));
    let (port, _) = echo().await;
    echoes(&mut open(&proxy, port).await, "tunnels have a limit of their own").await;
    server.write_all(b"dy").await.expect("open");
    first.read_exact(&mut [0; 2]).await.expect("the rest");
    // The proxy drops the body a moment after the client has got its end.
    let status = loop {
        match proxy.get(&origin.url("/"), "").await.status {
            429 => {}
            status => break status,
        }
    };
    assert_eq!(status, 200);
}

#[tokio::test]
async fn clients_without_a_name_are_told_apart_by_their_address() {
    let (port, _) = echo().await;
    let proxy = start(ForwardLimits::new().max_tunnels_per_client(1)).await;
    let _tunnel = open(&proxy, port).await;
    assert_eq!(proxy.refused(&format!("app.test:{port}"), "").await.status, 429);
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.9:0".parse().expect("an address")).expect("a free port");
    let mut stream = socket.connect(proxy.address).await.expect("the proxy listens");
    let request = format!("CONNECT app.test:{port} HTTP/1.1\r\nhost: app.test:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("open");
    echoes(&mut crate::rig::opened(stream).await.expect("another client"), "hello").await;
}

#[tokio::test]
async fn a_tunnel_ends_after_so_many_bytes() {
    let (port, _) = echo().await;
    let proxy = start(ForwardLimits::new().max_tunnel_bytes(100_000)).await;
    let mut tunnel = open(&proxy, port).await;
    echoes(&mut tunnel, &"x".repeat(40_000)).await;
    let _ = tunnel.write_all(&[b'x'; 60_000]).await;
    let got = ends(&mut tunnel).await.len();
    assert!(got <= 20_000, "{got}");
    until(|| proxy.proxy.stats().limited_tunnels == 1).await;
    assert_eq!(proxy.proxy.stats().tunnel_bytes, 100_000);
}

#[tokio::test]
async fn a_tunnel_that_only_sends_ends_at_its_limit_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let proxy = start(ForwardLimits::new().max_tunnel_bytes(100_000)).await;
    let mut tunnel = open(&proxy, port).await;
    let (mut server, _) = listener.accept().await.expect("the proxy connects");
    let _ = tunnel.write_all(&[b'x'; 100_000]).await;
    let mut bytes = vec![0; 100_000];
    server.read_exact(&mut bytes).await.expect("so many pass");
    assert_eq!(proxy.proxy.stats().open_tunnels, 1, "the next byte is one too many");
    let _ = tunnel.write_all(b"x").await;
    assert_eq!((ends(&mut tunnel).await, ends(&mut server).await), (Vec::new(), Vec::new()));
    until(|| proxy.proxy.stats().limited_tunnels == 1).await;
    assert_eq!(proxy.proxy.stats().tunnel_bytes, 100_000);
}

#[tokio::test]
async fn a_tunnel_may_end_with_the_last_byte_that_may_pass() {
    let (port, _) = echo().await;
    let proxy = start(ForwardLimits::new().max_tunnel_bytes(200)).await;
    let mut tunnel = open(&proxy, port).await;
    echoes(&mut tunnel, &"x".repeat(100)).await;
    tunnel.shutdown().await.expect("open");
    assert_eq!(ends(&mut tunnel).await, b"");
    until(|| proxy.proxy.stats().open_tunnels == 0).await;
    let stats = proxy.proxy.stats();
    assert_eq!((stats.limited_tunnels, stats.tunnel_bytes), (0, 200));
}

#[tokio::test]
async fn a_tunnel_ends_after_a_time() {
    let (port, _) = echo().await;
    let proxy = start(ForwardLimits::new().max_tunnel_time(Duration::from_millis(100))).await;
    let mut tunnel = open(&proxy, port).await;
    assert_eq!(ends(&mut tunnel).await, b"");
    until(|| proxy.proxy.stats().limited_tunnels == 1).await;
}

#[tokio::test]
async fn a_tunnel_ends_after_a_time_without_bytes() {
    let (port, _) = echo().await;
    let tunnels = Tunnels::new().idle_timeout(Duration::from_millis(50));
    let proxy = Proxy::start([local()], ForwardSettings::new().resolver(names()).tunnels(tunnels)).await;
    let mut tunnel = open(&proxy, port).await;
    assert_eq!(ends(&mut tunnel).await, b"");
    until(|| proxy.proxy.stats().open_tunnels == 0).await;
    assert_eq!(proxy.proxy.stats().limited_tunnels, 0);
}

#[tokio::test]
async fn a_client_has_so_many_bytes_in_a_period() {
    let (port, _) = echo().await;
    let origin = Origin::start().await;
    let proxy = start(ForwardLimits::new().max_bytes_per_client(50_000, HOUR)).await;
    let mut tunnel = open(&proxy, port).await;
    echoes(&mut tunnel, &"x".repeat(20_000)).await;
    assert_eq!(proxy.get(&origin.url("/"), "").await.status, 200);
    let _ = tunnel.write_all(&[b'x'; 20_000]).await;
    assert!(ends(&mut tunnel).await.len() < 20_000);
    for reply in [proxy.get(&origin.url("/"), "").await, proxy.refused(&format!("app.test:{port}"), "").await] {
        assert_eq!((reply.status, reply.body.as_str()), (429, "this client has transferred too many bytes\n"));
        let seconds: u64 = reply.field("retry-after").expect("a time").parse().expect("a number");
        assert!((3500..=3601).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn the_bodies_of_requests_and_responses_count() {
    let origin = Origin::start().await;
    let proxy = start(ForwardLimits::new().max_bytes_per_client(30_000, HOUR)).await;
    let url = origin.url("/");
    let post = |length: usize| {
        let head = format!("POST {url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        head + &"x".repeat(length)
    };
    // The server sends the body back.
    assert_eq!(proxy.send(&post(10_000)).await.status, 200);
    let mut stream = proxy.connect().await;
    stream.write_all(post(10_000).as_bytes()).await.expect("open");
    let got = String::from_utf8(ends(&mut stream).await).expect("text");
    assert!(got.matches("xx").count() * 2 < 10_000, "the response is not complete");
    assert_eq!(proxy.get(&url, "").await.status, 429);
}

#[tokio::test]
async fn a_renewed_proxy_goes_on_with_the_counts_of_clients() {
    let (port, _) = echo().await;
    let proxy = start(ForwardLimits::new()).await;
    let mut tunnel = open(&proxy, port).await;
    let limits = ForwardLimits::new().max_tunnels_per_client(1);
    let settings = ForwardSettings::new().resolver(names()).limits(limits);
    let renewed = proxy.proxy.renewed([local()], settings);
    assert_eq!((renewed.stats().open_tunnels, renewed.stats().tunnels), (1, 1));
    let request = || {
        let target = format!("app.test:{port}");
        let request = http::Request::connect(&target).header("host", &target).body(String::new());
        let mut request = request.expect("a request");
        request.extensions_mut().insert(equipoise_affinity::source::PeerAddr(([127, 0, 0, 1], 1).into()));
        request
    };
    let refused = tower::Service::call(&mut renewed.clone(), request()).await.expect("never fails");
    assert_eq!(refused.status(), 429);
    echoes(&mut tunnel, "the tunnel stays").await;
    drop(tunnel);
    until(|| renewed.stats().open_tunnels == 0).await;
    assert_eq!(proxy.proxy.stats(), renewed.stats());
}

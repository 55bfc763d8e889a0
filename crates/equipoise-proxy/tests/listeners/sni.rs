use std::{convert::Infallible, net::SocketAddr, time::Duration};

use equipoise_affinity::source::TrustedProxies;
use equipoise_proxy::{
    listen::{Established, Prefixed},
    proxy_protocol::{ProxyHeader, ProxyProtocol, Version},
    server::Server,
    sni::{ClientHello, InvalidHello, SniAcceptor, SniError, SniRouter, SniStats, SniTarget},
};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
};
use tower::service_fn;

use crate::{LONG, bind, connect, exchange};

/// What rustls 0.23.46 with aws-lc-rs sends for `shop.example`, with the protocols h2 and http/1.1. The key share of
/// X25519MLKEM768 does not fit into one segment of TCP.
const ML_KEM: &[u8] = include_bytes!("hello_mlkem.bin");

/// As [`ML_KEM`], with an extension for Encrypted Client Hello.
const ECH: &[u8] = include_bytes!("hello_mlkem_ech.bin");

/// A ClientHello of TLS 1.2 with this server name.
fn hello(name: &str) -> Vec<u8> {
    let vec16 = |bytes: &[u8]| [&u16::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
    let names = vec16(&[&[0][..], &vec16(name.as_bytes())].concat());
    let extensions = vec16(&[&[0, 0][..], &vec16(&names)].concat());
    let content = [&[3, 3][..], &[7; 32], &[0], &vec16(&[0x13, 0x01]), &[1, 0], &extensions].concat();
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    let message = [&[1], &length[1..], &content].concat();
    [&[22, 3, 1][..], &vec16(&message)].concat()
}

/// A target that answers with its name, the name that the client has asked for, and what it has read.
fn target(name: &'static str) -> impl SniTarget<TcpStream> {
    move |mut connection: Established<Prefixed<TcpStream>>| async move {
        let asked = connection.info.server_name().unwrap_or("-").to_owned();
        let mut read = Vec::new();
        connection.io.read_to_end(&mut read).await.expect("open");
        connection.io.write_all(format!("{name} {asked} ").as_bytes()).await.expect("open");
        connection.io.write_all(&read).await.expect("open");
        connection.io.shutdown().await.expect("open");
    }
}

async fn start(router: &SniRouter<TcpStream>) -> SocketAddr {
    let (listener, address) = bind().await;
    tokio::spawn(router.clone().serve(listener));
    address
}

/// Sends bytes in these parts, and returns the answer.
async fn send(address: SocketAddr, parts: &[&[u8]]) -> Vec<u8> {
    let mut client = connect(address).await;
    client.set_nodelay(true).expect("open");
    for part in parts {
        client.write_all(part).await.expect("open");
    }
    client.shutdown().await.expect("open");
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    answer
}

fn stats(stats: SniStats) -> [u64; 6] {
    let SniStats { hellos, other, malformed, timeouts, closed, unrouted, .. } = stats;
    [hellos, other, malformed, timeouts, closed, unrouted]
}

#[test]
fn hellos_of_rustls_are_read() {
    for recorded in [ML_KEM, ECH] {
        assert!(recorded.len() > 1_460, "it fits into one segment of TCP over Ethernet");
        let hello = ClientHello::parse(recorded).expect("valid").expect("complete");
        assert_eq!(hello.server_name(), Some("shop.example"));
        assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        for end in 0..recorded.len() {
            assert_eq!(ClientHello::parse(&recorded[..end]), Ok(None), "{end}");
        }
    }
}

#[tokio::test]
async fn connections_are_routed_by_name_and_their_bytes_are_unchanged() {
    let router = SniRouter::new().host("shop.example", target("shop")).unwrap();
    let router = router.host("*.wiki.example", target("wiki")).unwrap().alpn("acme-tls/1", target("acme")).unwrap();
    let router = router.otherwise(target("other"));
    let address = start(&router).await;
    for (bytes, expected) in [
        (ML_KEM, "shop shop.example "),
        (ECH, "shop shop.example "),
        (&hello("a.b.Wiki.example"), "wiki a.b.wiki.example "),
        (&hello("wiki.example"), "other wiki.example "),
    ] {
        // What the client sends after the hello passes, too.
        let answer = send(address, &[bytes, b"rest"]).await;
        assert_eq!(answer, [expected.as_bytes(), bytes, b"rest"].concat(), "{expected}");
        let middle = bytes.len() / 2;
        let answer = send(address, &[&bytes[..3], &bytes[3..middle], &bytes[middle..], b"rest"]).await;
        assert_eq!(answer, [expected.as_bytes(), bytes, b"rest"].concat(), "{expected}");
    }
    assert_eq!(stats(router.stats()), [8, 0, 0, 0, 0, 0]);
    assert_eq!((router.stats().accepted, router.stats().aborted), (8, 0));
    assert_eq!(router.shutdown(LONG).await, 0);
}

#[tokio::test]
async fn connections_without_a_target_are_closed_and_counted() {
    let router = SniRouter::new().host("shop.example", target("shop")).unwrap();
    let address = start(&router).await;
    assert_eq!(send(address, &[&hello("other.example")]).await, b"");
    assert_eq!(send(address, &[b"GET / HTTP/1.1\r\n\r\n"]).await, b"");
    assert_eq!(send(address, &[&[22, 3, 1, 0, 0]]).await, b"");
    assert_eq!(send(address, &[&ML_KEM[..100]]).await, b"");
    assert_eq!(stats(router.stats()), [1, 1, 1, 0, 1, 2]);
}

#[tokio::test]
async fn what_is_not_tls_goes_to_its_target() {
    let ok = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new("http".to_owned())));
    let router = SniRouter::new().otherwise(target("tls")).not_tls(Server::new(ok)).unnamed(target("unnamed"));
    let address = start(&router).await;
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let response = exchange(&mut connect(address).await, request).await;
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("http"), "{response}");
    assert!(send(address, &[&hello("a")]).await.starts_with(b"tls a "));
    assert_eq!(stats(router.stats()), [1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn routes_are_replaced_while_connections_are_served() {
    let router = SniRouter::new().otherwise(target("old"));
    let address = start(&router).await;
    let mut client = connect(address).await;
    client.write_all(&hello("a")).await.expect("open");
    while router.stats().hellos == 0 {
        tokio::task::yield_now().await;
    }
    router.replace_routes(&SniRouter::new().host("a", target("new")).unwrap());
    assert!(send(address, &[&hello("a")]).await.starts_with(b"new a "));
    assert_eq!(send(address, &[&hello("b")]).await, b"");
    client.shutdown().await.expect("open");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("closed in order");
    assert!(answer.starts_with(b"old a "));
}

/// A proxy in front sends a header before the hello of its client.
#[tokio::test]
async fn a_hello_follows_a_header_of_the_proxy_protocol() {
    let (listener, address) = bind().await;
    let target = |mut connection: Established<Prefixed<Prefixed<TcpStream>>>| async move {
        let known = format!("{:?} {:?} ", connection.peer, connection.info.server_name());
        let mut read = Vec::new();
        connection.io.read_to_end(&mut read).await.expect("open");
        connection.io.write_all(&[known.as_bytes(), &read].concat()).await.expect("open");
    };
    let router = SniRouter::new().host("shop.example", target).unwrap();
    tokio::spawn(router.serve(ProxyProtocol::new(listener, TrustedProxies::loopback())));
    let header = ProxyHeader::proxied(([203, 0, 113, 9], 7).into(), ([192, 0, 2, 1], 443).into()).encode(Version::V2);
    let bytes = [&header, ML_KEM, b"rest"].concat();
    let expected = [&b"Some(203.0.113.9:7) Some(\"shop.example\") "[..], ML_KEM, b"rest"].concat();
    assert_eq!(send(address, &[&bytes]).await, expected);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(send(address, &single).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_does_not_end_is_not_waited_for() {
    let acceptor = SniAcceptor::new();
    for begin in [&b""[..], &ML_KEM[..1_000]] {
        let (mut client, server) = duplex(4096);
        client.write_all(begin).await.expect("open");
        let begun = tokio::time::Instant::now();
        let error = acceptor.accept(Established::new(server)).await.expect_err("no hello");
        assert!(matches!(error, SniError::TimedOut { timeout } if timeout == Duration::from_secs(5)), "{error}");
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
    assert_eq!(stats(acceptor.stats()), [0, 0, 0, 2, 0, 0]);
}

#[tokio::test]
async fn a_client_cannot_make_it_read_for_ever() {
    let (mut client, server) = duplex(1 << 20);
    // Records of one byte, of a message that is allowed to be that long.
    let message = [&[1, 0, 0x3f, 0][..], &[0; 16_000]].concat();
    let records: Vec<u8> = message.iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    client.write_all(&records).await.expect("open");
    let error = SniAcceptor::new().accept(Established::new(server)).await.expect_err("too long");
    assert!(matches!(error, SniError::Malformed(InvalidHello::TooLong { .. })), "{error}");
}

#[tokio::test]
async fn the_shutdown_waits_for_connections_and_then_aborts_them() {
    let router = SniRouter::new().otherwise(target("other")).max_connections(10);
    let address = start(&router).await;
    let mut client = connect(address).await;
    client.write_all(&hello("a")).await.expect("open");
    while router.stats().hellos == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(router.open(), 1);
    let shutdown = tokio::spawn(router.shutdown(LONG));
    client.write_all(b"rest").await.expect("open");
    client.shutdown().await.expect("open");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("closed in order");
    assert!(answer.ends_with(b"rest"));
    assert_eq!(shutdown.await.expect("no panic"), 0);

    let router = SniRouter::new().otherwise(target("other"));
    let address = start(&router).await;
    let mut client = connect(address).await;
    client.write_all(&hello("a")).await.expect("open");
    while router.stats().hellos == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(router.shutdown(Duration::ZERO).await, 1);
    assert_eq!(exchange(&mut client, b"").await, "");
}

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use equipoise_affinity::source::{PeerAddr, TrustedProxies};
use equipoise_proxy::{
    headers::ConnectionInfo,
    listen::{Established, Listener, Tcp},
    proxy_protocol::{
        HeaderError, InvalidProxyHeader, ProxyAcceptor, ProxyHeader, ProxyProtocol, ProxyProtocolStats, Ssl, Version,
        kind, request_header,
    },
    server::Server,
};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
};
use tower::service_fn;

use crate::{LONG, bind, connect, exchange};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn header() -> ProxyHeader {
    ProxyHeader::proxied(address("203.0.113.9:40312"), address("192.0.2.1:443"))
}

/// Answers with what is known of the connection: the client, the address that it asked for, and the proxy.
fn known(request: &Request<Incoming>) -> String {
    let peer = request.extensions().get::<PeerAddr>().map_or("unknown".to_owned(), |peer| peer.0.to_string());
    let info = request.extensions().get::<ConnectionInfo>().expect("always there");
    let local = info.local_addr().expect("a local address");
    let is_local = info.proxy_header().map(ProxyHeader::is_local);
    format!("{peer} {local} {} {:?} {is_local:?} {}", info.proxy_addr().is_some(), info.server_name(), info.is_tls())
}

/// Starts a server behind a listener for the PROXY protocol.
async fn start(acceptor: &ProxyAcceptor) -> (SocketAddr, impl Future<Output = usize>) {
    let service = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(Response::new(known(&request))));
    let server = Server::new(service);
    let (listener, address) = bind().await;
    tokio::spawn(server.clone().serve(ProxyProtocol::with_acceptor(listener, acceptor.clone())));
    (address, async move { server.shutdown(LONG).await })
}

fn trusting_all() -> ProxyAcceptor {
    ProxyAcceptor::new(TrustedProxies::loopback()).header_timeout(LONG).trust_unknown(true)
}

fn stats(acceptor: &ProxyAcceptor) -> [u64; 5] {
    let ProxyProtocolStats { accepted, malformed, timeouts, untrusted, closed, .. } = acceptor.stats();
    [accepted, malformed, timeouts, untrusted, closed]
}

#[tokio::test]
async fn requests_have_the_addresses_of_the_header() {
    let acceptor = trusting_all();
    let (address, shutdown) = start(&acceptor).await;
    let named = header().tlv(kind::AUTHORITY, b"Shop.Example").and_then(|header| header.ssl_tlv(&Ssl::new()));
    for (header, version, name) in [
        (header(), Version::V1, "None"),
        (header(), Version::V2, "None"),
        (named.expect("short"), Version::V2, "Some(\"shop.example\")"),
    ] {
        let mut client = connect(address).await;
        let response = exchange(&mut client, &[&header.encode(version), GET].concat()).await;
        let expected = format!("203.0.113.9:40312 192.0.2.1:443 true {name} Some(false) false");
        assert!(response.ends_with(&expected), "{response}");
    }
    assert_eq!((stats(&acceptor), shutdown.await), ([3, 0, 0, 0, 0], 0));
}

#[tokio::test]
async fn a_header_without_addresses_leaves_those_of_the_connection() {
    let acceptor = trusting_all();
    let (address, _) = start(&acceptor).await;
    for (header, version, is_local) in [
        (ProxyHeader::local(), Version::V2, true),
        (ProxyHeader::unknown(), Version::V2, false),
        (ProxyHeader::unknown(), Version::V1, false),
    ] {
        let mut client = connect(address).await;
        // The proxy may be trusted to write fields about its clients. This client, of which it tells nothing, is not.
        let peer = if is_local { client.local_addr().expect("connected").to_string() } else { "unknown".to_owned() };
        let response = exchange(&mut client, &[&header.encode(version), GET].concat()).await;
        assert!(response.ends_with(&format!("{peer} {address} true None Some({is_local}) false")), "{response}");
    }
}

#[tokio::test]
async fn a_header_may_arrive_in_parts_of_any_size() {
    let header = header().tlv(0xEA, &[7; 3_000]).expect("short").encode(Version::V2);
    let bytes = [&header, GET].concat();
    for size in [1, 13, 600, bytes.len()] {
        // The buffer is not larger than a part.
        let (mut client, server) = duplex(size);
        let sends = async {
            client.write_all(&bytes).await.expect("open");
            client.shutdown().await.expect("open");
        };
        let reads = async {
            let mut accepted = trusting_all().accept(Established::new(server)).await.expect("a header");
            assert_eq!(accepted.peer, Some(address("203.0.113.9:40312")));
            assert_eq!(accepted.info.proxy_header().and_then(|header| header.value(0xEA)), Some(&[7; 3_000][..]));
            let mut rest = Vec::new();
            accepted.io.read_to_end(&mut rest).await.expect("open");
            assert_eq!(rest, GET);
        };
        tokio::join!(sends, reads);
    }
}

#[tokio::test]
async fn connections_without_a_valid_header_are_closed() {
    let acceptor = trusting_all();
    let (address, _) = start(&acceptor).await;
    for bytes in [GET, b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", b"\r\n\r\n\0\r\nQUIT\n\x22"] {
        assert_eq!(exchange(&mut connect(address).await, bytes).await, "");
    }
    assert_eq!(stats(&acceptor), [0, 3, 0, 0, 0]);
    let (mut client, server) = duplex(64);
    client.write_all(b"PROXY TCP4 1").await.expect("open");
    drop(client);
    assert!(matches!(acceptor.accept(Established::new(server)).await, Err(HeaderError::Closed)));
    assert_eq!(stats(&acceptor), [0, 3, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_is_not_waited_for() {
    let acceptor = ProxyAcceptor::new(TrustedProxies::none()).trust_unknown(true);
    for begin in [&b""[..], b"PROXY TCP4 1"] {
        let (mut client, server) = duplex(64);
        client.write_all(begin).await.expect("open");
        let begun = tokio::time::Instant::now();
        let error = acceptor.accept(Established::new(server)).await.expect_err("no header");
        assert!(matches!(error, HeaderError::TimedOut { timeout } if timeout == Duration::from_secs(5)), "{error}");
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
    assert_eq!(stats(&acceptor), [0, 0, 2, 0, 0]);
}

#[tokio::test]
async fn a_peer_that_sends_nothing_holds_up_no_other() {
    let acceptor = trusting_all();
    let (address, _) = start(&acceptor).await;
    let _silent = (connect(address).await, connect(address).await);
    let response = exchange(&mut connect(address).await, &[&header().encode(Version::V1), GET].concat()).await;
    assert!(response.contains("203.0.113.9"), "{response}");
}

#[tokio::test]
async fn peers_that_are_not_trusted_are_closed_or_served_as_they_are() {
    let acceptor = ProxyAcceptor::new(TrustedProxies::private());
    let (address, _) = start(&acceptor).await;
    assert_eq!(exchange(&mut connect(address).await, &header().encode(Version::V1)).await, "");
    assert_eq!(stats(&acceptor), [0, 0, 0, 1, 0]);
    let acceptor = acceptor.serve_untrusted(true);
    let (address, _) = start(&acceptor).await;
    let mut client = connect(address).await;
    let peer = client.local_addr().expect("connected");
    let response = exchange(&mut client, GET).await;
    assert!(response.ends_with(&format!("{peer} {address} false None None false")), "{response}");
    // The header is not believed: it is a malformed request.
    let response = exchange(&mut connect(address).await, &[&header().encode(Version::V1), GET].concat()).await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert_eq!(stats(&acceptor), [0, 0, 0, 3, 0]);
}

#[tokio::test]
async fn a_peer_without_a_known_address_is_not_trusted_unasked() {
    let (mut client, server) = duplex(64);
    client.write_all(&header().encode(Version::V1)).await.expect("open");
    let acceptor = ProxyAcceptor::new(TrustedProxies::loopback());
    let error = acceptor.accept(Established::new(server)).await.expect_err("no address");
    assert!(matches!(error, HeaderError::Untrusted { peer: None }), "{error}");
    assert_eq!(stats(&acceptor), [0, 0, 0, 1, 0]);
}

#[tokio::test]
async fn addresses_in_ipv6_form_count_as_ipv4() {
    let (mut client, server) = duplex(128);
    client.write_all(b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 7 443\r\n").await.expect("open");
    let connection = Established::new(server).peer(address("[::ffff:127.0.0.1]:7"));
    let connection = trusting_all().trust_unknown(false).accept(connection).await.expect("a trusted peer");
    assert_eq!(connection.peer, Some(address("203.0.113.9:7")));
    assert_eq!(connection.info.local_addr(), Some(address("192.0.2.1:443")));
}

#[tokio::test]
async fn the_header_of_a_datagram_begins_no_connection() {
    let (mut client, server) = duplex(128);
    let datagram = ProxyHeader::datagram(address("203.0.113.9:7"), address("192.0.2.1:443"));
    client.write_all(&datagram.encode(Version::V2)).await.expect("open");
    let error = trusting_all().accept(Established::new(server)).await.expect_err("no stream");
    assert!(matches!(error, HeaderError::Malformed(InvalidProxyHeader::Protocol)), "{error}");
}

#[tokio::test]
async fn connections_have_identifiers_if_they_are_asked_for() {
    let (listener, address) = bind().await;
    let mut listener = Tcp::new(listener).unique_ids(true);
    let mut ids = std::collections::HashSet::new();
    for _ in 0..3 {
        let _client = connect(address).await;
        let accepted = listener.accept().await.expect("a connection").established().await.expect("no handshake");
        let id = accepted.info.unique_id().expect("an identifier").to_vec();
        assert!(id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit) && ids.insert(id));
    }
}

#[tokio::test]
async fn a_malformed_header_is_told_from_the_error() {
    let (mut client, server) = duplex(64);
    client.write_all(b"GET / ").await.expect("open");
    let error = trusting_all().accept(Established::new(server)).await.expect_err("no header");
    assert!(matches!(error, HeaderError::Malformed(InvalidProxyHeader::Signature)), "{error}");
}

#[tokio::test]
async fn connections_that_the_system_has_accepted_are_served_at_the_shutdown() {
    let (listener, address) = bind().await;
    let mut client = connect(address).await;
    client.write_all(&header().encode(Version::V1)).await.expect("open");
    let mut listener = ProxyProtocol::with_acceptor(listener, trusting_all());
    let accepted = loop {
        if let Some(accepted) = listener.accept_waiting().expect("it listens") {
            break accepted;
        }
    };
    let connection: Established<_> = accepted.established().await.expect("a header");
    assert_eq!(connection.peer, Some(self::address("203.0.113.9:40312")));
    assert!(listener.accept_waiting().expect("it listens").is_none());
}

#[tokio::test]
async fn the_header_of_a_request_is_that_of_its_connection() {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(format!("{:?}", request_header(request.extensions()))))
    });
    let (listener, address) = bind().await;
    tokio::spawn(Server::new(service).serve(ProxyProtocol::new(listener, TrustedProxies::loopback())));
    let sent = header().tlv(kind::UNIQUE_ID, b"id").expect("short");
    let mut client: TcpStream = connect(address).await;
    let response = exchange(&mut client, &[&sent.encode(Version::V2), GET].concat()).await;
    assert!(response.ends_with(&format!("{sent:?}")), "{response}");
}

#[tokio::test]
async fn other_proxies_can_be_trusted_while_it_serves() {
    let acceptor = trusting_all();
    let (address, _) = start(&acceptor).await;
    let request = [&header().encode(Version::V1), GET].concat();
    acceptor.set_trusted(TrustedProxies::none());
    assert_eq!(exchange(&mut connect(address).await, &request).await, "");
    acceptor.set_trusted(TrustedProxies::loopback());
    assert_ne!(exchange(&mut connect(address).await, &request).await, "");
    assert_eq!(stats(&acceptor), [1, 0, 0, 1, 0]);
}

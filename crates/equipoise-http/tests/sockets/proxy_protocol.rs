//! Connections that begin with a header of the PROXY protocol.

use std::net::SocketAddr;

use bytes::Bytes;
use equipoise_http::{
    CloseReason, Settings, Upstream,
    proxy_protocol::{ProxyHeader, Version},
};
use http::Request;
use http_body_util::Empty;
use tokio::join;
use tower::ServiceExt;

use crate::server::{HALF, HELLO, Peer, Server, get, send, text};

/// The extension of a request: the port of its client.
#[derive(Clone, Copy)]
struct Client(u16);

fn header(extensions: &http::Extensions) -> ProxyHeader {
    let local = SocketAddr::from(([192, 0, 2, 1], 443));
    match extensions.get::<Client>() {
        Some(Client(port)) => ProxyHeader::proxied(([203, 0, 113, 9], *port).into(), local),
        None => ProxyHeader::local(),
    }
}

fn settings() -> Settings {
    Settings::new().proxy_protocol(Version::V1, header)
}

fn of(client: u16) -> Request<Empty<Bytes>> {
    let mut request = get(&format!("/{client}"));
    request.extensions_mut().insert(Client(client));
    request
}

fn line(client: u16) -> String {
    format!("PROXY TCP4 203.0.113.9 192.0.2.1 {client} 443\r\n")
}

/// Accepts a connection, and answers one request on it. Returns its header.
async fn serve(server: &Server) -> (Peer, String) {
    let mut peer = server.accept().await;
    let header = peer.read_until("\r\n").await;
    peer.answer(HELLO).await;
    (peer, header)
}

#[tokio::test]
async fn a_connection_belongs_to_one_client() {
    let (server, upstream) = Server::with_upstream(&settings()).await;
    let ((mut first, begin), response) = join!(serve(&server), send(&upstream, of(1)));
    assert_eq!((begin, response.unwrap().body().as_str()), (line(1), "hello"));
    let ((mut second, begin), response) = join!(serve(&server), send(&upstream, of(2)));
    assert_eq!((begin, response.is_ok()), (line(2), true));
    let ((_third, begin), response) = join!(serve(&server), send(&upstream, get("/")));
    assert_eq!((begin.as_str(), response.is_ok()), ("PROXY UNKNOWN\r\n", true));
    // Each client finds its own connection again, in any order.
    for client in [1, 2, 1] {
        let peer = if client == 1 { &mut first } else { &mut second };
        let (head, response) = join!(peer.answer(HELLO), send(&upstream, of(client)));
        assert!(head.starts_with(&format!("GET /{client} ")) && response.is_ok(), "{head}");
    }
    assert_eq!((upstream.status().opened, upstream.status().idle), (3, 3));
}

#[tokio::test]
async fn a_client_that_waits_gets_the_place_of_an_idle_connection_of_another_one() {
    let (server, upstream) = Server::with_upstream(&settings().max_connections(1)).await;
    let open = async {
        let mut peer = server.accept().await;
        assert_eq!(peer.read_until("\r\n").await, line(1));
        peer.answer(HALF).await;
        peer
    };
    let (mut peer, response) = join!(open, upstream.clone().oneshot(of(1)));
    let mut waits = Box::pin(send(&upstream, of(2)));
    assert!(futures::poll!(&mut waits).is_pending());
    assert_eq!(upstream.status().waiting, 1);
    peer.write(b"other").await;
    assert_eq!(text(response.unwrap().into_body()).await.unwrap(), "firstother");
    let ((_peer, begin), response, sent) = join!(serve(&server), waits, peer.closed());
    assert_eq!((begin, response.is_ok(), sent.as_str()), (line(2), true, ""));
    assert_eq!((upstream.status().open, upstream.status().opened), (1, 2));
}

#[tokio::test]
async fn the_connection_that_has_been_idle_for_longest_makes_room() {
    let (server, upstream) = Server::with_upstream(&settings().max_idle(2)).await;
    let mut peers = Vec::new();
    for client in 1..=3 {
        let ((peer, begin), response) = join!(serve(&server), send(&upstream, of(client)));
        assert!(begin == line(client) && response.is_ok());
        peers.push(peer);
    }
    assert_eq!(peers[0].closed().await, "");
    assert_eq!((upstream.status().idle, upstream.status().closed(CloseReason::TooManyIdle)), (2, 1));
    let (_, response) = join!(peers[2].answer(HELLO), send(&upstream, of(3)));
    assert!(response.is_ok() && upstream.status().opened == 3);
}

#[tokio::test]
async fn a_request_that_is_sent_again_has_the_same_header() {
    let (server, upstream) = Server::with_upstream(&settings()).await;
    let ((peer, _), response) = join!(serve(&server), send(&upstream, of(1)));
    assert!(response.is_ok());
    drop(peer);
    let ((_peer, begin), response) = join!(serve(&server), send(&upstream, of(1)));
    assert_eq!((begin, response.is_ok()), (line(1), true));
}

#[tokio::test]
async fn no_connection_is_opened_for_a_client_that_is_not_known() {
    let (server, upstream) = Server::with_upstream(&settings().prewarm(2)).await;
    let ((_peer, begin), response) = join!(serve(&server), send(&upstream, of(1)));
    assert_eq!((begin, response.is_ok(), upstream.status().open), (line(1), true, 1));
}

/// Starts a server of HTTP/2 that echoes each request's path, and adds the header of its connection.
#[cfg(feature = "http2")]
async fn http2() -> String {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, BufReader};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while !line.ends_with("\r\n") {
                    line.push(stream.read_u8().await.expect("a header").into());
                }
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let text = format!("{} {}", request.uri().path(), line.trim_end());
                    async { Ok::<_, std::convert::Infallible>(http::Response::new(text)) }
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn the_requests_of_a_client_share_an_http2_connection() {
    let settings = settings().version(equipoise_http::Version::Http2);
    let upstream = Upstream::with_settings(&http2().await, &settings).expect("a valid address");
    let requests = (0..30_u16).map(|at| send(&upstream, of(at % 3)));
    for (at, response) in futures::future::join_all(requests).await.into_iter().enumerate() {
        let client = u16::try_from(at % 3).expect("small");
        let expected = format!("/{client} {}", line(client).trim_end());
        assert_eq!(response.expect("a response").body(), &expected);
    }
    assert_eq!((upstream.status().opened, upstream.status().requests), (3, 30));
    // At the limit, a client gets the place of another one's idle connection.
    let upstream = Upstream::with_settings(&http2().await, &settings.max_connections(2)).expect("a valid address");
    for client in [1, 2, 3, 1, 2, 3] {
        let response = send(&upstream, of(client)).await.expect("a response");
        assert!(response.body().ends_with(line(client).trim_end()), "{response:?}");
    }
    assert!(upstream.status().open <= 2);
}

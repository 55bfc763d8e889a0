//! HTTP/2 with prior knowledge, and several connections.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use equipoise_http::{CloseReason, ConnectError, Error, Settings, Upstream, Version};
use equipoise_tower::FailureStage;
use futures::{SinkExt, channel::mpsc};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::{body::Incoming, ext::Protocol, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    join,
    net::TcpListener,
    sync::{Notify, Semaphore},
    time::timeout,
};
use tower::ServiceExt;

use crate::{
    gates::{Gates, Go},
    server::{Server, get, post, send},
};

/// An HTTP/2 server that echoes bodies with their trailers. Each response waits for a permit.
struct Echo {
    address: String,
    /// The connections that were accepted.
    accepted: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

impl Echo {
    async fn start(max_streams: u32, permits: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (accepted, permits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(permits)));
        let echo = Self { address, accepted: Arc::clone(&accepted), permits: Arc::clone(&permits) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let permits = Arc::clone(&permits);
                let service = service_fn(move |request: Request<Incoming>| {
                    let permits = Arc::clone(&permits);
                    async move {
                        permits.acquire().await.expect("an open semaphore").forget();
                        let named = request.uri().to_string();
                        Ok::<_, Infallible>(
                            Response::builder().header("x-uri", named).body(request.into_body()).expect("valid"),
                        )
                    }
                });
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(max_streams);
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        echo
    }

    fn upstream(&self, settings: Settings) -> Upstream {
        Upstream::with_settings(&self.address, &settings.version(Version::Http2)).expect("a valid address")
    }
}

#[tokio::test]
async fn requests_share_a_connection_and_trailers_pass() {
    let server = Echo::start(100, 100).await;
    let upstream = server.upstream(Settings::new());
    let mut request = get("/a?b");
    request.headers_mut().insert("host", http::HeaderValue::from_static("orders"));
    let (first, second) = join!(send(&upstream, request), send(&upstream, post("http://shop/", "body")));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.headers()["x-uri"], "http://orders/a?b");
    assert_eq!((second.body().as_str(), &second.headers()["x-uri"]), ("body", &"http://shop/".parse().unwrap()));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("7"));
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from("hi"))), Ok(Frame::trailers(trailers.clone()))];
    let request = Request::post("/").body(StreamBody::new(futures::stream::iter(frames))).unwrap();
    let body = upstream.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!((body.trailers(), upstream.status().opened), (Some(&trailers), 1));
}

#[tokio::test]
async fn another_connection_is_opened_before_the_last_one_is_full() {
    let server = Echo::start(8, 0).await;
    let upstream = server.upstream(Settings::new());
    let all = futures::future::join_all((0..20).map(|_| send(&upstream, get("/"))));
    let release = async {
        // All of them are at the server only if it has accepted enough connections.
        while upstream.status().requests < 20 {
            tokio::task::yield_now().await;
        }
        server.permits.add_permits(20);
    };
    let (responses, ()) = join!(all, release);
    assert!(responses.into_iter().all(|response| response.is_ok()));
    assert_eq!(server.accepted.load(Ordering::SeqCst), 3);
    assert_eq!(upstream.status().waiting, 0);
}

#[tokio::test]
async fn requests_wait_for_a_stream_if_no_connection_may_be_opened() {
    let server = Echo::start(2, 0).await;
    let upstream = server.upstream(Settings::new().max_connections(1));
    let all = futures::future::join_all((0..6).map(|_| send(&upstream, get("/"))));
    let release = async {
        while upstream.status().waiting < 4 {
            tokio::task::yield_now().await;
        }
        server.permits.add_permits(6);
    };
    let (responses, ()) = join!(all, release);
    assert!(responses.into_iter().all(|response| response.is_ok()));
    assert_eq!((server.accepted.load(Ordering::SeqCst), upstream.status().opened), (1, 1));
}

#[tokio::test]
async fn requests_get_streams_in_order_and_those_given_up_take_none() {
    let server = Echo::start(1, 0).await;
    let upstream = server.upstream(Settings::new().max_connections(1));
    let served = std::cell::RefCell::new(Vec::new());
    let mut requests: Vec<_> = (0..6)
        .map(|at| {
            let (upstream, served) = (&upstream, &served);
            Some(Box::pin(async move {
                send(upstream, get("/")).await.expect("a response");
                served.borrow_mut().push(at);
            }))
        })
        .collect();
    for request in requests.iter_mut().flatten() {
        assert!(futures::poll!(request).is_pending());
    }
    requests[2] = None;
    server.permits.add_permits(6);
    // The last one is polled first.
    futures::future::join_all(requests.into_iter().flatten().rev()).await;
    assert_eq!((served.into_inner(), upstream.status().waiting), (vec![0, 1, 3, 4, 5], 0));
}

#[tokio::test]
async fn without_a_queue_requests_share_the_connection_that_is_opened_for_them() {
    let server = Echo::start(100, 100).await;
    let upstream = server.upstream(Settings::new().max_waiting(0));
    let responses = futures::future::join_all((0..10).map(|_| send(&upstream, get("/")))).await;
    assert!(responses.into_iter().all(|response| response.is_ok()));
    assert_eq!(upstream.status().opened, 1);
}

#[tokio::test]
async fn without_a_queue_as_many_connections_are_opened_as_the_requests_need() {
    let server = Echo::start(100, 100).await;
    let upstream = server.upstream(Settings::new().max_waiting(0).max_streams(2));
    let responses = futures::future::join_all((0..6).map(|_| send(&upstream, get("/")))).await;
    assert!(responses.into_iter().all(|response| response.is_ok()));
    assert!((3..=4).contains(&upstream.status().opened), "{:?}", upstream.status());
}

#[tokio::test]
async fn the_number_of_connections_follows_the_limit_of_the_server() {
    let server = Echo::start(2, 0).await;
    let gates = Gates::new(&server.address);
    let settings = Settings::new().version(Version::Http2).resolver(gates.clone());
    let upstream = Upstream::with_settings("orders.test:80", &settings).unwrap();
    let all = futures::future::join_all((0..8).map(|_| send(&upstream, get("/"))));
    let go = async {
        gates.reach(1).await;
        gates.open(Go::On);
        // Two requests have got the first connection. The others need three.
        timeout(Duration::from_secs(10), gates.reach(3)).await.expect("three attempts at once");
        (0..3).for_each(|_| assert!(gates.open(Go::On)));
        server.permits.add_permits(8);
    };
    let (responses, ()) = join!(all, go);
    assert!(responses.into_iter().all(|response| response.is_ok()));
}

#[tokio::test]
async fn a_limit_that_the_server_raises_is_used_by_requests_that_wait() {
    let settings = Settings::new().version(Version::Http2).max_connections(1);
    let (server, upstream) = Server::with_upstream(&settings).await;
    let serve = async {
        let mut peer = server.accept().await;
        // SETTINGS with a maximum of 1 stream, and later of 2.
        peer.write(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x01").await;
        peer.read_bytes_until(b"\x01\x05\0\0\0\x01").await;
        while upstream.status().waiting < 1 {
            tokio::task::yield_now().await;
        }
        peer.write(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x02").await;
        // HEADERS of the second stream.
        timeout(Duration::from_secs(10), peer.read_bytes_until(b"\x01\x05\0\0\0\x03")).await.expect("a request");
    };
    tokio::select! {
        () = serve => {}
        _ = async { join!(send(&upstream, get("/")), send(&upstream, get("/"))) } => panic!("no response was sent"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_never_carries_more_than_its_maximum_of_requests() {
    const MAX: usize = 3;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings::new().version(Version::Http2).max_requests(MAX as u64).max_connections(8);
    let upstream = Upstream::with_settings(&listener.local_addr().unwrap().to_string(), &settings).unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (requests, seen) = (AtomicUsize::new(0), Arc::clone(&seen));
            let service = service_fn(move |_: Request<Incoming>| {
                seen.fetch_max(requests.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    let client = |upstream: Upstream| async move {
        for _ in 0..100 {
            send(&upstream, get("/")).await.expect("a response");
        }
    };
    let clients: Vec<_> = (0..16).map(|_| tokio::spawn(client(upstream.clone()))).collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), MAX);
}

#[tokio::test]
async fn closing_ends_the_connection_when_its_requests_have_ended() {
    let server = Echo::start(100, 0).await;
    let upstream = server.upstream(Settings::new());
    let request = send(&upstream, post("/", "body"));
    let close = async {
        while upstream.status().requests < 1 {
            tokio::task::yield_now().await;
        }
        upstream.close();
        server.permits.add_permits(1);
    };
    let (response, ()) = join!(request, close);
    assert_eq!(response.unwrap().body(), "body");
    while upstream.status().open > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.status().closed(CloseReason::Removed), 1);
}

#[tokio::test]
async fn a_server_without_http2_is_an_error_of_connecting() {
    let settings = Settings::new().version(Version::Http2);
    let (server, upstream) = Server::with_upstream(&settings).await;
    let serve = async {
        let mut peer = server.accept().await;
        peer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
        peer.closed_bytes().await;
    };
    let (response, ()) = join!(send(&upstream, get("/")), serve);
    let error = response.unwrap_err();
    assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
    assert!(matches!(error.connect_error(), Some(ConnectError::Handshake { .. })), "{error:?}");
    assert_eq!((upstream.status().opened, upstream.status().failed), (0, 1));
}

/// Starts a server with CONNECT and, if `is_extended`, extended CONNECT. A tunnel echoes what it gets. Other requests
/// get an empty response.
async fn tunnels(is_extended: bool) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|mut request: Request<Incoming>| async move {
                if request.method() == Method::CONNECT {
                    let upgrade = hyper::upgrade::on(&mut request);
                    tokio::spawn(async move {
                        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgrade.await.expect("a tunnel")));
                        tokio::io::copy(&mut reader, &mut writer).await
                    });
                }
                let protocol = request.extensions().get::<Protocol>().map_or("none", Protocol::as_str);
                let named = format!("{} {protocol}", request.uri());
                Response::builder().header("x-target", named).body(Empty::<Bytes>::new())
            });
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            if is_extended {
                builder.enable_connect_protocol();
            }
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    Upstream::with_settings(&address, &Settings::new().version(Version::Http2)).expect("a valid address")
}

async fn echo(tunnel: &mut TokioIo<Upgraded>) {
    tunnel.write_all(b"ping").await.expect("an open tunnel");
    let mut read = [0; 4];
    tunnel.read_exact(&mut read).await.expect("an open tunnel");
    assert_eq!(&read, b"ping");
}

fn websocket() -> Request<Empty<Bytes>> {
    let mut request = Request::connect("http://shop/chat").body(Empty::new()).expect("a valid request");
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request
}

#[tokio::test]
async fn connect_and_extended_connect_give_a_stream_of_bytes() {
    let upstream = tunnels(true).await;
    let connect = Request::connect("db.test:5432").body(Empty::<Bytes>::new()).unwrap();
    for (request, target) in [(connect, "db.test:5432 none"), (websocket(), "http://shop/chat websocket")] {
        let response = upstream.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["x-target"], target);
        let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        echo(&mut tunnel).await;
        // Its connection has no other requests, and stays open as long as the tunnel.
        let opened = upstream.status().opened;
        send(&upstream, get("/")).await.unwrap();
        assert_eq!((upstream.status().opened, upstream.status().open), (opened + 1, 2));
        echo(&mut tunnel).await;
        drop(tunnel);
        upstream.close();
        while upstream.status().open > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(upstream.status().closed(CloseReason::Tunnel), 2);
}

#[tokio::test]
async fn extended_connect_is_refused_if_the_server_does_not_accept_it() {
    let upstream = tunnels(false).await;
    let error = send(&upstream, websocket()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
    assert_eq!(FailureStage::of(&error), FailureStage::Caller);
}

/// Starts a server that says GOAWAY on each connection after 20 requests, while further ones arrive. Returns its
/// address.
async fn leaving() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let leave = Arc::new(Notify::new());
            let (requests, told) = (AtomicUsize::new(0), Arc::clone(&leave));
            let service = service_fn(move |_: Request<Incoming>| {
                if requests.fetch_add(1, Ordering::SeqCst) == 20 {
                    told.notify_one();
                }
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello")))) }
            });
            tokio::spawn(async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = leave.notified() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_goaway_under_load_cost_no_error() {
    let upstream = Upstream::with_settings(&leaving().await, &Settings::new().version(Version::Http2)).unwrap();
    let client = |upstream: Upstream| async move {
        for _ in 0..100 {
            assert_eq!(send(&upstream, get("/")).await.expect("a response").body(), "hello");
        }
    };
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(client(upstream.clone()))).collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(upstream.status().closed(CloseReason::Peer) >= 10, "{:?}", upstream.status());
}

#[tokio::test]
async fn a_request_that_goaway_has_refused_goes_to_another_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new().version(Version::Http2)).await;
    let serve = async {
        let mut peer = server.accept().await;
        // SETTINGS, and later GOAWAY with 0 as the last stream.
        peer.write(b"\0\0\0\x04\0\0\0\0\0").await;
        // The first stream of a client has the number 1. Its HEADERS have flags for the end of the head and the stream.
        peer.read_bytes_until(b"\x01\x05\0\0\0\x01").await;
        peer.write(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0").await;
        let other = server.accept().await.into_inner();
        let service = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(other), service));
        peer
    };
    let (_peer, response) = join!(serve, send(&upstream, get("/")));
    assert_eq!((response.unwrap().body().as_str(), upstream.status().opened), ("hello", 2));
}

#[tokio::test]
async fn the_head_of_a_response_has_a_maximum_size() {
    for (max, is_accepted) in [(64 * 1024, true), (0, false)] {
        let settings = Settings::new().version(Version::Http2).max_response_head(max).stream_window(0);
        let (server, upstream) = Server::with_upstream(&settings).await;
        let serve = async {
            let service = service_fn(|_: Request<Incoming>| async {
                Response::builder().header("x-long", "a".repeat(20 * 1024)).body(Full::<Bytes>::from("hello"))
            });
            let stream = TokioIo::new(server.accept().await.into_inner());
            let _ =
                hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
        };
        let response = tokio::select! {
            response = send(&upstream, get("/")) => response,
            () = serve => panic!("the client has not read the response"),
        };
        assert_eq!(response.is_ok(), is_accepted, "{response:?}");
    }
}

/// An empty SETTINGS frame.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// The number of the first stream of a client.
const FIRST: u8 = 1;

/// A response without a body: HEADERS with the status 200, and the end of the stream.
fn response(stream: u8) -> [u8; 10] {
    [0, 0, 1, 1, 5, 0, 0, 0, stream, 0x88]
}

#[tokio::test]
async fn connections_that_have_said_goaway_get_no_more_requests_while_old_streams_last() {
    const CONNECTIONS: usize = 6;
    const STREAMS: u8 = 16;
    const LAST: u8 = 2 * STREAMS - 1;
    let settings = Settings::new().version(Version::Http2).max_streams(STREAMS.into());
    let (server, upstream) = Server::with_upstream(&settings).await;
    let old = futures::future::join_all((0..CONNECTIONS * usize::from(STREAMS)).map(|_| send(&upstream, get("/old"))));
    let mut old = std::pin::pin!(old);
    let leave = async {
        let mut peers = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut peer = server.accept().await;
            peer.write(SETTINGS).await;
            peers.push(peer);
        }
        for peer in &mut peers {
            // HEADERS of the last stream.
            peer.read_bytes_until(&[1, 5, 0, 0, 0, LAST]).await;
        }
        for peer in &mut peers {
            for stream in (FIRST..LAST).step_by(2) {
                peer.write(&response(stream)).await;
            }
        }
        server.event().await;
        for peer in &mut peers {
            // GOAWAY, after which the last stream is served.
            peer.write(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, LAST, 0, 0, 0, 0]).await;
        }
        server.event().await;
        peers
    };
    let _peers = tokio::select! {
        peers = leave => peers,
        _ = &mut old => panic!("streams without a response"),
    };
    let answer = async {
        let mut peer = server.accept().await;
        peer.write(SETTINGS).await;
        peer.read_bytes_until(b"\x01\x05\0\0\0\x01").await;
        peer.write(&response(FIRST)).await;
        peer
    };
    let new = async { join!(answer, send(&upstream, get("/new"))) };
    let (_peer, got) = tokio::select! {
        new = timeout(Duration::from_secs(10), new) => new.expect("a connection"),
        _ = &mut old => panic!("streams without a response"),
    };
    assert_eq!((got.unwrap().status().as_u16(), upstream.status().open), (200, CONNECTIONS + 1));
}

#[tokio::test]
async fn a_stream_counts_until_its_request_is_sent() {
    let settings = Settings::new().version(Version::Http2).max_streams(1).max_connections(1);
    let (server, upstream) = Server::with_upstream(&settings).await;
    let (mut sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let request = Request::post("/").body(StreamBody::new(receiver)).unwrap();
    let answer = async {
        let mut peer = server.accept().await;
        peer.write(SETTINGS).await;
        peer.read_bytes_until(b"\x01\x04\0\0\0\x01").await;
        peer.write(&response(FIRST)).await;
        peer
    };
    let (mut peer, response) = join!(answer, send(&upstream, request));
    assert_eq!(response.unwrap().status(), 200);
    let mut next = Box::pin(send(&upstream, get("/")));
    assert!(futures::poll!(&mut next).is_pending());
    assert_eq!(upstream.status().waiting, 1);
    sender.send(Ok(Frame::data(Bytes::from("end")))).await.unwrap();
    drop(sender);
    let next_arrives = timeout(Duration::from_secs(10), peer.read_bytes_until(b"\x01\x05\0\0\0\x03"));
    tokio::select! {
        arrived = next_arrives => drop(arrived.expect("the next request")),
        _ = &mut next => panic!("no response was sent"),
    }
}

#[tokio::test]
async fn a_connection_ends_after_its_maximum_of_requests() {
    let server = Echo::start(100, 100).await;
    let upstream = server.upstream(Settings::new().max_requests(2));
    for _ in 0..4 {
        assert_eq!(send(&upstream, post("/", "body")).await.unwrap().body(), "body");
    }
    while upstream.status().closed(CloseReason::MaxRequests) < 2 {
        tokio::task::yield_now().await;
    }
    // The next connection is opened before a request needs it.
    assert!(matches!(upstream.status().opened, 2 | 3));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_ends_after_the_idle_timeout() {
    let server = Echo::start(100, 100).await;
    let upstream = server.upstream(Settings::new().idle_timeout(Duration::from_secs(8)));
    let begun = tokio::time::Instant::now();
    assert_eq!(send(&upstream, post("/", "body")).await.unwrap().body(), "body");
    // The paused clock advances from one timer to the next.
    while upstream.status().open > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = begun.elapsed().as_secs();
    assert!((8..11).contains(&took) && upstream.status().closed(CloseReason::IdleTimeout) == 1, "{took}");
}

//! The balanced client.

use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use equipoise_http::{CloseReason, HttpClient, Upstream};
use equipoise_tower::{Balance, ServedBy};
use http_body_util::BodyExt;
use tokio::join;

use crate::server::{EMPTY, HALF, HELLO, Server, get, post};

fn pool_of<const N: usize>(addresses: [String; N]) -> Pool<Upstream> {
    let pool = Pool::new(RoundRobin);
    pool.try_update(addresses.map(EndpointSpec::new), |spec| Upstream::new(spec.address())).expect("valid addresses");
    pool
}

#[tokio::test]
async fn a_request_goes_to_another_endpoint_if_one_does_not_accept_it() {
    let (gone, server) = (Server::start().await.address(), Server::start().await);
    let client = HttpClient::new(pool_of([gone.clone(), server.address()]));
    for _ in 0..2 {
        let serve = async {
            let mut peer = server.accept().await;
            peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await
        };
        let (_, response) = join!(serve, client.call(post("/orders", "body")));
        let response = response.unwrap();
        assert_eq!(response.extensions().get::<ServedBy>().unwrap().0.as_str(), server.address());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
}

#[tokio::test]
async fn an_endpoint_that_leaves_closes_its_idle_connections_while_a_request_lasts() {
    let server = Server::start().await;
    let client = HttpClient::new(pool_of([server.address()]));
    let serve = async {
        let mut busy = server.accept().await;
        busy.answer(HALF).await;
        busy
    };
    let (mut busy, response) = join!(serve, client.get("/"));
    let serve = async {
        let mut idle = server.accept().await;
        idle.answer(EMPTY).await;
        idle
    };
    let (mut idle, other) = join!(serve, client.call(get("/")));
    assert!(other.is_ok());
    let upstream = client.pool().pick(&Default::default()).unwrap().target().clone();
    client.pool().update([], |_| unreachable!("no endpoint joins")).unwrap();
    idle.closed().await;
    busy.write(b"other").await;
    assert_eq!(response.unwrap().into_body().collect().await.unwrap().to_bytes(), "firstother");
    busy.closed().await;
    assert_eq!(upstream.status().closed(CloseReason::Removed), 2);
}

#[tokio::test]
async fn a_broken_response_is_a_502() {
    let server = Server::start().await;
    let client = HttpClient::new(pool_of([server.address()]));
    let serve = async { server.accept().await.answer(b"nonsense\r\n\r\n").await };
    let (_, response) = join!(serve, client.get("/"));
    assert_eq!(response.unwrap_err().status(), 502);
}

#[tokio::test]
async fn a_bad_uri_is_the_callers_error() {
    let client = HttpClient::new(pool_of([Server::start().await.address()]));
    assert_eq!(client.get("no uri").await.unwrap_err().status(), 400);
    assert_eq!(client.get("users").await.unwrap_err().status(), 400);
}

#[tokio::test]
async fn the_body_of_a_server_is_passed_on_as_it_is() {
    use hyper::{body::Incoming, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    let server = Server::start().await;
    let client = HttpClient::new(pool_of([server.address()]));
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = proxy.accept().await.unwrap();
        let service = service_fn(move |request: http::Request<Incoming>| client.call(request));
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /a HTTP/1.1\r\nhost: shop\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody")
        .await
        .unwrap();
    let mut peer = server.accept().await;
    let head = peer.head().await;
    assert!(head.starts_with("POST /a ") && head.contains("host: shop\r\n"), "{head}");
    assert_eq!(peer.read_until("body").await, "body");
    peer.write(HELLO).await;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("hello"), "{response}");
}

#[tokio::test]
async fn any_balancer_over_upstreams_closes_the_connections_of_an_endpoint_that_leaves() {
    let server = Server::start().await;
    let pool = pool_of([server.address()]);
    let serve = server.serve(EMPTY);
    let (mut peer, response) = join!(serve, Balance::new(pool.clone()).oneshot(get("/")));
    assert_eq!(response.unwrap().status(), 204);
    // The lease keeps the upstream alive.
    let lease = pool.pick(&Default::default()).unwrap();
    pool.remove(server.address().as_str()).unwrap();
    peer.closed().await;
    assert_eq!((lease.target().status().idle, lease.target().status().closed(CloseReason::Removed)), (0, 1));
}

#[tokio::test]
async fn an_upstream_that_replaces_itself_keeps_later_connections() {
    let server = Server::start().await;
    let pool = pool_of([server.address()]);
    let client = HttpClient::new(pool.clone());
    let upstream = pool.pick(&Default::default()).unwrap().target().clone();
    pool.replace(EndpointSpec::new(server.address()), upstream.clone()).unwrap();
    let serve = async {
        let mut peer = server.accept().await;
        peer.answer(EMPTY).await;
        peer.answer(EMPTY).await;
        peer
    };
    let request = async {
        for _ in 0..2 {
            assert_eq!(client.get("/").await.unwrap().status(), 204);
        }
    };
    let (_peer, ()) = join!(serve, request);
    assert_eq!((upstream.status().opened, upstream.status().idle), (1, 1));
}

//! The limits on connections, the queue, and the errors of connecting.

use std::{net::SocketAddr, time::Duration};

use equipoise_core::{EndpointSpec, Pool};
use equipoise_http::{Busy, ConnectError, Error, HttpClient, Resolve, ResolveFuture, Settings, Upstream};
use equipoise_tower::FailureStage;
use tokio::join;
use tower::ServiceExt;

use crate::server::{EMPTY, HALF, HELLO, Server, get, send, text};

#[tokio::test]
async fn requests_beyond_the_maximum_wait_for_a_connection_in_order() {
    let (server, upstream) = Server::with_upstream(&Settings::new().max_connections(1)).await;
    let serve = async {
        let mut peer = server.accept().await;
        let mut paths = Vec::new();
        for _ in 0..3 {
            paths.push(peer.answer(HELLO).await.split(' ').nth(1).map(str::to_owned));
        }
        (peer, paths)
    };
    let one = |path| send(&upstream, get(path));
    let ((peer, paths), a, b, c) = join!(serve, one("/a"), one("/b"), one("/c"));
    assert!([a, b, c].into_iter().all(|response| response.unwrap().body() == "hello"));
    assert_eq!(paths.into_iter().flatten().collect::<Vec<_>>(), ["/a", "/b", "/c"]);
    assert_eq!((upstream.status().opened, upstream.status().waiting), (1, 0));
    drop(peer);
}

#[tokio::test]
async fn a_waiting_request_gets_the_place_of_a_connection_that_closes() {
    let (server, upstream) = Server::with_upstream(&Settings::new().max_connections(1)).await;
    let serve = async {
        for _ in 0..2 {
            server.accept().await.answer(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
        }
    };
    let ((), a, b) = join!(serve, send(&upstream, get("/a")), send(&upstream, get("/b")));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(upstream.status().opened, 2);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_its_place_to_the_next() {
    let (server, upstream) = Server::with_upstream(&Settings::new().max_connections(1)).await;
    let serve = server.serve(HALF);
    let (mut peer, response) = join!(serve, upstream.clone().oneshot(get("/a")));
    let mut given_up = Box::pin(upstream.clone().oneshot(get("/b")));
    assert!(futures::poll!(&mut given_up).is_pending());
    let mut next = Box::pin(send(&upstream, get("/c")));
    assert!(futures::poll!(&mut next).is_pending());
    assert_eq!(upstream.status().waiting, 2);
    peer.write(b"other").await;
    assert_eq!(text(response.unwrap().into_body()).await.unwrap(), "firstother");
    // The connection was given to this request already.
    drop(given_up);
    let (head, response) = join!(peer.answer(HELLO), next);
    assert!(head.starts_with("GET /c ") && response.is_ok());
    assert_eq!(upstream.status().opened, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_wait_is_overloaded() {
    let settings = Settings::new().max_connections(1).max_waiting(1).wait_timeout(Duration::from_secs(2));
    let (server, upstream) = Server::with_upstream(&settings).await;
    let serve = server.serve(HALF);
    let (_peer, _response) = join!(serve, upstream.clone().oneshot(get("/a")));
    let (waits, refused) = join!(send(&upstream, get("/b")), send(&upstream, get("/c")));
    let (waits, refused) = (waits.unwrap_err(), refused.unwrap_err());
    assert!(matches!(waits, Error::Busy(Busy::TimedOut { .. }, _)), "{waits:?}");
    assert!(matches!(refused, Error::Busy(Busy::TooManyWaiting { max_waiting: 1 }, _)), "{refused:?}");
    assert_eq!(FailureStage::of(&waits), FailureStage::Overloaded);
}

#[tokio::test]
async fn connections_are_opened_before_they_are_needed() {
    let (server, upstream) = Server::with_upstream(&Settings::new().prewarm(2)).await;
    let (mut one, mut two) = (server.accept().await, server.accept().await);
    while upstream.status().idle < 2 {
        tokio::task::yield_now().await;
    }
    let serve = async {
        tokio::select! {
            _ = one.answer(EMPTY) => {}
            _ = two.answer(EMPTY) => {}
        }
    };
    let ((), response) = join!(serve, send(&upstream, get("/")));
    assert_eq!(response.unwrap().status(), 204);
    assert_eq!(upstream.status().opened, 2);
}

#[tokio::test]
async fn connections_are_not_opened_ahead_again_after_a_close() {
    let (server, upstream) = Server::with_upstream(&Settings::new().prewarm(2)).await;
    let _first = (server.accept().await, server.accept().await);
    while upstream.status().idle < 2 {
        tokio::task::yield_now().await;
    }
    upstream.close();
    let (_peer, response) = join!(server.serve(EMPTY), send(&upstream, get("/")));
    assert_eq!((response.unwrap().status().as_u16(), upstream.status().open), (204, 1));
}

#[tokio::test]
async fn the_head_of_a_response_has_a_maximum_size() {
    let answer = format!("HTTP/1.1 204 No Content\r\nx-long: {}\r\n\r\n", "a".repeat(20 * 1024));
    for (max, is_accepted) in [(64 * 1024, true), (0, false)] {
        let (server, upstream) = Server::with_upstream(&Settings::new().max_response_head(max)).await;
        let (_peer, response) = join!(server.serve(answer.as_bytes()), send(&upstream, get("/")));
        assert_eq!(response.is_ok(), is_accepted, "{response:?}");
        assert!(is_accepted || matches!(response, Err(Error::Exchange(_))), "{response:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_an_error_with_its_address() {
    let address = Server::start().await.address();
    let upstream = Upstream::new(&address).unwrap();
    let error = send(&upstream, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::Tcp { address: of, .. }) if of.to_string() == address));
    assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
    assert_eq!((upstream.status().open, upstream.status().failed), (0, 1));
}

#[derive(Debug)]
pub(crate) struct Known(pub(crate) Vec<SocketAddr>);

impl Resolve for Known {
    fn resolve<'a>(&'a self, host: &'a str, _port: u16) -> ResolveFuture<'a> {
        Box::pin(async move { if host == "orders.test" { Ok(self.0.clone()) } else { Err("not known".into()) } })
    }
}

#[tokio::test]
async fn a_name_is_resolved_and_all_its_addresses_are_tried() {
    let (gone, server) = (Server::start().await.address(), Server::start().await);
    let addresses = [gone, server.address()].map(|address| address.parse().unwrap());
    let settings = Settings::new().resolver(Known(addresses.to_vec()));
    let upstream = Upstream::with_settings("orders.test:80", &settings).unwrap();
    let (head, response) = join!(async { server.accept().await.answer(HELLO).await }, send(&upstream, get("/")));
    assert_eq!(response.unwrap().body(), "hello");
    assert!(head.contains("host: orders.test:80\r\n"), "{head}");
}

#[tokio::test]
async fn a_name_without_addresses_is_a_clear_error() {
    let settings = Settings::new().resolver(Known(Vec::new()));
    let unknown = Upstream::with_settings("elsewhere.test:80", &settings).unwrap();
    let error = send(&unknown, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::Resolve { host, .. }) if host == "elsewhere.test"));
    let empty = Upstream::with_settings("orders.test:80", &settings).unwrap();
    let error = send(&empty, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::NoAddress { .. })));
    assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_told_with_status_503() {
    let settings = Settings::new().resolver(Known(Vec::new()));
    for address in ["elsewhere.test:80", "orders.test:80"] {
        let pool = Pool::default();
        pool.try_update([EndpointSpec::new(address)], |spec| Upstream::with_settings(spec.address(), &settings))
            .unwrap();
        let error = HttpClient::new(pool).get("/").await.unwrap_err();
        assert_eq!(
            (error.status().as_u16(), error.public_message()),
            (503, "the name of the backend cannot be resolved")
        );
    }
}

#[derive(Debug)]
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> ResolveFuture<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_has_a_time_limit() {
    let settings = Settings::new().connect_timeout(Duration::from_secs(3)).resolver(Silent);
    let upstream = Upstream::with_settings("orders.test:80", &settings).unwrap();
    let begun = tokio::time::Instant::now();
    let error = send(&upstream, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::TimedOut { .. })), "{error:?}");
    assert_eq!((begun.elapsed().as_secs(), upstream.status().open), (3, 0));
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_an_address() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = std::env::temp_dir().join(format!("equipoise-http-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 1024];
        let read = stream.read(&mut head).await.unwrap();
        stream.write_all(HELLO).await.unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    };
    let upstream = Upstream::new(&format!("unix:{}", path.display())).unwrap();
    let (head, response) = join!(serve, send(&upstream, get("/")));
    assert_eq!(response.unwrap().body(), "hello");
    assert!(head.contains("host: localhost\r\n"), "{head}");
    std::fs::remove_dir_all(&folder).unwrap();
    let fresh = Upstream::new(&format!("unix:{}", path.display())).unwrap();
    let error = send(&fresh, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::Unix { .. })), "{error:?}");
}

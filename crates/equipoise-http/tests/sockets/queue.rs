//! Requests that wait, and connections that belong to no request yet.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use equipoise_http::{Busy, CloseReason, ConnectError, Error, Resolve, ResolveFuture, Settings, Upstream};
use equipoise_tower::FailureStage;
use futures::FutureExt;
use tokio::join;
use tower::ServiceExt;

use crate::server::{EMPTY, HALF, HELLO, Server, get, post, send, text};

/// Resolves a name once. Later resolutions do not end.
#[derive(Debug)]
struct Once(SocketAddr, AtomicBool);

impl Resolve for Once {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> ResolveFuture<'a> {
        Box::pin(async move {
            if self.1.swap(true, Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Ok(vec![self.0])
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_timeout_includes_the_time_to_open_a_connection_in_a_freed_slot() {
    let server = Server::start().await;
    let settings = Settings::new().max_connections(1).wait_timeout(Duration::from_secs(2));
    let settings = settings.connect_timeout(Duration::from_secs(60));
    let settings = settings.resolver(Once(server.address().parse().unwrap(), AtomicBool::new(false)));
    let upstream = Upstream::with_settings("orders.test:80", &settings).unwrap();
    let serve = server.serve(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfirst");
    let (peer, first) = join!(serve, upstream.clone().oneshot(get("/a")));
    let mut waits = Box::pin(send(&upstream, get("/b")));
    assert!(futures::poll!(&mut waits).is_pending());
    let begun = tokio::time::Instant::now();
    drop(peer);
    assert_eq!(text(first.unwrap().into_body()).await.unwrap(), "first");
    let error = waits.await.unwrap_err();
    assert!(matches!(error, Error::Busy(Busy::TimedOut { .. }, _)), "{error:?}");
    assert_eq!((begun.elapsed().as_secs(), upstream.status().waiting), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_wait_timeout_of_a_request_that_is_sent_again_goes_on() {
    let server = Server::start().await;
    let settings = Settings::new().max_connections(1).wait_timeout(Duration::from_secs(2));
    let settings = settings.connect_timeout(Duration::from_secs(60));
    let settings = settings.resolver(Once(server.address().parse().unwrap(), AtomicBool::new(false)));
    let upstream = Upstream::with_settings("orders.test:80", &settings).unwrap();
    let (mut peer, first) = join!(server.serve(HALF), upstream.clone().oneshot(get("/a")));
    let (mut again, mut waits) = (Box::pin(send(&upstream, get("/b"))), Box::pin(send(&upstream, get("/c"))));
    assert!(futures::poll!(&mut again).is_pending() && futures::poll!(&mut waits).is_pending());
    let begun = tokio::time::Instant::now();
    tokio::time::advance(Duration::from_millis(1_500)).await;
    peer.write(b"other").await;
    assert_eq!(text(first.unwrap().into_body()).await.unwrap(), "firstother");
    let close = async move { drop((peer.head().await, peer)) };
    // The other request has the slot then.
    let (error, ()) = join!(again, close);
    assert!(matches!(error, Err(Error::Busy(Busy::TimedOut { .. }, _))), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn a_waiting_post_does_not_get_a_connection_that_was_closed_meanwhile() {
    let (server, upstream) = Server::with_upstream(&Settings::new().max_connections(1)).await;
    let serve = server.serve(HALF);
    let (mut peer, first) = join!(serve, upstream.clone().oneshot(get("/a")));
    let mut waits = Box::pin(send(&upstream, post("/b", "x")));
    assert!(futures::poll!(&mut waits).is_pending());
    peer.write(b"other").await;
    // With its end, the connection goes to the request that waits.
    assert_eq!(text(first.unwrap().into_body()).await.unwrap(), "firstother");
    assert_eq!((upstream.status().waiting, upstream.status().idle), (0, 0));
    drop(peer);
    server.event().await;
    let serve = server.serve(HELLO);
    let (_peer, second) = join!(serve, waits);
    assert_eq!(second.unwrap().body(), "hello");
    assert_eq!((upstream.status().opened, upstream.status().closed(CloseReason::Peer)), (2, 1));
}

#[tokio::test]
async fn a_request_whose_new_connection_was_closed_before_it_was_sent_gets_another_one() {
    for is_known in [false, true] {
        let (server, upstream) = Server::with_upstream(&Settings::new()).await;
        let mut waits = Box::pin(send(&upstream, post("/", "x")));
        assert!(futures::poll!(&mut waits).is_pending());
        let peer = server.accept().await;
        while upstream.status().waiting > 0 {
            tokio::task::yield_now().await;
        }
        // The connection was handed over. The request does not know it yet.
        drop(peer);
        if is_known {
            server.event().await;
        }
        let (_peer, response) = join!(server.serve(HELLO), waits);
        assert_eq!(response.unwrap().body(), "hello");
        assert_eq!((upstream.status().opened, upstream.status().closed(CloseReason::Peer)), (2, 1));
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_the_connection_that_was_opened_for_it() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let mut given_up = Box::pin(send(&upstream, get("/a")));
    assert!(futures::poll!(&mut given_up).is_pending());
    drop(given_up);
    let mut peer = server.accept().await;
    while upstream.status().idle < 1 {
        tokio::task::yield_now().await;
    }
    let (head, response) = join!(peer.answer(EMPTY), send(&upstream, get("/b")));
    assert!(head.starts_with("GET /b ") && response.is_ok());
    assert_eq!((upstream.status().opened, upstream.status().waiting), (1, 0));
}

#[tokio::test]
async fn without_a_queue_a_request_gets_the_connection_that_is_opened_for_it() {
    let settings = Settings::new().max_connections(1).max_waiting(0);
    let (server, upstream) = Server::with_upstream(&settings).await;
    let serve = server.serve(HELLO);
    let (_peer, first, second) = join!(serve, send(&upstream, get("/a")), send(&upstream, get("/b")));
    assert_eq!(first.unwrap().body(), "hello");
    assert!(matches!(second, Err(Error::Busy(Busy::TooManyWaiting { max_waiting: 0 }, _))), "{second:?}");
}

#[tokio::test]
async fn each_failed_attempt_to_connect_ends_one_request() {
    let address = Server::start().await.address();
    let upstream = Upstream::with_settings(&address, &Settings::new().max_connections(2)).unwrap();
    let responses = futures::future::join_all((0..5).map(|_| send(&upstream, get("/")))).await;
    for response in responses {
        assert!(matches!(response.unwrap_err().connect_error(), Some(ConnectError::Tcp { .. })));
    }
    let status = upstream.status();
    assert_eq!((status.failed, status.open, status.waiting), (5, 0, 0));
}

#[derive(Debug)]
struct Panicking;

impl Resolve for Panicking {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> ResolveFuture<'a> {
        Box::pin(async { panic!("the resolver of this test") })
    }
}

#[tokio::test]
async fn a_resolver_that_panics_is_an_error_of_connecting() {
    let upstream = Upstream::with_settings("orders.test:80", &Settings::new().resolver(Panicking)).unwrap();
    let error = send(&upstream, get("/")).await.unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::Aborted)), "{error:?}");
    assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
    assert_eq!((upstream.status().open, upstream.status().failed), (0, 1));
}

#[test]
fn a_request_outside_a_runtime_is_an_error_of_connecting() {
    let upstream = Upstream::new("127.0.0.1:1").unwrap();
    let error = send(&upstream, get("/")).now_or_never().expect("an error at once").unwrap_err();
    assert!(matches!(error.connect_error(), Some(ConnectError::Aborted)), "{error:?}");
}

//! Reuse of HTTP/1.1 connections, and their end.

use std::time::Duration;

use equipoise_http::{CloseReason, Error, Settings, Upstream};
use equipoise_tower::FailureStage;
use http_body_util::BodyExt;
use tokio::join;
use tower::ServiceExt;

use crate::server::{EMPTY, HALF, HELLO, Peer, Server, get, post, send, text};

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        let first = peer.answer(HELLO).await;
        peer.answer(EMPTY).await;
        peer.answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n").await;
        peer.answer(HELLO).await;
        (peer, first)
    };
    let request = async {
        assert_eq!(send(&upstream, get("http://orders/a?b")).await.unwrap().body(), "hello");
        assert_eq!(send(&upstream, get("/")).await.unwrap().status(), 204);
        assert_eq!(send(&upstream, get("/")).await.unwrap().body(), "ab");
        assert_eq!(send(&upstream, post("/", "body")).await.unwrap().body(), "hello");
    };
    let ((peer, first), ()) = join!(serve, request);
    assert!(first.starts_with("GET /a?b HTTP/1.1\r\n") && first.contains("host: orders\r\n"), "{first}");
    let status = upstream.status();
    assert_eq!((status.open, status.idle, status.opened, status.requests), (1, 1, 1, 4));
    drop(peer);
}

#[tokio::test]
async fn bytes_are_counted_while_a_connection_is_open_and_after_it_is_closed() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async {
        let mut peer = server.accept().await;
        let first = peer.answer(HELLO).await;
        (first.len() + peer.answer(HELLO).await.len(), peer)
    };
    let request = async {
        send(&upstream, get("/")).await.unwrap();
        send(&upstream, get("/a-longer-path")).await.unwrap();
    };
    let ((sent, mut peer), ()) = join!(serve, request);
    let expected = (sent as u64, 2 * HELLO.len() as u64);
    let bytes = || (upstream.status().bytes_sent, upstream.status().bytes_received);
    assert_eq!((upstream.status().open, bytes()), (1, expected));
    upstream.close();
    peer.closed().await;
    assert_eq!((upstream.status().open, bytes()), (0, expected));
}

#[tokio::test]
async fn a_response_with_a_doubtful_length_is_the_last_of_its_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    for answer in [
        &b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"[..],
        b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
    ] {
        let serve = server.serve(answer);
        let (mut peer, response) = join!(serve, send(&upstream, get("/")));
        assert_eq!(response.unwrap().status(), 304);
        peer.closed().await;
    }
    let status = upstream.status();
    assert_eq!((status.open, status.opened, status.closed(CloseReason::Failed)), (0, 3, 3));
}

#[tokio::test]
async fn a_long_body_returns_its_connection_at_its_end() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = server.serve(HALF);
    let (mut peer, response) = join!(serve, upstream.clone().oneshot(get("/")));
    let mut body = response.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    assert_eq!((upstream.status().open, upstream.status().idle), (1, 0));
    peer.write(b"other").await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "other");
    assert_eq!((upstream.status().open, upstream.status().idle), (1, 1));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_its_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = server.serve(HALF);
    let (mut peer, response) = join!(serve, upstream.clone().oneshot(get("/")));
    drop(response);
    peer.closed().await;
    assert_eq!((upstream.status().open, upstream.status().closed(CloseReason::Abandoned)), (0, 1));
}

/// Sends a request over a new connection, and returns the server's side of it. The connection is idle then.
async fn idle(server: &Server, upstream: &Upstream) -> Peer {
    let serve = server.serve(EMPTY);
    let (peer, response) = join!(serve, send(upstream, get("/")));
    assert_eq!(response.expect("a response").status(), 204);
    peer
}

/// Closes an idle connection. If `is_known`, tokio has learnt of it before the next request, which must get another
/// one.
async fn assert_replaced(is_known: bool) {
    for is_post in [false, true] {
        let (server, upstream) = Server::with_upstream(&Settings::new()).await;
        drop(idle(&server, &upstream).await);
        if is_known {
            server.event().await;
        }
        let serve = server.serve(HELLO);
        let request =
            async { if is_post { send(&upstream, post("/", "x")).await } else { send(&upstream, get("/")).await } };
        let (_peer, response) = join!(serve, request);
        assert_eq!(response.expect("a response").body(), "hello");
        let status = upstream.status();
        assert_eq!((status.opened, status.closed(CloseReason::Peer)), (2, 1));
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_server_has_closed_costs_a_new_one() {
    assert_replaced(false).await;
}

#[tokio::test]
async fn a_closed_connection_costs_a_new_one_also_if_tokio_knows_that_it_is_closed() {
    assert_replaced(true).await;
}

#[tokio::test]
async fn a_safe_request_is_sent_again_if_the_connection_closes_without_a_response() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let mut peer = idle(&server, &upstream).await;
    let serve = async {
        peer.head().await;
        drop(peer);
        server.accept().await.answer(HELLO).await
    };
    let (again, response) = join!(serve, send(&upstream, get("/again")));
    assert_eq!(response.unwrap().body(), "hello");
    assert!(again.starts_with("GET /again "));
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_ahead_of_those_that_wait() {
    let (server, upstream) = Server::with_upstream(&Settings::new().max_connections(1)).await;
    let mut peer = idle(&server, &upstream).await;
    let serve = async {
        peer.head().await;
        while upstream.status().waiting < 1 {
            tokio::task::yield_now().await;
        }
        drop(peer);
        let mut peer = server.accept().await;
        (peer.answer(HELLO).await, peer.answer(HELLO).await)
    };
    let (heads, again, waits) = join!(serve, send(&upstream, get("/again")), send(&upstream, get("/waits")));
    assert!(again.is_ok() && waits.is_ok());
    assert!(heads.0.starts_with("GET /again ") && heads.1.starts_with("GET /waits "), "{heads:?}");
}

#[tokio::test]
async fn a_post_that_may_have_been_processed_is_not_sent_again() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let mut peer = idle(&server, &upstream).await;
    let serve = async {
        peer.head().await;
        drop(peer);
    };
    let ((), response) = join!(serve, send(&upstream, post("/", "x")));
    assert_eq!(FailureStage::of(&response.unwrap_err()), FailureStage::NoResponse);
}

#[tokio::test]
async fn a_new_connection_that_closes_without_a_response_is_an_error() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let serve = async { drop(server.accept().await.head().await) };
    let ((), response) = join!(serve, send(&upstream, get("/")));
    assert_eq!(FailureStage::of(&response.unwrap_err()), FailureStage::NoResponse);
    assert_eq!((upstream.status().open, upstream.status().closed(CloseReason::Failed)), (0, 1));
}

#[tokio::test]
async fn a_malformed_response_is_an_error_and_its_connection_is_closed() {
    for response in [
        &b"nonsense\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
    ] {
        let (server, upstream) = Server::with_upstream(&Settings::new()).await;
        let serve = async {
            let mut peer = server.accept().await;
            peer.answer(response).await;
            peer.closed().await;
        };
        let ((), response) = join!(serve, send(&upstream, get("/")));
        let error = response.expect_err("a malformed response");
        assert!(matches!(error, Error::Exchange(_)), "{error:?}");
        assert_eq!((upstream.status().open, upstream.status().closed(CloseReason::Failed)), (0, 1));
    }
}

#[tokio::test]
async fn a_malformed_body_is_an_error_of_the_body() {
    for rest in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhe",
    ] {
        let (server, upstream) = Server::with_upstream(&Settings::new()).await;
        let serve = async { drop(server.accept().await.answer(rest).await) };
        let (_, response) = join!(serve, send(&upstream, get("/")));
        assert!(matches!(response, Err(Error::Body(_))), "{response:?}");
        assert_eq!((upstream.status().open, upstream.status().idle), (0, 0));
    }
}

#[tokio::test]
async fn a_response_nobody_asked_for_ends_the_connection() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let mut peer = idle(&server, &upstream).await;
    peer.write(HELLO).await;
    let serve = server.serve(EMPTY);
    let (_peer, response) = join!(serve, send(&upstream, post("/", "x")));
    assert_eq!(response.unwrap().status(), 204);
    assert_eq!(upstream.status().closed(CloseReason::Peer), 1);
}

#[tokio::test]
async fn a_connection_ends_after_its_maximum_of_requests() {
    let (server, upstream) = Server::with_upstream(&Settings::new().max_requests(1)).await;
    let mut peer = idle(&server, &upstream).await;
    peer.closed().await;
    assert_eq!((upstream.status().open, upstream.status().closed(CloseReason::MaxRequests)), (0, 1));
}

/// Asserts that a connection which becomes idle at once is closed for `reason` after so many seconds.
async fn assert_ends(settings: Settings, seconds: std::ops::Range<u64>, reason: CloseReason) {
    let (server, upstream) = Server::with_upstream(&settings).await;
    let begun = tokio::time::Instant::now();
    idle(&server, &upstream).await.closed().await;
    // tokio advances the paused clock from timer to timer.
    let took = begun.elapsed();
    assert!(seconds.contains(&took.as_secs()), "{took:?}");
    assert_eq!((upstream.status().open, upstream.status().closed(reason)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_after_its_time() {
    assert_ends(Settings::new().idle_timeout(Duration::from_secs(8)), 8..11, CloseReason::IdleTimeout).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_lifetime() {
    let settings = Settings::new().max_lifetime(Duration::from_secs(20)).idle_timeout(Duration::from_secs(60));
    assert_ends(settings, 18..22, CloseReason::Lifetime).await;
}

#[tokio::test]
async fn a_connection_carries_a_request_also_if_its_lifetime_is_over_at_once() {
    for lifetime in [Duration::ZERO, Duration::from_micros(1)] {
        let (server, upstream) = Server::with_upstream(&Settings::new().max_lifetime(lifetime)).await;
        for _ in 0..2 {
            idle(&server, &upstream).await.closed().await;
        }
        assert_eq!((upstream.status().opened, upstream.status().closed(CloseReason::Lifetime)), (2, 2));
    }
}

#[tokio::test]
async fn closing_ends_idle_connections_at_once_and_the_others_with_their_request() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    let mut kept = idle(&server, &upstream).await;
    let serve = async {
        kept.answer(HALF).await;
        kept
    };
    let (mut busy, response) = join!(serve, upstream.clone().oneshot(get("/")));
    let mut other = idle(&server, &upstream).await;
    upstream.close();
    other.closed().await;
    busy.write(b"other").await;
    assert_eq!(text(response.unwrap().into_body()).await.unwrap(), "firstother");
    busy.closed().await;
    assert_eq!((upstream.status().open, upstream.status().closed(CloseReason::Removed)), (0, 2));
}

#[tokio::test]
async fn an_upstream_that_was_closed_keeps_the_connections_of_later_requests() {
    let (server, upstream) = Server::with_upstream(&Settings::new()).await;
    idle(&server, &upstream).await;
    upstream.close();
    let mut peer = idle(&server, &upstream).await;
    let (_, response) = join!(peer.answer(HELLO), send(&upstream, get("/")));
    assert_eq!(response.unwrap().body(), "hello");
    let status = upstream.status();
    assert_eq!((status.opened, status.idle, status.closed(CloseReason::Removed)), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_idle_time_of_a_connection_begins_when_it_is_opened_late() {
    let settings = Settings::new().idle_timeout(Duration::from_secs(8)).max_lifetime(None);
    let (server, upstream) = Server::with_upstream(&settings).await;
    idle(&server, &upstream).await.closed().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let _peer = idle(&server, &upstream).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((upstream.status().idle, upstream.status().closed(CloseReason::IdleTimeout)), (1, 1));
}

#[test]
fn a_thread_uses_the_connection_that_another_thread_has_left() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, upstream) = runtime.block_on(Server::with_upstream(&Settings::new()));
    let serve = runtime.spawn(async move {
        let mut peer = server.accept().await;
        for _ in 0..4 {
            peer.answer(HELLO).await;
        }
        peer
    });
    for _ in 0..4 {
        let one = || assert_eq!(runtime.block_on(send(&upstream, get("/"))).unwrap().body(), "hello");
        std::thread::scope(|scope| scope.spawn(one).join().unwrap());
    }
    let _peer = runtime.block_on(serve).unwrap();
    assert_eq!((upstream.status().opened, upstream.status().idle), (1, 1));
}

//! HTTP/2 connections over which nothing arrives any more.

use std::time::Duration;

use equipoise_http::{CloseReason, ConnectError, Error, Settings, Upstream, Version};
use equipoise_tower::FailureStage;
use tokio::{join, time::Instant};

use crate::server::{Peer, Server, get, post, send};

/// An empty SETTINGS frame.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// The header of a PING frame.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0";

/// The end of the header of the HEADERS frame of a request with a body.
const HEADERS_OF_STREAM_1: [u8; 6] = *b"\x01\x04\0\0\0\x01";

/// Accepts a connection and then says nothing.
async fn mute(server: &Server) -> Peer {
    let mut peer = server.accept().await;
    peer.write(SETTINGS).await;
    peer
}

fn upstream(server: &Server, settings: Settings) -> Upstream {
    Upstream::with_settings(&server.address(), &settings.version(Version::Http2)).expect("a valid address")
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_answer_a_ping_is_closed() {
    let server = Server::start().await;
    let upstream = upstream(&server, Settings::new());
    let begun = Instant::now();
    let serve = async {
        let mut peer = mute(&server).await;
        peer.read_bytes_until(PING).await;
        peer
    };
    let (_peer, response) = join!(serve, send(&upstream, get("/")));
    let error = response.unwrap_err();
    assert!(matches!(error, Error::Exchange(_)), "{error:?}");
    // Idempotent requests are retried.
    assert_eq!(FailureStage::of(&error), FailureStage::NoResponse);
    // The defaults: 30 s without a frame, and 15 s for the answer.
    assert_eq!(begun.elapsed().as_secs(), 45);
    while upstream.status().open > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.status().closed(CloseReason::PingTimeout), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_the_connection_is_no_ping_timeout() {
    let server = Server::start().await;
    let upstream = upstream(&server, Settings::new());
    let serve = async {
        mute(&server).await.read_bytes_until(&HEADERS_OF_STREAM_1).await;
    };
    let ((), response) = join!(serve, send(&upstream, post("/", "x")));
    assert!(matches!(response, Err(Error::Exchange(_))), "{response:?}");
    while upstream.status().open > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((upstream.status().opened, upstream.status().closed(CloseReason::Failed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_an_answer_is_no_ping_timeout() {
    let server = Server::start().await;
    let upstream = upstream(&server, Settings::new());
    let (_peer, response) = join!(server.accept(), send(&upstream, get("/")));
    assert!(matches!(response.unwrap_err().connect_error(), Some(ConnectError::TimedOut { .. })));
    assert_eq!((upstream.status().open, upstream.status().closed(CloseReason::PingTimeout)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_pings_a_silent_connection_stays() {
    let server = Server::start().await;
    let upstream = upstream(&server, Settings::new().ping_interval(None));
    let request = send(&upstream, get("/"));
    let (_peer, waited) = join!(mute(&server), tokio::time::timeout(Duration::from_secs(600), request));
    assert!(waited.is_err());
    assert_eq!(upstream.status().open, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_gets_pings_only_if_the_settings_say_so() {
    for while_idle in [false, true] {
        let server = Server::start().await;
        let settings = Settings::new().ping_while_idle(while_idle).idle_timeout(Duration::from_secs(100)).prewarm(1);
        let upstream = upstream(&server, settings);
        let mut peer = mute(&server).await;
        peer.closed_bytes().await;
        while upstream.status().open > 0 {
            tokio::task::yield_now().await;
        }
        let reason = if while_idle { CloseReason::PingTimeout } else { CloseReason::IdleTimeout };
        assert_eq!(upstream.status().closed(reason), 1);
    }
}

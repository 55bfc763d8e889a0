//! Outages: the server is killed and restarted, hangs, or becomes a replica.

use std::time::{Duration, Instant};

use equipoise_gateway::limit::{Quota, RedisFallback};

use super::{
    by_key, connected, eventually, layer, passed, redis, response,
    server::{Server, free_port},
    stats, status,
};

fn quota() -> Quota {
    Quota::per_hour(9)
}

#[tokio::test]
async fn a_killed_server_is_replaced_by_the_local_share_until_it_is_back() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let settings = redis(&server.url()).fallback(RedisFallback::Local { gateways: 3 });
    let layer = connected(settings, [by_key("x", quota())]).await;
    assert_eq!(passed(&layer, "k", 12).await, 9);
    server.kill();
    // The first request finds the connection closed.
    assert_eq!(passed(&layer, "k", 5).await, 3);
    let away = stats(&layer);
    assert!(!away.connected && away.reason.is_some(), "{away:?}");
    assert_eq!(away.fallbacks, 5);
    server.spawn().await;
    eventually("back", || stats(&layer).connected).await;
    let back = stats(&layer);
    assert_eq!((back.reason, back.reconnects), (None, 1));
    // The server came back empty.
    assert_eq!(passed(&layer, "k", 12).await, 9);
    assert_eq!(stats(&layer).fallbacks, 5);
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_once_and_then_not_at_all() {
    let Some(server) = Server::start(&[]).await else { return };
    let timeout = Duration::from_millis(20);
    let settings = redis(&server.url()).timeout(timeout).connect_timeout(Duration::from_millis(100));
    let layer = connected(settings, [by_key("x", Quota::per_hour(1_000_000))]).await;
    server.signal("-STOP");
    assert_eq!(status(&layer, "k").await, 200);
    let start = Instant::now();
    for _ in 0..2_000 {
        assert_eq!(status(&layer, "k").await, 200);
    }
    // If each of them waited, it would be 40 s.
    assert!(start.elapsed() < timeout * 1_000, "{:?}", start.elapsed());
    let hanging = stats(&layer);
    assert_eq!((hanging.timeouts, hanging.fallbacks, hanging.connected), (1, 2_001, false), "{hanging:?}");
    // Attempts to connect in the background fail too, although the system accepts connections.
    eventually("the reason", || stats(&layer).reason.is_some_and(|reason| reason.contains("within its time"))).await;
    server.signal("-CONT");
    eventually("back", || stats(&layer).connected).await;
    // One at a time, because the machine may be so busy that some of them time out.
    let since = Instant::now();
    let decisions = stats(&layer).decisions;
    while stats(&layer).decisions == decisions {
        assert!(since.elapsed() < super::AT_LAST);
        assert_eq!(status(&layer, "k").await, 200);
    }
}

#[tokio::test]
async fn requests_do_not_queue_up_at_a_server_that_hangs() {
    let Some(server) = Server::start(&[]).await else { return };
    let settings = redis(&server.url()).timeout(Duration::from_secs(60)).max_waiting(4);
    let layer = connected(settings, [by_key("x", Quota::per_hour(1_000))]).await;
    server.signal("-STOP");
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let layer = layer.clone();
            tokio::spawn(async move { status(&layer, "k").await })
        })
        .collect();
    eventually("saturated", || {
        let clone = layer.clone();
        tokio::spawn(async move { status(&clone, "k").await });
        stats(&layer).saturated > 0
    })
    .await;
    for _ in 0..100 {
        assert_eq!(status(&layer, "k").await, 200);
    }
    assert!(stats(&layer).saturated >= 100);
    server.signal("-CONT");
    for request in waiting {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(status(&layer, "k").await, 200);
    assert!(stats(&layer).decisions >= 5);
}

#[tokio::test]
async fn the_fallback_can_be_to_allow_or_to_deny() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let with = |fallback| layer(redis(&url).fallback(fallback), [by_key("x", Quota::per_hour(1))]);
    let allow = with(RedisFallback::Allow);
    assert_eq!(passed(&allow, "k", 5).await, 5);
    assert!(!response(&allow, "k").await.headers().contains_key("ratelimit"));
    let deny = with(RedisFallback::Deny);
    let denied = response(&deny, "k").await;
    assert_eq!(denied.status(), 503);
    assert_eq!(denied.extensions().get(), Some(&equipoise_gateway::DenialCode("rate_limit_unavailable")));
    let local = with(RedisFallback::Local { gateways: 0 });
    assert_eq!(passed(&local, "k", 5).await, 1);
    assert_eq!(stats(&local).disconnected, 5);
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_left_until_it_is_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let layer = connected(redis(&server.url()), [by_key("x", Quota::per_hour(1_000))]).await;
    let _: String = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(passed(&layer, "k", 3).await, 3);
    eventually("left", || stats(&layer).reason.is_some_and(|reason| reason.contains("READONLY"))).await;
    assert_eq!((stats(&layer).errors, stats(&layer).fallbacks), (1, 3));
    let _: String = server.ask(&["REPLICAOF", "NO", "ONE"]);
    eventually("back", || stats(&layer).connected).await;
    let decisions = stats(&layer).decisions;
    assert_eq!((status(&layer, "k").await, stats(&layer).decisions), (200, decisions + 1));
}

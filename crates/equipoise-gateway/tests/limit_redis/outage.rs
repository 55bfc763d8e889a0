//! Outages: the server is killed and restarted, hangs, is full, or becomes a replica.

use std::time::{Duration, Instant};

use equipoise_gateway::{
    DenialCode,
    limit::{Quota, RedisFallback, RedisLimits},
};

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
    assert_eq!(denied.extensions().get(), Some(&DenialCode("rate_limit_unavailable")));
    let local = with(RedisFallback::Local { gateways: 0 });
    assert_eq!(passed(&local, "k", 5).await, 1);
    assert_eq!(stats(&local).disconnected, 5);
}

/// Lets the server have room for about 300 keys more.
fn bound_memory(server: &Server) {
    let memory: String = server.ask(&["INFO", "memory"]);
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok()).unwrap();
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", &(used + 64 * 1024).to_string()]);
}

/// Settings with each fallback.
fn fallbacks(server: &Server) -> [RedisLimits; 3] {
    [RedisFallback::Allow, RedisFallback::Deny, RedisFallback::Local { gateways: 1 }]
        .map(|fallback| redis(&server.url()).fallback(fallback))
}

#[tokio::test]
async fn a_flood_of_keys_that_fills_the_server_gets_nobody_out_of_a_limit() {
    for at in 0..3 {
        let Some(server) = Server::start(&[]).await else { return };
        let settings = fallbacks(&server)[at].clone();
        let layer = connected(settings, [by_key("x", quota())]).await;
        assert_eq!(passed(&layer, "old", 12).await, 9);
        bound_memory(&server);
        let mut keys = 0;
        while stats(&layer).fallbacks == 0 {
            keys += 1;
            assert!(keys < 100_000, "the server is never full");
            assert_eq!(status(&layer, &format!("flood-{keys}")).await, 200);
        }
        // The server has its bucket.
        assert_eq!(passed(&layer, "old", 12).await, 0);
        assert_eq!(passed(&layer, "new", 12).await, 9);
        let full = stats(&layer);
        assert_eq!((full.errors, full.disconnected, full.reconnects), (full.fallbacks, 0, 0), "{full:?}");
        assert!(!full.connected && full.reason.unwrap().contains("OOM"));
        let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(passed(&layer, "newer", 12).await, 9);
        let roomy = stats(&layer);
        assert_eq!((roomy.fallbacks, roomy.reason, roomy.connected), (full.fallbacks, None, true));
    }
}

#[tokio::test]
async fn a_server_that_is_full_from_the_beginning_gets_nobody_out_of_a_limit() {
    let Some(server) = Server::start(&["--maxmemory", "1"]).await else { return };
    for settings in fallbacks(&server) {
        let layer = connected(settings, [by_key("x", quota())]).await;
        assert_eq!(passed(&layer, "k", 12).await, 9);
        assert_eq!((stats(&layer).errors, stats(&layer).disconnected), (12, 0));
    }
}

#[tokio::test]
async fn a_costly_request_uses_at_most_the_whole_share_of_the_burst() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let costly = by_key("x", Quota::per_hour(30)).cost(|head| match head.headers.get("x-key") {
        Some(key) if key == "huge" => 31,
        _ => 20,
    });
    let layer = layer(redis(&url).fallback(RedisFallback::Local { gateways: 3 }), [costly]);
    assert_eq!(status(&layer, "k").await, 200);
    let denied = response(&layer, "k").await;
    assert_eq!(denied.extensions().get(), Some(&DenialCode("rate_limited")));
    // The share of 10 units comes back in an hour. Less than a minute has passed.
    let after: u64 = denied.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3_540..=3_600).contains(&after), "{after}");
    // The whole quota would not admit it either.
    let huge = response(&layer, "huge").await;
    assert_eq!(huge.extensions().get(), Some(&DenialCode("rate_limit_cost")));
    assert!(!huge.headers().contains_key("retry-after"));
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

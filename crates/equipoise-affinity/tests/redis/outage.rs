//! Outages: the Redis server does not respond, is killed and restarted, or becomes a replica.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use equipoise_affinity::{Lookup, SessionStore, StoreError};
use equipoise_core::ManualClock;

use super::{builder, connected, eventually, find, id, server::Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_under_load_no_lookup_fails_or_hangs() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let limit = Duration::from_millis(100);
    let store = Arc::new(connected(builder(&server.url()).cache_capacity(32).lookup_timeout(limit)).await);
    let (over, lookups) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..8_u64)
        .map(|client| {
            let (store, over, lookups) = (Arc::clone(&store), Arc::clone(&over), Arc::clone(&lookups));
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                for request in 0_u64.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let (key, since) = (format!("k{}", (client * 31 + request * 7) % 200), Instant::now());
                    match find(&store, &key).await {
                        Ok(Some(endpoint)) => assert_eq!(endpoint, id(&key)),
                        Ok(None) | Err(StoreError::Unavailable { .. }) => store.bind(key.as_bytes(), &id(&key), None),
                        Err(other) => panic!("{other:?}"),
                    }
                    longest = longest.max(since.elapsed());
                    lookups.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
                longest
            })
        })
        .collect();
    for _ in 0..3 {
        let hits = store.stats().hits;
        eventually("in use", || store.stats().hits > hits + 500).await;
        server.kill();
        let so_far = (lookups.load(Ordering::Relaxed), store.stats());
        eventually("requests that go on without it", || {
            let stats = store.stats();
            lookups.load(Ordering::Relaxed) > so_far.0 + 500
                && stats.unavailable > so_far.1.unavailable
                && stats.stale_hits > so_far.1.stale_hits
        })
        .await;
        server.spawn().await;
        eventually("reconnected", || store.stats().connected).await;
    }
    let hits = store.stats().hits;
    eventually("in use", || store.stats().hits > hits + 500).await;
    over.store(true, Ordering::Relaxed);
    for client in load {
        let longest = client.await.unwrap();
        // Ten times the limit, because the machine that runs the test may be busy.
        assert!(longest < limit * 10, "{longest:?}");
    }
    let stats = store.stats();
    assert_eq!((stats.reconnects, stats.malformed, stats.protocol_errors), (3, 0, 0), "{stats:?}");
}

#[tokio::test]
async fn a_balancer_keeps_its_sessions_through_an_outage_and_tells_a_server_that_came_back_empty() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let clock = Arc::new(ManualClock::new());
    let settings = builder(&server.url()).clock(clock.clone()).cache_ttl(Duration::from_secs(1));
    let store = connected(settings.idle_timeout(Duration::from_secs(1000))).await;
    store.bind(b"before", &id("a"), None);
    eventually("written", || store.stats().writes == 1).await;
    server.kill();
    eventually("away", || !store.stats().connected).await;

    clock.advance(Duration::from_secs(100));
    store.bind(b"during", &id("b"), None);
    store.bind(b"moved", &id("c"), None);
    store.bind(b"moved", &id("d"), Some(&id("c")));
    assert_eq!(store.stats().writes_dropped, 3);
    clock.advance(Duration::from_secs(100));
    for (key, endpoint) in [("before", "a"), ("during", "b"), ("moved", "d")] {
        assert!(matches!(store.lookup(key.as_bytes()), Lookup::Now(Ok(Some(found))) if found == id(endpoint)));
    }
    assert!(matches!(store.lookup(b"unknown"), Lookup::Now(Err(StoreError::Unavailable { .. }))));
    assert_eq!((store.stats().stale_hits, store.stats().unavailable), (3, 1));

    server.spawn().await;
    eventually("back", || store.stats().connected).await;
    for (key, endpoint) in [("before", "a"), ("during", "b"), ("moved", "d")] {
        assert_eq!(find(&store, key).await, Ok(Some(id(endpoint))));
        assert!(server.ask::<String>(&["GET", &format!("equipoise:{key}")]).ends_with(&format!(" {endpoint}")));
    }
    assert_eq!((store.stats().hits, store.stats().reconnects), (3, 1));
    server.kill();
    eventually("away", || !store.stats().connected).await;
    clock.advance(Duration::from_secs(1000));
    assert!(find(&store, "before").await.is_err(), "an outage does not prolong the idle timeout");
}

#[tokio::test]
async fn after_an_outage_what_others_have_bound_stands_and_what_was_ended_here_ends() {
    let Some(server) = Server::start(&[]).await else { return };
    // While the server does not respond, the writes of this store cannot be sent.
    let store = connected(builder(&server.url()).lookup_timeout(Duration::from_millis(20))).await;
    for key in [&b"ours"[..], b"ended"] {
        store.bind(key, &id("a"), None);
    }
    eventually("written", || store.stats().writes == 2).await;
    server.signal("-STOP");
    let _ = find(&store, "anything").await;
    eventually("away", || !store.stats().connected).await;
    store.bind(b"ours", &id("x"), Some(&id("a")));
    store.bind(b"ours", &id("b"), Some(&id("x")));
    store.bind(b"theirs", &id("b"), None);
    store.unbind(b"ended");
    assert_eq!(find(&store, "ended").await, Ok(None));
    server.signal("-CONT");
    let _: String = server.ask(&["SET", "equipoise:theirs", "1 1700000000 c"]);

    eventually("back", || store.stats().connected).await;
    for (key, endpoint) in [("ours", Some("b")), ("theirs", Some("c")), ("ended", None)] {
        let since = Instant::now();
        while find(&store, key).await != Ok(endpoint.map(id)) {
            assert!(since.elapsed() < super::AT_LAST, "{key}: {:?}", find(&store, key).await);
        }
    }
    eventually("removed", || server.ask::<u64>(&["EXISTS", "equipoise:ended"]) == 0).await;
    assert!(server.ask::<String>(&["GET", "equipoise:ours"]).ends_with(" b"));
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_once_and_taken_up_again_when_it_goes_on() {
    let Some(server) = Server::start(&[]).await else { return };
    let settings = builder(&server.url()).lookup_timeout(Duration::from_millis(50));
    let store = connected(settings.connect_timeout(Duration::from_secs(20))).await;
    server.signal("-STOP");
    let Lookup::Later(found) = store.lookup(b"k") else { panic!("no server has answered") };
    assert!(matches!(found.await, Err(StoreError::Unavailable { .. })));
    for _ in 0..100 {
        assert!(matches!(store.lookup(b"k"), Lookup::Now(Err(StoreError::Unavailable { .. }))));
    }
    server.signal("-CONT");
    eventually("back", || store.stats().connected).await;
    assert_eq!(find(&store, "k").await, Ok(None));
    assert_eq!((store.stats().unavailable, store.stats().reconnects), (101, 0));
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_counted_and_written_when_it_is_next_used() {
    let Some(server) = Server::start(&[]).await else { return };
    let settings = builder(&server.url()).cache_ttl(Duration::from_secs(3600)).write_queue(2);
    let store = connected(settings.connect_timeout(Duration::from_secs(20))).await;
    server.signal("-STOP");
    let keys: Vec<_> = (0..20).map(|key| format!("k{key}")).collect();
    for key in &keys {
        store.bind(key.as_bytes(), &id("a"), None);
    }
    assert_eq!(store.stats().writes_dropped, 18);
    server.signal("-CONT");
    let since = Instant::now();
    while server.ask::<usize>(&["DBSIZE"]) < keys.len() {
        assert!(since.elapsed() < super::AT_LAST);
        for key in &keys {
            assert!(matches!(store.lookup(key.as_bytes()), Lookup::Now(Ok(Some(_)))));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    eventually("written", || store.stats().writes == 20).await;
    assert_eq!((store.stats().hits, store.stats().unavailable), (0, 0));
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_left_until_it_is_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let _: String = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(matches!(find(&store, "k").await, Err(StoreError::Unavailable { .. })));
    eventually("left", || !store.stats().connected).await;
    eventually(
        "refused",
        || matches!(store.lookup(b"k"), Lookup::Now(Err(StoreError::Unavailable { reason })) if reason.contains("READONLY")),
    )
    .await;
    let _: String = server.ask(&["REPLICAOF", "NO", "ONE"]);
    eventually("back", || store.stats().connected).await;
    assert_eq!(find(&store, "k").await, Ok(None));
}

#[tokio::test]
async fn dropping_the_store_closes_its_connection() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    assert_eq!(find(&store, "k").await, Ok(None));
    drop(store);
    eventually("closed", || server.ask::<String>(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() == 1).await;
}

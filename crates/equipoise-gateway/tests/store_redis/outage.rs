use equipoise_gateway::cache::store::Purge;

use super::{server::Server, *};

#[tokio::test]
async fn a_server_that_is_away_is_a_miss_at_once_and_is_used_again() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let key = key("a", "");
    put(&store, &key, entry("1")).await;
    server.kill();
    // The first lookup may be the one that notices.
    bodies(&store, &key).await;
    eventually("disconnected", || !store.connection_stats().connected).await;
    let since = Instant::now();
    for _ in 0..1000 {
        assert!(bodies(&store, &key).await.is_empty());
    }
    // The lookup timeout is 10 s.
    assert!(since.elapsed() < Duration::from_secs(5));
    assert_eq!(put(&store, &key, entry("2")).await, Stored::Failed);
    assert!(store.stats().errors >= 1001, "{:?}", store.connection_stats());
    server.spawn().await;
    let since = Instant::now();
    while put(&store, &key, entry("3")).await != Stored::Yes {
        assert!(since.elapsed() < AT_LAST);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bodies(&store, &key).await, ["3"]);
    assert!(store.connection_stats().connects == 2, "{:?}", store.connection_stats());
}

#[tokio::test]
async fn a_removal_without_the_server_is_an_error_and_is_counted() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    server.kill();
    eventually("disconnected", || !store.connection_stats().connected).await;
    let tag = Tag::new("leaked").unwrap();
    let purges = [Purge::Url("a".into()), Purge::Prefix("a".into()), Purge::Tag(tag), Purge::All];
    for (before, purge) in purges.iter().enumerate() {
        let error = store.purge(purge).await.unwrap_err();
        assert!(error.to_string().contains("the Redis server cannot be used"), "{error}");
        assert_eq!(store.stats().errors, before as u64 + 1, "{purge:?}");
    }
    assert!(store.remove(&key("a", "")).await.is_err());
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_timeout_and_then_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let settings = builder(&server.url()).lookup_timeout(Duration::from_millis(20)).connect_timeout(AT_LAST * 4);
    let store = connected(settings).await;
    server.signal("-STOP");
    let key = key("a", "");
    for _ in 0..200 {
        assert!(bodies(&store, &key).await.is_empty());
    }
    let stats = store.connection_stats();
    assert_eq!((stats.timeouts, stats.unavailable, stats.connected), (1, 199, false));
    server.signal("-CONT");
    eventually("connected", || store.connection_stats().connected).await;
    assert_eq!(store.connection_stats().connects, 1, "the connection was not given up");
}

#[tokio::test]
async fn a_store_without_a_server_is_built_and_only_misses() {
    let store = RedisStore::builder("redis://127.0.0.1:1").build().unwrap();
    assert!(bodies(&store, &key("a", "")).await.is_empty());
    assert_eq!(put(&store, &key("a", ""), entry("1")).await, Stored::Failed);
    eventually("failed", || store.connection_stats().connect_failures > 0).await;
    assert!(!store.connection_stats().connected);
}

#[tokio::test]
async fn what_was_requested_before_a_restart_is_not_stored_after_it() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let before = generation(&store, &key("a", "")).await;
    server.kill();
    server.spawn().await;
    let since = Instant::now();
    while generation(&store, &key("a", "")).await == Generation::default() {
        assert!(since.elapsed() < AT_LAST);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.put(&key("a", ""), entry("1"), before).await, Stored::Purged);
}

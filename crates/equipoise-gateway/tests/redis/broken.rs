//! Servers that do not work as they should. Each time, limits fall back to the gateway's own buckets, the cache does not
//! find what it would, and both count it and go on when the server works again.

use std::time::{Duration, Instant};

use equipoise_gateway::{
    cache::store::{Purge, Store, Stored},
    limit::RedisFallback,
};

use super::{away, connected, eventually, fake, is_stored, layer, limits, passed, put, server::Server, stats, store};

#[tokio::test]
async fn a_server_that_is_slow_is_waited_for_once_and_keeps_its_connection() {
    let Some(server) = Server::start(&[]).await else { return };
    let moment = Duration::from_millis(30);
    let (layer, store) = connected(
        limits(&server.url()).timeout(moment).connect_timeout(super::AT_LAST * 2),
        store(&server.url()).lookup_timeout(moment).connect_timeout(super::AT_LAST * 2),
    )
    .await;
    server.signal("-STOP");
    assert_eq!(passed(&layer, "k", 12).await, 3);
    for _ in 0..10 {
        assert!(!is_stored(&store, "a").await);
    }
    let (limited, cached) = (stats(&layer), store.connection_stats());
    assert_eq!((limited.timeouts, limited.disconnected, limited.fallbacks), (1, 11, 12));
    assert_eq!((cached.timeouts, cached.unavailable), (1, 9));
    assert_eq!(limited.reason.as_deref(), Some("it has stopped answering"));
    assert_eq!(cached.reason, limited.reason);
    server.signal("-CONT");
    eventually("back", || stats(&layer).connected && store.connection_stats().connected).await;
    assert_eq!((stats(&layer).reconnects, store.connection_stats().connects), (0, 1));
}

#[tokio::test]
async fn a_server_that_stays_silent_is_left() {
    let Some(server) = Server::start(&[]).await else { return };
    let (moment, silence) = (Duration::from_millis(20), Duration::from_millis(200));
    let (layer, store) = connected(
        limits(&server.url()).timeout(moment).connect_timeout(silence),
        store(&server.url()).lookup_timeout(moment).connect_timeout(silence).write_timeout(silence),
    )
    .await;
    server.signal("-STOP");
    assert_eq!(passed(&layer, "k", 12).await, 3);
    assert!(!is_stored(&store, "a").await);
    away(&layer, &store, "no connection within its time").await;
    server.signal("-CONT");
    eventually("back", || stats(&layer).connected && store.connection_stats().connected).await;
    assert_eq!((stats(&layer).reconnects, store.connection_stats().connects), (1, 2));
}

#[tokio::test]
async fn a_server_whose_memory_is_full_decides_on_no_new_keys_and_stores_nothing_but_is_still_read() {
    let Some(server) = Server::start(&[]).await else { return };
    let (layer, store) = connected(limits(&server.url()), store(&server.url())).await;
    assert_eq!(put(&store, "a").await, Stored::Yes);
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(passed(&layer, "k", 12).await, 3);
    let full = stats(&layer);
    assert_eq!((full.errors, full.fallbacks, full.connected), (12, 12, false));
    assert_eq!(full.reason.as_deref(), Some("it has answered OOM (its memory is full)"));
    assert!(is_stored(&store, "a").await);
    assert_eq!(put(&store, "b").await, Stored::Failed);
    assert!(is_stored(&store, "a").await && !is_stored(&store, "b").await);
    let cached = store.connection_stats();
    assert_eq!((cached.connected, cached.connects, cached.refused), (true, 1, 1));
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(passed(&layer, "k", 12).await, 9);
    let back = stats(&layer);
    assert_eq!((back.fallbacks, back.reconnects, back.connected), (12, 0, true));
    assert_eq!(put(&store, "b").await, Stored::Yes);
}

#[tokio::test]
async fn a_replica_is_not_used() {
    let Some(server) = Server::start(&[]).await else { return };
    let (layer, store) = connected(limits(&server.url()), store(&server.url())).await;
    assert_eq!(put(&store, "a").await, Stored::Yes);
    let _: String = server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(passed(&layer, "k", 12).await, 3);
    assert_eq!(put(&store, "b").await, Stored::Failed);
    away(&layer, &store, "READONLY (it is a replica)").await;
    assert_eq!((stats(&layer).errors, store.connection_stats().refused), (1, 1));
    // It is not connected again and again.
    let failures = store.connection_stats().connect_failures;
    eventually("tried", || store.connection_stats().connect_failures > failures).await;
    assert_eq!(store.connection_stats().connects, 1);
    let _: String = server.ask(&["REPLICAOF", "NO", "ONE"]);
    eventually("back", || stats(&layer).connected && store.connection_stats().connected).await;
    assert_eq!(passed(&layer, "k", 12).await, 9);
    assert!(is_stored(&store, "a").await);
}

#[tokio::test]
async fn a_replica_of_an_old_version_is_not_used() {
    let answer =
        b"-ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -READONLY You can't write \
                   against a read only replica.\r\n";
    let url = fake::broken(answer).await;
    let (layer, store) = connected(limits(&url), store(&url)).await;
    assert_eq!(passed(&layer, "k", 1).await, 1);
    assert_eq!(put(&store, "a").await, Stored::Failed);
    eventually("left", || stats(&layer).reconnects > 0 && store.connection_stats().connects > 1).await;
    assert!(stats(&layer).errors > 0 && store.connection_stats().refused > 0);
}

#[tokio::test]
async fn a_server_that_cannot_save_gets_nobody_out_of_a_limit() {
    let url = fake::broken(b"-MISCONF Redis is configured to save RDB snapshots\r\n").await;
    let layer = layer(limits(&url).fallback(RedisFallback::Allow));
    eventually("connected", || stats(&layer).connected).await;
    assert_eq!(passed(&layer, "k", 12).await, 9);
    let full = stats(&layer);
    assert_eq!((full.errors, full.reconnects), (12, 0));
    assert_eq!(full.reason.as_deref(), Some("it has answered MISCONF (it cannot save its data)"));
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_gets_them_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let (layer, store) = connected(limits(&server.url()), store(&server.url())).await;
    let _: String = server.ask(&["SCRIPT", "FLUSH"]);
    let loaded = server.calls("eval");
    assert_eq!(passed(&layer, "k", 12).await, 9);
    assert_eq!(put(&store, "a").await, Stored::Yes);
    assert!(is_stored(&store, "a").await);
    // That of the limits, of lookups and of storing.
    assert_eq!(server.calls("eval"), loaded + 3);
    assert_eq!((stats(&layer).script_reloads, stats(&layer).fallbacks), (1, 0));
    assert_eq!((store.connection_stats().refused, store.connection_stats().connects), (0, 1));
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_not_used() {
    let url = fake::serve(|name, _| {
        if name == "CLIENT" {
            b"+OK\r\n".to_vec()
        } else {
            b"-LOADING Redis is loading the dataset in memory\r\n".to_vec()
        }
    })
    .await;
    let (layer, store) = (layer(limits(&url)), store(&url).build().unwrap());
    away(&layer, &store, "LOADING (it loads its data)").await;
    assert_eq!(passed(&layer, "k", 12).await, 3);
    assert_eq!(put(&store, "a").await, Stored::Failed);
}

#[tokio::test]
async fn what_is_no_answer_is_counted_and_decides_nothing() {
    for answer in
        [&b"+OK\r\n"[..], b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"*1\r\n:1\r\n", b"-ERR no\r\n", b"*2\r\n*0\r\n*0\r\n"]
    {
        let text = String::from_utf8_lossy(answer);
        let url = fake::broken(answer).await;
        let (layer, store) = connected(limits(&url), store(&url)).await;
        assert_eq!(passed(&layer, "k", 12).await, 3, "{text}");
        assert!(stats(&layer).errors > 0 && stats(&layer).fallbacks == 12, "{text}");
        assert!(!is_stored(&store, "a").await, "{text}");
        assert_eq!(put(&store, "a").await, Stored::Failed, "{text}");
        let cached = store.connection_stats();
        assert_eq!((cached.invalid + cached.refused, cached.connects), (3, 1), "{text}");
    }
}

#[tokio::test]
async fn a_purge_of_a_prefix_that_stops_in_the_middle_is_an_error() {
    for last in [&b"-ERR no\r\n"[..], b"*1\r\n$1\r\n0\r\n", b"$-1\r\n"] {
        let url = fake::serve(move |name, before| match (name, before) {
            ("CLIENT" | "SCRIPT", _) => b"+OK\r\n".to_vec(),
            ("SCAN", 0) => b"*2\r\n$1\r\n7\r\n*1\r\n$21\r\nequipoise:cache:e:1:a\r\n".to_vec(),
            ("SCAN", _) => last.to_vec(),
            ("UNLINK", _) => b":1\r\n".to_vec(),
            _ => b":0\r\n".to_vec(),
        })
        .await;
        let store = store(&url).build().unwrap();
        eventually("connected", || store.connection_stats().connected).await;
        let text = String::from_utf8_lossy(last);
        assert!(store.purge(&Purge::Prefix("a".to_owned())).await.is_err(), "{text}");
        assert_eq!(store.stats().errors, 1, "{text}");
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"*1000000000\r\n",
        b"*1\r\n*1\r\n*1\r\n:1\r\n",
        b"$536870912\r\naaaa",
        b"*2\r\n:1\r\n:0\r\n:1\r\n",
    ] {
        let text = String::from_utf8_lossy(answer);
        let url = fake::broken(answer).await;
        let (layer, store) = connected(limits(&url), store(&url)).await;
        let since = Instant::now();
        passed(&layer, "k", 1).await;
        is_stored(&store, "a").await;
        eventually("left", || stats(&layer).reconnects > 0 && store.connection_stats().connects > 1).await;
        assert!(since.elapsed() < Duration::from_secs(10), "{text}: it was waited for");
    }
}

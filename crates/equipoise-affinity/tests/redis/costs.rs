//! The cost of a lookup.

use std::time::{Duration, Instant};

use equipoise_affinity::{Lookup, SessionStore};

use super::{builder, connected, eventually, find, id, server::Server};

#[tokio::test]
async fn a_lookup_is_one_command_or_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let one = connected(builder(&server.url()).cache_ttl(Duration::from_secs(3600))).await;
    let other = connected(builder(&server.url()).cache_ttl(Duration::from_secs(3600))).await;
    one.bind(b"k", &id("a"), None);
    eventually("written", || one.stats().writes == 1).await;
    let _: String = server.ask(&["CONFIG", "RESETSTAT"]);
    for _ in 0..10 {
        assert_eq!(find(&one, "k").await, Ok(Some(id("a"))));
        assert_eq!(find(&other, "k").await, Ok(Some(id("a"))));
    }
    assert_eq!((server.calls("getex"), server.calls("evalsha"), server.calls("eval")), (1, 0, 0));
    assert_eq!((one.stats().cache_hits, other.stats().cache_hits, other.stats().hits), (10, 9, 1));
}

#[tokio::test]
async fn with_a_lifetime_a_lookup_is_one_script_call() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).lifetime(Duration::from_secs(3600))).await;
    let _: String = server.ask(&["CONFIG", "RESETSTAT"]);
    for _ in 0..10 {
        assert_eq!(find(&store, "k").await, Ok(None));
    }
    assert_eq!((server.calls("evalsha"), server.calls("eval"), server.calls("getex")), (10, 0, 0));
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_gets_them_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).lifetime(Duration::from_secs(3600))).await;
    let _: String = server.ask(&["SCRIPT", "FLUSH"]);
    store.bind(b"k", &id("a"), None);
    eventually("written", || store.stats().writes == 1).await;
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));
    assert_eq!(server.calls("eval"), 2);
    store.bind(b"l", &id("a"), None);
    eventually("written", || store.stats().writes == 2).await;
    assert_eq!(find(&store, "l").await, Ok(Some(id("a"))));
    assert_eq!(server.calls("eval"), 2);
}

#[tokio::test]
async fn a_hundred_lookups_at_once_share_one_connection() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let _: String = server.ask(&["CONFIG", "RESETSTAT"]);
    let all: Vec<_> = (0..100_u32)
        .map(|key| match store.lookup(&key.to_be_bytes()) {
            Lookup::Later(found) => found,
            Lookup::Now(found) => panic!("{found:?}"),
        })
        .collect();
    for found in all {
        assert_eq!(found.await, Ok(None));
    }
    let clients: String = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    // The other connection is that of the test, which asks for the list.
    assert_eq!(clients.lines().count(), 2, "{clients}");
    assert_eq!((store.stats().misses, server.calls("getex")), (100, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release --features redis --test redis -- --ignored --nocapture"]
async fn how_long_a_lookup_takes_on_loopback() {
    let Some(server) = Server::start(&[]).await else { return };
    let measure = async |what: &str, cache_ttl, at_once: usize| {
        let store = connected(builder(&server.url()).cache_ttl(cache_ttl)).await;
        store.bind(b"k", &id("10.0.0.7:8080"), None);
        eventually("written", || store.stats().writes == 1).await;
        let mut took = Vec::new();
        let begin = Instant::now();
        while took.len() < 200_000 {
            let since = Instant::now();
            let waiting: Vec<_> = (0..at_once).map(|_| store.lookup(b"k")).collect();
            for lookup in waiting {
                match lookup {
                    Lookup::Now(found) => assert_eq!(found, Ok(Some(id("10.0.0.7:8080")))),
                    Lookup::Later(found) => assert_eq!(found.await, Ok(Some(id("10.0.0.7:8080")))),
                }
                took.push(since.elapsed());
            }
        }
        let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |share: f64| took[(took.len() as f64 * share) as usize];
        println!("{what}: p50 {:?}, p99 {:?}, {rate:.0} per second", at(0.5), at(0.99));
    };
    measure("near-cache", Duration::from_secs(3600), 1).await;
    measure("round trip", Duration::ZERO, 1).await;
    measure("round trip, 64 at once", Duration::ZERO, 64).await;
}

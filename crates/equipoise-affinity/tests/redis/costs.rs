//! What a lookup costs.

use std::time::Duration;

use equipoise_affinity::{Lookup, SessionStore};

use super::{builder, connected, eventually, find, id, server::Server};

#[tokio::test]
async fn a_lookup_is_one_command_or_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let one = connected(builder(&server.url()).near_ttl(Duration::from_secs(3600))).await;
    let other = connected(builder(&server.url()).near_ttl(Duration::from_secs(3600))).await;
    one.bind(b"k", &id("a"), None);
    eventually("written", || one.stats().writes == 1).await;
    for _ in 0..10 {
        assert_eq!(find(&one, "k").await, Ok(Some(id("a"))));
        assert_eq!(find(&other, "k").await, Ok(Some(id("a"))));
    }
    assert_eq!((server.calls("getex"), server.calls("evalsha"), server.calls("eval")), (1, 1, 0));
    assert_eq!((one.stats().near_hits, other.stats().near_hits, other.stats().hits), (10, 9, 1));
}

#[tokio::test]
async fn so_it_is_where_sessions_have_a_lifetime() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).lifetime(Duration::from_secs(3600))).await;
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
    // The other one is whoever asks for the list.
    assert_eq!(clients.lines().count(), 2, "{clients}");
    assert_eq!((store.stats().misses, server.calls("getex")), (100, 100));
}

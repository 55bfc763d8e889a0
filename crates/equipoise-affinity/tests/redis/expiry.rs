//! When sessions end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use equipoise_affinity::SessionStore;
use equipoise_core::ManualClock;

use super::{builder, connected, eventually, find, id, server::Server};

#[tokio::test]
async fn an_idle_session_ends_and_a_used_one_starts_anew() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).idle_timeout(Duration::from_secs(100))).await;
    store.bind(b"k", &id("a"), None);
    eventually("written", || store.stats().writes == 1).await;
    let left: u64 = server.ask(&["PTTL", "equipoise:k"]);
    assert!((50_000..=100_000).contains(&left), "{left}");

    let _: u64 = server.ask(&["PEXPIRE", "equipoise:k", "40000"]);
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));
    let left: u64 = server.ask(&["PTTL", "equipoise:k"]);
    assert!(left > 50_000, "use starts it again: {left}");

    let _: u64 = server.ask(&["PEXPIRE", "equipoise:k", "1"]);
    eventually("expired", || server.ask::<u64>(&["EXISTS", "equipoise:k"]) == 0).await;
    assert_eq!(find(&store, "k").await, Ok(None));
}

#[tokio::test]
async fn hits_in_the_local_cache_keep_the_session_alive_at_the_server() {
    let Some(server) = Server::start(&[]).await else { return };
    let clock = Arc::new(ManualClock::new());
    let settings = builder(&server.url()).clock(clock.clone()).cache_ttl(Duration::from_secs(50));
    let store = connected(settings.idle_timeout(Duration::from_secs(100))).await;
    store.bind(b"k", &id("a"), None);
    eventually("written", || store.stats().writes == 1).await;

    let _: u64 = server.ask(&["PEXPIRE", "equipoise:k", "40000"]);
    let _: String = server.ask(&["CONFIG", "RESETSTAT"]);
    clock.advance(Duration::from_secs(10));
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));
    assert_eq!(server.calls("getex"), 0, "a tenth of the idle time has to pass");
    clock.advance(Duration::from_secs(1));
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));
    eventually("refreshed", || server.ask::<u64>(&["PTTL", "equipoise:k"]) > 50_000).await;
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));
    assert_eq!((store.stats().cache_hits, store.stats().hits, server.calls("getex")), (3, 0, 1));
}

#[tokio::test]
async fn no_use_and_no_move_takes_a_session_beyond_its_lifetime() {
    let Some(server) = Server::start(&[]).await else { return };
    let seconds = Arc::new(AtomicU64::new(1_700_000_000));
    let balancer = || {
        let seconds = Arc::clone(&seconds);
        let wall = move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed));
        builder(&server.url())
            .idle_timeout(Duration::from_secs(100))
            .lifetime(Duration::from_secs(150))
            .wall_clock(wall)
    };
    let (one, other) = (connected(balancer()).await, connected(balancer()).await);
    let left = || server.ask::<u64>(&["PTTL", "equipoise:k"]);
    one.bind(b"k", &id("a"), None);
    eventually("written", || one.stats().writes == 1).await;
    assert!((50_001..=100_000).contains(&left()), "the idle time, as it is shorter");

    seconds.fetch_add(100, Ordering::Relaxed);
    assert_eq!(find(&other, "k").await, Ok(Some(id("a"))));
    assert!((25_000..=50_000).contains(&left()), "what the lifetime leaves");
    other.bind(b"k", &id("b"), Some(&id("a")));
    eventually("written", || other.stats().writes == 1).await;
    assert!((25_000..=50_000).contains(&left()), "a session that moves keeps its birth");
    assert_eq!(server.ask::<String>(&["GET", "equipoise:k"]), "1 1700000000 b");
    let third = connected(balancer()).await;
    third.bind(b"k", &id("c"), Some(&id("b")));
    eventually("written", || third.stats().writes == 1).await;
    assert_eq!(server.ask::<String>(&["GET", "equipoise:k"]), "1 1700000000 c", "a move keeps the birth");

    seconds.fetch_add(50, Ordering::Relaxed);
    assert_eq!(find(&one, "k").await, Ok(None));
    assert_eq!(find(&other, "k").await, Ok(None));
    one.bind(b"k", &id("d"), None);
    eventually("written", || one.stats().writes == 2).await;
    assert_eq!(find(&other, "k").await, Ok(Some(id("d"))));
}

#[tokio::test]
async fn a_session_born_in_the_future_ends_by_its_lifetime() {
    let Some(server) = Server::start(&[]).await else { return };
    let seconds = Arc::new(AtomicU64::new(1_700_000_000));
    let balancer = || {
        let seconds = Arc::clone(&seconds);
        let wall = move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed));
        builder(&server.url()).lifetime(Duration::from_secs(150)).wall_clock(wall)
    };
    let (one, other) = (connected(balancer()).await, connected(balancer()).await);
    let value = |key: &str| server.ask::<String>(&["GET", &format!("equipoise:{key}")]);
    for key in ["found", "bound", "moved"] {
        let _: String = server.ask(&["SET", &format!("equipoise:{key}"), "1 99999999999 a", "PX", "1000000"]);
    }

    assert_eq!(find(&one, "found").await, Ok(Some(id("a"))));
    one.bind(b"bound", &id("b"), None);
    one.bind(b"moved", &id("b"), Some(&id("a")));
    eventually("written", || one.stats().writes == 2).await;
    assert_eq!((value("found"), value("bound")), ("1 1700000000 a".to_owned(), "1 1700000000 a".to_owned()));
    assert_eq!(value("moved"), "1 1700000000 b");
    for key in ["found", "bound", "moved"] {
        let left: u64 = server.ask(&["PTTL", &format!("equipoise:{key}")]);
        assert!((100_000..=150_000).contains(&left), "{key}: {left}");
    }
    // A clock that is less than five minutes behind changes nothing.
    seconds.fetch_sub(299, Ordering::Relaxed);
    assert_eq!(find(&other, "found").await, Ok(Some(id("a"))));
    assert_eq!(value("found"), "1 1700000000 a");

    seconds.fetch_add(299 + 150, Ordering::Relaxed);
    for key in ["found", "bound", "moved"] {
        assert_eq!((find(&one, key).await, find(&other, key).await), (Ok(None), Ok(None)), "{key}");
    }
}

#[tokio::test]
async fn what_a_balancer_bound_while_its_clock_was_ahead_ends_by_its_lifetime_without_a_server() {
    let seconds = Arc::new(AtomicU64::new(99_999_999_999));
    let wall = {
        let seconds = Arc::clone(&seconds);
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed))
    };
    let store = builder("redis://127.0.0.1:9/").lifetime(Duration::from_secs(150)).wall_clock(wall).build().unwrap();
    store.bind(b"k", &id("a"), None);
    seconds.store(1_700_000_000, Ordering::Relaxed);
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));
    seconds.fetch_add(149, Ordering::Relaxed);
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));
    seconds.fetch_add(1, Ordering::Relaxed);
    assert!(find(&store, "k").await.is_err(), "the server is away and nothing is known here");
}

#[tokio::test]
async fn what_the_server_evicts_is_unbound_and_what_it_has_no_room_for_is_counted() {
    let full = ["--maxmemory", "2mb", "--maxmemory-policy", "volatile-lru"];
    let Some(server) = Server::start(&full).await else { return };
    let store = connected(builder(&server.url()).cache_capacity(1)).await;
    const SESSIONS: u64 = 15_000;
    for session in 0..SESSIONS {
        store.bind(format!("session-{session}").as_bytes(), &id("10.0.0.7:8080"), None);
        if session % 1000 == 999 {
            eventually("written", || store.stats().writes + store.stats().writes_dropped > session).await;
        }
    }
    assert!(
        server.ask::<String>(&["INFO", "stats"]).lines().any(|line| {
            line.strip_prefix("evicted_keys:").is_some_and(|evicted| evicted.parse::<u64>().unwrap() > 0)
        })
    );
    let (mut found, mut lost) = (0, 0);
    for session in 0..200 {
        match find(&store, &format!("session-{}", session * 75)).await {
            Ok(Some(endpoint)) if endpoint == id("10.0.0.7:8080") => found += 1,
            Ok(None) => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(found > 0 && lost > 0, "{found} found, {lost} lost");

    let _: String = server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1mb"]);
    let before = store.stats().writes_dropped;
    store.bind(b"one more", &id("a"), None);
    eventually("refused", || store.stats().writes_dropped == before + 1).await;
    assert_eq!(find(&store, "one more").await, Ok(Some(id("a"))), "this balancer knows it all the same");
}

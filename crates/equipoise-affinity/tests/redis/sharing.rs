//! Several balancers that share a server.

use equipoise_affinity::{SessionStore, redis::RedisStore};

use super::{builder, connected, eventually, find, id, server::Server};

#[tokio::test]
async fn what_one_balancer_binds_moves_and_ends_the_other_follows() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, other) = (connected(builder(&server.url())).await, connected(builder(&server.url())).await);
    assert_eq!(find(&other, "k").await, Ok(None));

    one.bind(b"k", &id("a"), None);
    assert_eq!(find(&one, "k").await, Ok(Some(id("a"))), "at once");
    eventually("written", || one.stats().writes == 1).await;
    assert_eq!(find(&other, "k").await, Ok(Some(id("a"))));

    other.bind(b"k", &id("b"), Some(&id("a")));
    eventually("written", || other.stats().writes == 1).await;
    assert_eq!(find(&one, "k").await, Ok(Some(id("b"))));

    one.unbind(b"k");
    assert_eq!(find(&one, "k").await, Ok(None), "at once");
    eventually("written", || one.stats().writes == 2).await;
    assert_eq!(find(&other, "k").await, Ok(None));
    let (ours, theirs) = (one.stats(), other.stats());
    assert_eq!((ours.races_lost, theirs.races_lost, ours.writes_dropped, theirs.writes_dropped), (0, 0, 0, 0));
    assert_eq!((theirs.hits, theirs.misses, theirs.unavailable, theirs.malformed), (1, 2, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_bind_or_move_at_once_one_wins_and_both_follow() {
    let Some(server) = Server::start(&[]).await else { return };
    let balancers = [connected(builder(&server.url())).await, connected(builder(&server.url())).await];
    let written = |times: u64| {
        let balancers = &balancers;
        eventually("written", move || balancers.iter().all(|balancer| balancer.stats().writes == times))
    };
    let mut won = [0, 0];
    for session in 0..100 {
        let key = format!("k{session}");
        balancers[session % 2].bind(key.as_bytes(), &id("0"), None);
        balancers[1 - session % 2].bind(key.as_bytes(), &id("1"), None);
    }
    written(100).await;
    for session in 0..100 {
        let key = format!("k{session}");
        let (one, other) = (find(&balancers[0], &key).await, find(&balancers[1], &key).await);
        assert_eq!(one, other);
        won[usize::from(one == Ok(Some(id("1"))))] += 1;
        let bound = one.unwrap().unwrap();
        balancers[0].bind(key.as_bytes(), &id("2"), Some(&bound));
        balancers[1].bind(key.as_bytes(), &id("3"), Some(&bound));
    }
    written(200).await;
    for session in 0..100 {
        let (one, other) =
            (find(&balancers[0], &format!("k{session}")).await, find(&balancers[1], &format!("k{session}")).await);
        assert_eq!(one, other);
        assert!([Ok(Some(id("2"))), Ok(Some(id("3")))].contains(&one), "{one:?}");
    }
    assert_eq!(won.iter().sum::<i32>(), 100);
    let lost: u64 = balancers.iter().map(|balancer| balancer.stats().races_lost).sum();
    assert_eq!(lost, 200, "every race has one loser, which has noticed");
}

#[tokio::test]
async fn keys_lie_under_the_prefix_and_long_ones_as_their_digest() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).prefix("shop:")).await;
    let long = "x".repeat(5000);
    store.bind(b"short\0\r\n", &id("a"), None);
    store.bind(long.as_bytes(), &id("b"), None);
    eventually("written", || store.stats().writes == 2).await;
    assert_eq!(find(&store, &long).await, Ok(Some(id("b"))));

    let value: String = server.ask(&["GET", "shop:short\0\r\n"]);
    let words: Vec<_> = value.split(' ').collect();
    assert_eq!((words[0], words[2], words.len()), ("1", "a", 3));
    let mut keys: Vec<String> = server.ask(&["KEYS", "shop:*"]);
    keys.sort();
    assert_eq!((keys.len(), keys[0].len()), (2, "shop:".len() + 64));
}

#[tokio::test]
async fn balancers_with_different_prefixes_or_databases_share_nothing() {
    let Some(server) = Server::start(&[]).await else { return };
    let one = connected(builder(&server.url()).prefix("one:")).await;
    let others = [
        connected(builder(&server.url()).prefix("other:")).await,
        connected(builder(&format!("{}/3", server.url())).prefix("one:")).await,
    ];
    one.bind(b"k", &id("a"), None);
    eventually("written", || one.stats().writes == 1).await;
    for other in others {
        assert_eq!(find(&other, "k").await, Ok(None));
    }
}

#[tokio::test]
async fn a_key_under_one_prefix_is_no_key_under_a_longer_one() {
    let Some(server) = Server::start(&[]).await else { return };
    let one = connected(builder(&server.url()).prefix("eq:")).await;
    let other = connected(builder(&server.url()).prefix("eq:b:")).await;
    one.bind(b"b:k", &id("a"), None);
    eventually("written", || one.stats().writes == 1).await;
    assert_eq!(find(&other, "k").await, Ok(None));
    other.bind(b"k", &id("b"), None);
    eventually("written", || other.stats().writes == 1).await;
    assert_eq!((find(&one, "b:k").await, find(&other, "k").await), (Ok(Some(id("a"))), Ok(Some(id("b")))));

    let refused = RedisStore::builder(&server.url()).prefix("eq").build().unwrap_err().to_string();
    assert!(refused.contains("ends with ':'"), "{refused}");
}

#[tokio::test]
async fn a_password_is_given_and_a_wrong_one_is_an_absent_server() {
    let Some(server) = Server::start(&["--requirepass", "secret"]).await else { return };
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port());
    let store = connected(builder(&url("secret"))).await;
    assert_eq!(find(&store, "k").await, Ok(None));
    assert!(!format!("{store:?}").contains("secret"));

    for url in [url("wrong"), server.url()] {
        let store: RedisStore = builder(&url).build().unwrap();
        eventually("refused", || {
            matches!(store.lookup(b"k"), equipoise_affinity::Lookup::Now(Err(error)) if !error.to_string().contains("not connected yet"))
        })
        .await;
        assert!(!store.stats().connected);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_does_as_well() {
    let Some(server) = Server::start(&["--unixsocket", "socket"]).await else { return };
    let socket = server.directory().join("socket");
    let store = connected(builder(&format!("redis+unix://{}", socket.display()))).await;
    assert_eq!(find(&store, "k").await, Ok(None));
}

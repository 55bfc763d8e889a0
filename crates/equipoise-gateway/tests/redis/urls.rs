//! What URLs can say: users and passwords, databases, Unix domain sockets.

use equipoise_gateway::{
    cache::store::{Purge, Store as _, Stored},
    limit::{Limit, LimitKey, Quota, RateLimitLayer},
};

use super::{
    away, connected, eventually, is_stored, layer, limits, passed, put,
    server::{Directory, Server},
    stats, store,
};

/// The permissions that the documentation names, in the form of Redis's ACL.
const OF_LIMITS: &str = "+del +eval +evalsha +get +set +time";
const OF_STORES: &str =
    "+del +eval +evalsha +hdel +hget +hlen +hmget +hset +hstrlen +pexpire +pttl +scan +time +unlink";

#[tokio::test]
async fn a_user_of_an_acl_needs_the_named_commands_and_no_more() {
    let Some(server) = Server::start(&[]).await else { return };
    for (user, keys, commands) in
        [("limiter", "~equipoise:limit:*", OF_LIMITS), ("cacher", "~equipoise:cache:*", OF_STORES)]
    {
        let password = format!(">{user}/p@ss:word");
        let words: Vec<_> =
            ["ACL", "SETUSER", user, "on", &password, keys, "-@all"].into_iter().chain(commands.split(' ')).collect();
        let _: String = server.ask(&words);
    }
    let _: String = server.ask(&["CONFIG", "SET", "requirepass", "of-the-default-user"]);
    let address = server.url().replace("redis://", "");
    let url = |user: &str| format!("redis://{user}:{user}%2Fp%40ss%3Aword@{address}");
    let (layer, store) = connected(limits(&url("limiter")), store(&url("cacher"))).await;
    assert_eq!(passed(&layer, "k", 12).await, 9);
    assert_eq!(put(&store, "a").await, Stored::Yes);
    assert!(is_stored(&store, "a").await);
    for purge in [Purge::Url("a".to_owned()), Purge::Prefix("a".to_owned()), Purge::All] {
        store.purge(&purge).await.unwrap();
    }
    assert!(!is_stored(&store, "a").await);
    assert_eq!((stats(&layer).fallbacks, store.connection_stats().refused), (0, 0));
}

#[tokio::test]
async fn a_wrong_password_is_a_reason_that_does_not_show_it() {
    let Some(server) = Server::start(&["--requirepass", "right"]).await else { return };
    let address = server.url().replace("redis://", "");
    for (user, why) in
        [(":hunter2@", "authentication failed"), ("app:hunter2@", "authentication failed"), ("", "NOAUTH")]
    {
        let url = format!("redis://{user}{address}");
        let (limits, store) = (limits(&url), store(&url));
        let mut shown = format!("{limits:?} {store:?}");
        let (layer, store) = (layer(limits), store.build().unwrap());
        away(&layer, &store, why).await;
        assert_eq!(passed(&layer, "k", 12).await, 3);
        shown += &format!("{layer:?} {store:?} {:?} {:?}", stats(&layer), store.connection_stats());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let url = format!("redis://:right@{address}");
    connected(limits(&url), store(&url)).await;
}

#[tokio::test]
async fn databases_are_apart_and_one_that_the_server_does_not_have_is_a_reason() {
    let Some(server) = Server::start(&[]).await else { return };
    let url = |database: &str| format!("{}/{database}", server.url());
    let (layer, of_seven) = connected(limits(&url("7")), store(&url("7"))).await;
    let (_, of_zero) = connected(limits(&url("0")), store(&url("0"))).await;
    assert_eq!(passed(&layer, "k", 1).await, 1);
    put(&of_seven, "a").await;
    assert!(is_stored(&of_seven, "a").await && !is_stored(&of_zero, "a").await);
    // The keys of two limits, an entry and its table. The keys that are written for a check expire after a moment.
    eventually("four keys", || server.ask::<String>(&["INFO", "keyspace"]).contains("db7:keys=4,")).await;
    let (layer, store) = (super::layer(limits(&url("99"))), store(&url("99")).build().unwrap());
    away(&layer, &store, "it does not have the database").await;
}

#[tokio::test]
async fn a_unix_domain_socket_is_used() {
    let socket = Directory::new();
    let socket_path = socket.path().join("redis.sock");
    let Some(_server) = Server::start(&["--unixsocket", socket_path.to_str().unwrap()]).await else { return };
    let url = format!("redis+unix://{}?db=3", socket_path.display());
    let (layer, store) = connected(limits(&url), store(&url)).await;
    assert_eq!(passed(&layer, "k", 12).await, 9);
    put(&store, "a").await;
    assert!(is_stored(&store, "a").await);
}

#[tokio::test]
async fn impossible_urls_are_refused_without_their_password() {
    let limit = || Limit::new("x", LimitKey::global(), Quota::per_second(1));
    let tls = if cfg!(feature = "redis-tls") { "rediss://:hunter2@a_b*c" } else { "rediss://:hunter2@h" };
    for url in ["http://:hunter2@h", "redis://:hunter2@h/x", "redis://:hunter2@h:x", "redis://:hunter2@h#insecure", tls]
    {
        let of_limits = RateLimitLayer::builder().limit(limit()).redis(limits(url)).build().unwrap_err().to_string();
        let of_store = store(url).build().unwrap_err().to_string();
        for error in [of_limits, of_store] {
            assert!(error.contains("use redis[s]://") && !error.contains("hunter2"), "{error}");
            assert_eq!(url.starts_with("rediss://:hunter2@h"), error.contains("needs the feature"), "{error}");
        }
    }
}

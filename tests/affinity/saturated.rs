//! Sticky until saturated: if the server of a session is full, another one serves the request, and the session comes
//! back.

use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    affinity::{Affinity, Mode},
};
use equipoise_tests::soon;
use http::header::SET_COOKIE;

use crate::{
    clients::Browser,
    proxy::Proxy,
    setup::{Servers, USER, affinity, in_table, tokens},
};

/// Three servers with settings of the test.
fn site(servers: &Servers, spec: impl Fn(EndpointSpec) -> EndpointSpec) -> Pool<()> {
    let pool = Pool::new(RoundRobin::new());
    pool.update(servers.specs().into_iter().map(spec), |_| ()).unwrap();
    pool
}

async fn is_left_and_returned_to(servers: &Servers, pool: &Pool<()>, affinity: &Affinity, why: &str) {
    let proxy = Proxy::start(pool, affinity);
    let visitor = Browser::with(USER, "ada");
    assert_eq!(visitor.get(&proxy).await.server(), "a");
    for _ in 0..3 {
        // The server has as many requests in flight as it may have, or more than its share.
        let held = visitor.open(&proxy, "/hold").await;
        for _ in 0..5 {
            let away = visitor.get(&proxy).await;
            assert_ne!(away.server(), "a");
            assert_eq!(away.outcome(), format!("diverted from a: {why}"));
            assert_eq!(away.header(&SET_COOKIE), None);
        }
        let idle = pool.idle("a");
        servers.release();
        visitor.read(held).await;
        soon(idle).await;
        let back = visitor.get(&proxy).await;
        assert_eq!((back.server(), back.outcome()), ("a", "kept"));
        assert_eq!(back.header(&SET_COOKIE), None);
    }
    let stats = affinity.stats();
    assert_eq!((stats.new, stats.kept, stats.moved), (1, 6, vec![]));
    assert_eq!(stats.diverted.iter().map(|(why, n)| (why.to_string(), *n)).collect::<Vec<_>>(), [(why.to_owned(), 15)]);
}

async fn at_its_limit(mode: Mode) {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = site(&servers, |spec| spec.max_in_flight(1));
    // The maximum share is so large that only the limit counts.
    is_left_and_returned_to(&servers, &pool, &affinity(&pool, mode).max_share(1e6), "full").await;
}

async fn over_its_share(mode: Mode) {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = site(&servers, |spec| spec);
    is_left_and_returned_to(&servers, &pool, &affinity(&pool, mode).max_share(1.25), "overloaded").await;
}

#[tokio::test]
async fn with_a_cookie_a_server_at_its_limit_is_left_and_returned_to() {
    at_its_limit(tokens()).await;
}

#[tokio::test]
async fn with_a_table_a_server_at_its_limit_is_left_and_returned_to() {
    at_its_limit(in_table()).await;
}

#[tokio::test]
async fn with_a_cookie_a_server_that_has_more_than_its_share_is_left_and_returned_to() {
    over_its_share(tokens()).await;
}

#[tokio::test]
async fn with_a_table_a_server_that_has_more_than_its_share_is_left_and_returned_to() {
    over_its_share(in_table()).await;
}

#[tokio::test]
async fn without_a_max_share_a_session_also_returns_to_a_server_that_was_at_its_limit() {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = site(&servers, |spec| spec.max_in_flight(1));
    let affinity = affinity(&pool, tokens());
    let (proxy, visitor) = (Proxy::start(&pool, &affinity), Browser::new());
    assert_eq!(visitor.get(&proxy).await.server(), "a");
    let held = visitor.open(&proxy, "/hold").await;
    let elsewhere = visitor.get(&proxy).await;
    assert_eq!((elsewhere.outcome(), elsewhere.cookie()), ("diverted from a: full", None));
    servers.release();
    visitor.read(held).await;
    assert_eq!(soon(visitor.servers(&proxy, 5)).await, ["a"]);
}

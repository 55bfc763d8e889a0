//! Sessions that the servers create: learned from responses, or with a route in their value.

use equipoise::{
    Availability, Pool,
    affinity::{
        Affinity, Mode,
        learn::{Learn, Route},
        table::SessionTable,
    },
};
use equipoise_tests::soon;

use crate::{
    clients::{Browser, get, get_with},
    proxy::Proxy,
    setup::{Servers, affinity},
};

fn java() -> Learn {
    Learn::new().cookie("JSESSIONID").unwrap().path_parameter("jsessionid").unwrap()
}

struct Site {
    servers: Servers,
    pool: Pool<()>,
    affinity: Affinity,
    proxy: Proxy,
}

impl Site {
    fn of(mode: Mode) -> Self {
        let servers = Servers::start(["a", "b", "c"]);
        let pool = servers.pool();
        let affinity = affinity(&pool, mode);
        let proxy = Proxy::start(&pool, &affinity);
        Self { servers, pool, affinity, proxy }
    }

    fn learning() -> (Self, SessionTable) {
        let table = SessionTable::builder().build().unwrap();
        (Self::of(Mode::learn(java(), std::sync::Arc::new(table.clone()))), table)
    }
}

#[tokio::test]
async fn a_logged_in_client_comes_back_to_its_server_and_others_are_balanced() {
    let (site, table) = Site::learning();
    let (ann, bob) = (Browser::new(), Browser::new());
    assert_eq!(soon(ann.servers(&site.proxy, 2)).await, ["a", "b"]);
    assert_eq!(table.len(), 0);
    assert_eq!(ann.ask(&site.proxy, "/login").await.server(), "c");
    assert_eq!(bob.ask(&site.proxy, "/login").await.server(), "a");
    for _ in 0..10 {
        assert_eq!(ann.get(&site.proxy).await.server(), "c");
        assert_eq!(bob.get(&site.proxy).await.server(), "a");
    }
    assert_eq!(table.len(), 2);
    assert_eq!(site.affinity.stats().kept, 20);
}

#[tokio::test]
async fn a_learned_session_is_recognised_in_a_link_too() {
    let (site, _) = Site::learning();
    let ann = Browser::new();
    ann.get(&site.proxy).await;
    let session = ann.ask(&site.proxy, "/login").await.cookie().unwrap();
    let link = format!("/cart;{}?page=2", session.replace("JSESSIONID", "jsessionid"));
    for _ in 0..5 {
        let followed = Browser::new().ask(&site.proxy, &link).await;
        assert_eq!((followed.server(), followed.outcome()), ("b", "kept"));
    }
}

#[tokio::test]
async fn made_up_sessions_are_never_learned() {
    let (site, table) = Site::learning();
    for number in 0..9 {
        let made_up = soon(get_with(&site.proxy, format!("JSESSIONID=made-up-{}", number / 3))).await;
        assert_eq!(made_up.server(), ["a", "b", "c"][number % 3]);
        assert!(made_up.outcome().starts_with("unbound"), "{made_up:?}");
    }
    assert_eq!((table.len(), site.affinity.stats().unbound_for("unknown")), (0, 9));
}

#[tokio::test]
async fn a_learned_session_ends_when_its_server_removes_the_cookie() {
    let (site, table) = Site::learning();
    let session = soon(Browser::new().ask(&site.proxy, "/login")).await.cookie().unwrap();
    assert_eq!(table.len(), 1);
    let ann = Browser::with("cookie", &session);
    assert_eq!(ann.ask(&site.proxy, "/logout").await.outcome(), "kept");
    assert_eq!(table.len(), 0);
    assert!(ann.get(&site.proxy).await.outcome().starts_with("unbound"));
}

#[tokio::test]
async fn a_learned_session_whose_server_dies_moves_once_and_stays() {
    let (mut site, _) = Site::learning();
    let ann = Browser::new();
    assert_eq!(ann.ask(&site.proxy, "/login").await.server(), "a");
    site.servers.of("a").stop().await;
    let moved = ann.get(&site.proxy).await;
    assert_eq!(moved.outcome(), "moved from a: it has failed the request");
    site.servers.of("a").restart().unwrap();
    assert_eq!(soon(ann.servers(&site.proxy, 10)).await, [moved.server()]);
}

#[tokio::test]
async fn a_route_names_its_server_to_balancers_that_do_not_know_the_session() {
    let (one, other) =
        (Site::of(Mode::route(java(), Route::default())), Site::of(Mode::route(java(), Route::default())));
    for site in [&one, &other] {
        for (number, server) in ["c", "a", "b", "c", "b", "a"].into_iter().enumerate() {
            let answer = soon(get_with(&site.proxy, format!("JSESSIONID={number}.{server}"))).await;
            assert_eq!((answer.server(), answer.outcome()), (server, "kept"));
        }
    }
    // A browser that logs in gets a cookie with a route.
    let ann = Browser::new();
    soon(get(&one.proxy, "")).await;
    assert_eq!(ann.ask(&one.proxy, "/login").await.server(), "b");
    assert_eq!(soon(ann.servers(&one.proxy, 10)).await, ["b"]);
}

#[tokio::test]
async fn a_route_to_an_unavailable_server_leads_to_the_same_stand_in_everywhere_and_back() {
    let (one, other) =
        (Site::of(Mode::route(java(), Route::default())), Site::of(Mode::route(java(), Route::default())));
    for site in [&one, &other] {
        site.pool.set_availability("b", Availability::Maintenance).unwrap();
    }
    for number in 0..20 {
        let session = format!("JSESSIONID={number}.b");
        // The round robins of the two balancers are at different turns each time.
        soon(get(&other.proxy, "")).await;
        let (first, second) = tokio::join!(get_with(&one.proxy, &session), get_with(&other.proxy, &session));
        assert_eq!((first.server(), first.outcome()), (second.server(), "diverted from b: in maintenance"));
    }
    one.pool.set_availability("b", Availability::Up).unwrap();
    assert_eq!(soon(get_with(&one.proxy, "JSESSIONID=7.b")).await.outcome(), "kept");
    // A route of an unknown server does not bind.
    for (session, reason) in [("JSESSIONID=7", "unknown"), ("JSESSIONID=", "absent")] {
        assert!(soon(get_with(&one.proxy, session)).await.outcome().starts_with("unbound"));
        assert_eq!(one.affinity.stats().unbound_for(reason), 1);
    }
}

#[tokio::test]
async fn nothing_is_learned_from_an_exempted_request() {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = servers.pool();
    let table = SessionTable::builder().build().unwrap();
    let affinity = affinity(&pool, Mode::learn(java(), std::sync::Arc::new(table.clone()))).except(|_| true);
    let (proxy, ann) = (Proxy::start(&pool, &affinity), Browser::new());
    assert_eq!(ann.ask(&proxy, "/login").await.outcome(), "unbound: affinity is off");
    assert!(table.is_empty());
}

#[tokio::test]
async fn with_the_option_sessions_are_learned_from_requests_too() {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = servers.pool();
    let table = SessionTable::builder().build().unwrap();
    let affinity = affinity(&pool, Mode::learn(java().adopt(), std::sync::Arc::new(table.clone())));
    let proxy = Proxy::start(&pool, &affinity);
    let first = soon(get_with(&proxy, "JSESSIONID=6A3F")).await;
    assert!(first.outcome().starts_with("newly bound"), "{}", first.outcome());
    for _ in 0..5 {
        assert_eq!(soon(get_with(&proxy, "JSESSIONID=6A3F")).await.server(), first.server());
    }
    assert_eq!(table.len(), 1);
}

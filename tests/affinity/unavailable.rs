//! What happens to sessions whose endpoint is not available.

use std::time::Duration;

use equipoise::{
    Availability, Pool,
    affinity::{
        Mode, OnUnavailable,
        learn::{Learn, Route},
    },
};
use equipoise_tests::soon;
use http::StatusCode;

use crate::{
    clients::{Browser, get, get_with},
    proxy::Proxy,
    setup::{Servers, affinity, tokens},
};

/// A timeout longer than the test, so that it has no effect.
const LONG: Duration = Duration::from_secs(600);

/// A pool, a proxy, and the cookie of a session at `a`.
async fn site(servers: &Servers, missing: OnUnavailable, unavailable: OnUnavailable) -> (Pool<()>, Proxy, String) {
    let pool = servers.pool();
    let before = Proxy::start(&pool, &affinity(&pool, tokens()));
    let cookie = soon(get(&before, "")).await.cookie().unwrap();
    let proxy = Proxy::start(&pool, &affinity(&pool, tokens()).missing(missing).unavailable(unavailable));
    assert_eq!(soon(get_with(&proxy, &cookie)).await.server(), "a");
    (pool, proxy, cookie)
}

#[tokio::test]
async fn rebind_moves_a_session_whose_server_is_in_maintenance_and_admits_new_sessions() {
    let servers = Servers::start(["a", "b", "c"]);
    let (pool, proxy, cookie) = site(&servers, OnUnavailable::Rebind, OnUnavailable::Rebind).await;
    pool.set_availability("a", Availability::Maintenance).unwrap();
    let moved = soon(get_with(&proxy, &cookie)).await;
    assert_eq!((moved.status, moved.outcome()), (StatusCode::OK, "moved from a: in maintenance"));
    let again = soon(get_with(&proxy, moved.cookie().unwrap())).await;
    assert_eq!((again.server(), again.outcome()), (moved.server(), "kept"));
    assert!(soon(get(&proxy, "")).await.outcome().starts_with("newly bound"));
}

#[tokio::test]
async fn refuse_answers_503_while_the_server_is_unavailable_and_keeps_the_session() {
    let mut servers = Servers::start(["a", "b", "c"]);
    let (pool, proxy, cookie) = site(&servers, OnUnavailable::Rebind, OnUnavailable::Refuse).await;
    for out in [Availability::Maintenance, Availability::Unhealthy] {
        pool.set_availability("a", out).unwrap();
        let refused = soon(get_with(&proxy, &cookie)).await;
        assert_eq!((refused.status, refused.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
        pool.set_availability("a", Availability::Up).unwrap();
        assert_eq!(soon(get_with(&proxy, &cookie)).await.outcome(), "kept");
    }
    // If the server dies, a request is sent to it first, so the response is a gateway error.
    servers.of("a").stop().await;
    assert_eq!(soon(get_with(&proxy, &cookie)).await.status, StatusCode::BAD_GATEWAY);
    servers.of("a").restart().unwrap();
    assert_eq!(soon(get_with(&proxy, &cookie)).await.outcome(), "kept");
    // A request without a session is admitted.
    assert_eq!(soon(get(&proxy, "")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_refused_because_of_their_session_are_counted() {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = servers.pool();
    let affinity = affinity(&pool, tokens()).unavailable(OnUnavailable::Refuse);
    let proxy = Proxy::start(&pool, &affinity);
    let cookie = soon(get(&proxy, "")).await.cookie().unwrap();
    pool.set_availability("a", Availability::Maintenance).unwrap();
    for _ in 0..3 {
        assert_eq!(soon(get_with(&proxy, &cookie)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!((affinity.stats().failed, affinity.stats().refused), (3, 0));
}

#[tokio::test]
async fn a_session_of_a_removed_server_is_not_refused_in_any_mode() {
    let route = || Mode::route(Learn::new().cookie("JSESSIONID").unwrap(), Route::default());
    for (mode, brings) in [(tokens(), None), (route(), Some("JSESSIONID=7.a".to_owned()))] {
        let servers = Servers::start(["a", "b", "c"]);
        let pool = servers.pool();
        let proxy = Proxy::start(&pool, &affinity(&pool, mode).unavailable(OnUnavailable::Refuse));
        let cookie = match brings {
            Some(cookie) => cookie,
            None => soon(get(&proxy, "")).await.cookie().unwrap(),
        };
        assert_eq!(soon(get_with(&proxy, &cookie)).await.server(), "a");
        pool.remove("a").unwrap();
        let stand_in = soon(get_with(&proxy, &cookie)).await;
        assert_eq!(stand_in.status, StatusCode::OK);
        assert_eq!(
            soon(get_with(&proxy, &cookie)).await.server(),
            stand_in.server(),
            "later requests go to the same server"
        );
    }
}

#[tokio::test]
async fn refuse_for_missing_sessions_refuses_requests_without_a_session() {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = servers.pool();
    let affinity = affinity(&pool, tokens()).missing(OnUnavailable::Refuse);
    let proxy = Proxy::start(&pool, &affinity);
    assert_eq!(soon(get(&proxy, "")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(soon(get_with(&proxy, "lb=nonsense")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let stats = affinity.stats();
    assert_eq!((stats.refused, stats.unbound_for("absent"), stats.unbound_for("malformed")), (2, 1, 1));
    assert!(pool.endpoints().iter().all(|endpoint| endpoint.in_flight == 0));
}

#[tokio::test]
async fn a_waiting_session_is_served_if_its_server_comes_back_in_time() {
    let servers = Servers::start(["a", "b", "c"]);
    let (pool, proxy, cookie) = site(&servers, OnUnavailable::Rebind, OnUnavailable::Wait(LONG)).await;
    pool.set_availability("a", Availability::Unhealthy).unwrap();
    let request = get_with(&proxy, &cookie);
    let comes_back = async {
        // The earlier request, and this one, which waits.
        proxy.has_under_way(2).await;
        pool.set_availability("a", Availability::Up).unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(request, comes_back) }).await;
    assert_eq!((answer.status, answer.server(), answer.outcome()), (StatusCode::OK, "a", "kept"));
}

#[tokio::test]
async fn a_waiting_session_is_refused_if_its_server_does_not_come_back_in_time() {
    let servers = Servers::start(["a", "b", "c"]);
    let (pool, proxy, cookie) =
        site(&servers, OnUnavailable::Rebind, OnUnavailable::Wait(Duration::from_millis(50))).await;
    pool.set_availability("a", Availability::Unhealthy).unwrap();
    assert_eq!(soon(get_with(&proxy, &cookie)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    pool.set_availability("a", Availability::Up).unwrap();
    assert_eq!(soon(get_with(&proxy, &cookie)).await.outcome(), "kept");
}

#[tokio::test]
async fn a_session_also_waits_for_a_server_at_its_limit() {
    let servers = Servers::start(["a", "b"]);
    let (pool, proxy, cookie) = site(&servers, OnUnavailable::Rebind, OnUnavailable::Wait(LONG)).await;
    pool.update(servers.specs().into_iter().map(|spec| spec.max_in_flight(1)), |_| ()).unwrap();
    // Two requests in flight, one at each server.
    let (one, other) = (Browser::new(), Browser::new());
    let held = [one.open(&proxy, "/hold").await, other.open(&proxy, "/hold").await];
    assert_eq!(pool.endpoints()[0].in_flight, 1);
    let request = get_with(&proxy, &cookie);
    let makes_room = async {
        proxy.has_under_way(4).await;
        servers.release();
        for response in held {
            response.bytes().await.unwrap();
        }
    };
    let (answer, ()) = soon(async { tokio::join!(request, makes_room) }).await;
    assert_eq!((answer.server(), answer.outcome()), ("a", "kept"));
}

#[tokio::test]
async fn a_new_session_waits_for_any_server() {
    let servers = Servers::start(["a", "b"]);
    let pool = Pool::<()>::builder(equipoise::RoundRobin::new()).panic_threshold(0.0).build();
    pool.update(servers.specs(), |_| ()).unwrap();
    for name in ["a", "b"] {
        pool.set_availability(name, Availability::Unhealthy).unwrap();
    }
    let proxy = Proxy::start(&pool, &affinity(&pool, tokens()).missing(OnUnavailable::Wait(LONG)));
    let request = get(&proxy, "");
    let comes = async {
        proxy.has_under_way(1).await;
        pool.set_availability("b", Availability::Up).unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(request, comes) }).await;
    assert_eq!((answer.server(), answer.status), ("b", StatusCode::OK));
    assert!(answer.outcome().starts_with("newly bound"));
}

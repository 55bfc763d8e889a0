//! Whoever asks why is told what then happens.

use equipoise::{
    Availability, Missed, PickError, Preference,
    affinity::{Explained, Fallback, Unbound},
};
use equipoise_tests::soon;
use http::{Request, header::COOKIE};

use crate::{
    clients::{get, get_with},
    modes::{Kind, Site},
    proxy::Proxy,
    setup::{Servers, USER, affinity, tokens},
};

async fn explain(site: &Site, cookie: &str) -> Explained {
    site.affinity.explain(&Request::get("/").header(COOKIE, cookie).body(()).unwrap()).await
}

#[tokio::test]
async fn a_bound_an_unbound_and_a_moved_session_are_explained_as_they_then_go() {
    let servers = Servers::start(["a", "b", "c"]);
    let site = Kind::Cookie.site(&servers).await;
    soon(get(&site.proxy, "")).await;
    let session = soon(get(&site.proxy, "")).await.cookie().unwrap();

    let unbound = explain(&site, "theme=dark").await;
    assert_eq!(unbound.home, Err(Unbound::Absent));
    assert_eq!(unbound.pick.as_ref().unwrap().picked, Ok("c".into()));
    assert!(unbound.to_string().starts_with("belongs to nobody: it brings no session\n"), "{unbound}");

    let bound = explain(&site, &session).await;
    let pick = bound.pick.as_ref().unwrap();
    assert_eq!((&bound.home, &pick.picked, pick.preference), (&Ok("b".into()), &Ok("b".into()), Preference::Kept));
    assert!(bound.to_string().starts_with("belongs to b\n"), "{bound}");

    site.pool.set_availability("b", Availability::Closed).unwrap();
    let before = site.affinity.stats();
    let moves = explain(&site, &session).await;
    let pick = moves.pick.as_ref().unwrap();
    assert_eq!((&moves.home, pick.preference), (&Ok("b".into()), Preference::Missed(Missed::Closed)));
    assert!(moves.to_string().contains("closed"), "{moves}");
    // It is told and not done.
    assert_eq!(site.affinity.stats(), before);
    let moved = soon(get_with(&site.proxy, &session)).await;
    assert_eq!(Ok(moved.server().into()), pick.picked);

    let after = explain(&site, &moved.cookie().unwrap()).await;
    assert_eq!(after.home, Ok(moved.server().into()));
    // Nothing of all that was a request: the turn is where it was.
    assert_eq!(explain(&site, "").await.pick.unwrap().picked, unbound.pick.unwrap().picked);
}

#[tokio::test]
async fn a_session_that_is_not_let_in_is_explained() {
    let servers = Servers::start(["a", "b"]);
    let pool = servers.pool();
    let (before, refusing) = (affinity(&pool, tokens()), affinity(&pool, tokens()));
    let refusing = refusing.missing(Fallback::Refuse).unavailable(Fallback::Refuse);
    let session = soon(get(&Proxy::start(&pool, &before), "")).await.cookie().unwrap();
    let explain =
        async |cookie: &str| refusing.explain(&Request::get("/").header(COOKIE, cookie).body(()).unwrap()).await;

    let unbound = explain("lb=nonsense").await;
    assert_eq!((unbound.home.is_err(), unbound.pick.as_ref().err()), (true, Some(&PickError::Unbound)));
    assert!(unbound.to_string().contains("not let in"), "{unbound}");

    pool.set_availability("a", Availability::Closed).unwrap();
    let bound = explain(&session).await;
    assert_eq!(bound.home, Ok("a".into()));
    let picked = bound.pick.unwrap().picked;
    assert_eq!(picked, Err(PickError::Bound { missed: Missed::Closed }));
}

#[tokio::test]
async fn a_session_in_redis_is_explained() {
    let Some(redis) = Kind::redis().await else { return };
    let servers = Servers::start(["a", "b", "c"]);
    let (site, other) = (redis.site(&servers).await, redis.site(&servers).await);
    let visitors = redis.visitors(0..2, &site).await;
    site.has_written(2).await;
    for (number, (_, home)) in visitors.iter().enumerate() {
        let request = Request::get("/").header(USER, format!("visitor {number}")).body(()).unwrap();
        for site in [&site, &other] {
            assert_eq!(site.affinity.explain(&request).await.home, Ok(home.as_str().into()));
        }
    }
    let nobody = Request::get("/").header(USER, "nobody").body(()).unwrap();
    assert_eq!(other.affinity.explain(&nobody).await.home, Err(Unbound::Unknown));
}

//! `Affinity::explain` says what then happens to the request.

use equipoise::{
    Availability, BindingOutcome, MissReason, PickError,
    affinity::{AffinityExplanation, OnUnavailable, UnboundReason},
};
use equipoise_tests::soon;
use http::{Request, header::COOKIE};

use crate::{
    clients::{get, get_with},
    modes::{Kind, Site},
    proxy::Proxy,
    setup::{Servers, USER, affinity, tokens},
};

async fn explain(site: &Site, cookie: &str) -> AffinityExplanation {
    site.affinity.explain(&Request::get("/").header(COOKIE, cookie).body(()).unwrap()).await
}

#[tokio::test]
async fn a_bound_an_unbound_and_a_moved_session_are_explained_as_they_then_happen() {
    let servers = Servers::start(["a", "b", "c"]);
    let site = Kind::Cookie.site(&servers).await;
    soon(get(&site.proxy, "")).await;
    let session = soon(get(&site.proxy, "")).await.cookie().unwrap();

    let unbound = explain(&site, "theme=dark").await;
    assert_eq!(unbound.endpoint, Err(UnboundReason::Absent));
    assert_eq!(unbound.pick.as_ref().unwrap().picked, Ok("c".into()));
    assert!(unbound.to_string().starts_with("not bound: it has no session\n"), "{unbound}");

    let bound = explain(&site, &session).await;
    let pick = bound.pick.as_ref().unwrap();
    assert_eq!(
        (&bound.endpoint, &pick.picked, pick.binding_outcome),
        (&Ok("b".into()), &Ok("b".into()), BindingOutcome::Kept)
    );
    assert!(bound.to_string().starts_with("bound to b\n"), "{bound}");

    site.pool.set_availability("b", Availability::Maintenance).unwrap();
    let before = site.affinity.stats();
    let moves = explain(&site, &session).await;
    let pick = moves.pick.as_ref().unwrap();
    assert_eq!(
        (&moves.endpoint, pick.binding_outcome),
        (&Ok("b".into()), BindingOutcome::Missed(MissReason::Maintenance))
    );
    assert!(moves.to_string().contains("maintenance"), "{moves}");
    // Explaining has no effect.
    assert_eq!(site.affinity.stats(), before);
    let moved = soon(get_with(&site.proxy, &session)).await;
    assert_eq!(Ok(moved.server().into()), pick.picked);

    let after = explain(&site, &moved.cookie().unwrap()).await;
    assert_eq!(after.endpoint, Ok(moved.server().into()));
    // None of the explanations was a request, so round robin continues where it was.
    assert_eq!(explain(&site, "").await.pick.unwrap().picked, unbound.pick.unwrap().picked);
}

#[tokio::test]
async fn a_hashed_session_is_explained_as_it_then_happens() {
    let servers = Servers::start(["a", "b", "c"]);
    let site = Kind::Hash.site(&servers).await;
    let explain = async |number: usize| {
        let request = Request::get("/").header(USER, format!("visitor {number}")).body(()).unwrap();
        site.affinity.explain(&request).await.pick.unwrap().picked
    };
    let visitors = Kind::Hash.visitors(0..9, &site).await;
    for (number, (_, server)) in visitors.iter().enumerate() {
        assert_eq!(explain(number).await, Ok(server.as_str().into()));
    }
    // No bindings are stored, so a draining server has no keys left.
    let out = visitors[0].1.as_str();
    for availability in [Availability::Draining, Availability::Maintenance] {
        site.pool.set_availability(out, availability).unwrap();
        for (number, (visitor, server)) in visitors.iter().enumerate() {
            let picked = explain(number).await.unwrap();
            assert_eq!(picked.as_str() == server, out != server, "visitor {number}, {availability:?}");
            assert_eq!(visitor.get(&site.proxy).await.server(), picked.as_str());
        }
    }
}

#[tokio::test]
async fn a_learned_session_is_explained_before_it_is_known_after_that_and_when_it_moves() {
    let servers = Servers::start(["a", "b", "c"]);
    let site = Kind::Learn.site(&servers).await;
    assert_eq!(explain(&site, "theme=dark").await.endpoint, Err(UnboundReason::Absent));
    assert_eq!(explain(&site, "JSESSIONID=a1.a").await.endpoint, Err(UnboundReason::Unknown));

    let login = Kind::Learn.visitor("ann").ask(&site.proxy, "/login").await;
    let (server, session) = (login.server(), login.cookie().unwrap());
    let bound = explain(&site, &session).await;
    let pick = bound.pick.as_ref().unwrap();
    assert_eq!(
        (&bound.endpoint, &pick.picked, pick.binding_outcome),
        (&Ok(server.into()), &Ok(server.into()), BindingOutcome::Kept)
    );

    site.pool.set_availability(server, Availability::Maintenance).unwrap();
    let moves = explain(&site, &session).await;
    let pick = moves.pick.unwrap();
    assert_eq!(
        (moves.endpoint, pick.binding_outcome),
        (Ok(server.into()), BindingOutcome::Missed(MissReason::Maintenance))
    );
    let moved = soon(get_with(&site.proxy, &session)).await;
    assert_eq!(pick.picked, Ok(moved.server().into()));
    assert_eq!(explain(&site, &session).await.endpoint, Ok(moved.server().into()));
}

#[tokio::test]
async fn a_route_is_explained_with_and_without_its_server() {
    let servers = Servers::start(["a", "b", "c"]);
    let site = Kind::Route.site(&servers).await;
    let bound = explain(&site, "JSESSIONID=7.b").await;
    let pick = bound.pick.as_ref().unwrap();
    assert_eq!(
        (&bound.endpoint, &pick.picked, pick.binding_outcome),
        (&Ok("b".into()), &Ok("b".into()), BindingOutcome::Kept)
    );
    for (session, why) in [("JSESSIONID=7", UnboundReason::Unknown), ("theme=dark", UnboundReason::Absent)] {
        assert_eq!(explain(&site, session).await.endpoint, Err(why), "{session}");
    }

    site.pool.set_availability("b", Availability::Maintenance).unwrap();
    let away = explain(&site, "JSESSIONID=7.b").await;
    let pick = away.pick.unwrap();
    assert_eq!(
        (away.endpoint, pick.binding_outcome),
        (Ok("b".into()), BindingOutcome::Missed(MissReason::Maintenance))
    );
    assert_eq!(pick.picked, Ok(soon(get_with(&site.proxy, "JSESSIONID=7.b")).await.server().into()));
    // The route still names b, so the session returns to b.
    assert_eq!(explain(&site, "JSESSIONID=7.b").await.endpoint, Ok("b".into()));
}

#[tokio::test]
async fn a_refused_session_is_explained() {
    let servers = Servers::start(["a", "b"]);
    let pool = servers.pool();
    let (before, refusing) = (affinity(&pool, tokens()), affinity(&pool, tokens()));
    let refusing = refusing.missing(OnUnavailable::Refuse).unavailable(OnUnavailable::Refuse);
    let session = soon(get(&Proxy::start(&pool, &before), "")).await.cookie().unwrap();
    let explain =
        async |cookie: &str| refusing.explain(&Request::get("/").header(COOKIE, cookie).body(()).unwrap()).await;

    let unbound = explain("lb=nonsense").await;
    assert_eq!((unbound.endpoint.is_err(), unbound.pick.as_ref().err()), (true, Some(&PickError::Unbound)));
    assert!(unbound.to_string().contains("refused"), "{unbound}");

    pool.set_availability("a", Availability::Maintenance).unwrap();
    let bound = explain(&session).await;
    assert_eq!(bound.endpoint, Ok("a".into()));
    let picked = bound.pick.unwrap().picked;
    assert_eq!(picked, Err(PickError::Bound { missed: MissReason::Maintenance }));
}

#[tokio::test]
async fn a_session_in_redis_is_explained() {
    let Some(redis) = Kind::redis().await else { return };
    let servers = Servers::start(["a", "b", "c"]);
    let (site, other) = (redis.site(&servers).await, redis.site(&servers).await);
    let visitors = redis.visitors(0..2, &site).await;
    site.has_written(2).await;
    for (number, (_, server)) in visitors.iter().enumerate() {
        let request = Request::get("/").header(USER, format!("visitor {number}")).body(()).unwrap();
        for site in [&site, &other] {
            assert_eq!(site.affinity.explain(&request).await.endpoint, Ok(server.as_str().into()));
        }
    }
    let unknown = Request::get("/").header(USER, "unknown").body(()).unwrap();
    assert_eq!(other.affinity.explain(&unknown).await.endpoint, Err(UnboundReason::Unknown));
}

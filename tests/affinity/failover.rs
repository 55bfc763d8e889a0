//! Failover: all balancers agree on the stand-in of a dead server without communication.

use std::collections::BTreeMap;

use equipoise::Availability;
use equipoise_tests::soon;
use http::StatusCode;

use crate::{
    clients::{Answer, get, get_with},
    modes::{Kind, Site},
    setup::{Servers, USER},
};

const SESSIONS: usize = 50;

/// Returns the header lines of sessions that are all bound to `b`.
async fn bound_to_b(kind: &Kind, site: &Site) -> Vec<String> {
    let others = |availability| {
        for other in ["a", "c", "d"] {
            site.pool.set_availability(other, availability).unwrap();
        }
    };
    others(Availability::Draining);
    let mut lines = Vec::new();
    for number in 0..SESSIONS {
        let line = format!("{USER}: {number}\r\n");
        let answer = soon(get(&site.proxy, &line)).await;
        assert_eq!(answer.server(), "b");
        lines.push(match kind {
            Kind::Cookie => format!("cookie: {}\r\n", answer.cookie().unwrap()),
            _ => line,
        });
    }
    others(Availability::Up);
    lines
}

/// Sends a request of the same session to both balancers at the same time, so that neither knows the other's result.
/// Between such requests, one balancer gets a request without a session, so that the round robins of the two balancers
/// are at different servers.
async fn both(one: &Site, other: &Site, session: &str, number: usize) -> (Answer, Answer) {
    soon(get(&other.proxy, format!("{USER}: somebody new {number}\r\n"))).await;
    soon(async { tokio::join!(get(&one.proxy, session), get(&other.proxy, session)) }).await
}

fn moved(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.outcome().starts_with("moved from b: "), "{answer:?}");
    answer.server()
}

/// Asserts that each server has some of the sessions, and all together have all.
fn spread<'s>(substitutes: impl Iterator<Item = &'s str>) {
    let mut counts = BTreeMap::new();
    substitutes.for_each(|server| *counts.entry(server).or_insert(0) += 1);
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["a", "c", "d"]);
    // With 50 sessions on three servers, so few have a probability of one in a million.
    assert!(counts.values().all(|count| *count >= 3), "{counts:?}");
}

#[tokio::test]
async fn two_balancers_without_communication_agree_on_the_stand_in_of_a_dead_server() {
    let mut servers = Servers::start(["a", "b", "c", "d"]);
    let (one, other) = (Kind::Cookie.site(&servers).await, Kind::Cookie.site(&servers).await);
    let sessions = bound_to_b(&Kind::Cookie, &one).await;
    servers.of("b").stop().await;

    let mut substitutes = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        let (first, second) = both(&one, &other, session, number).await;
        assert_eq!(moved(&first), moved(&second));
        substitutes.push(first);
    }
    spread(substitutes.iter().map(Answer::server));

    // The server returns. Moved sessions stay, at both balancers.
    servers.of("b").restart().unwrap();
    for answer in &substitutes {
        let renewed = answer.cookie().unwrap();
        for site in [&one, &other] {
            let again = soon(get_with(&site.proxy, &renewed)).await;
            assert_eq!((again.server(), again.outcome()), (answer.server(), "kept"));
        }
    }
}

#[tokio::test]
async fn two_balancers_agree_on_the_stand_in_of_a_removed_server() {
    let servers = Servers::start(["a", "b", "c", "d"]);
    let (one, other) = (Kind::Cookie.site(&servers).await, Kind::Cookie.site(&servers).await);
    let sessions = bound_to_b(&Kind::Cookie, &one).await;
    for site in [&one, &other] {
        site.pool.remove("b").unwrap();
    }
    let mut substitutes = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        let (first, second) = both(&one, &other, session, number).await;
        assert_eq!((first.status, first.server()), (StatusCode::OK, second.server()));
        assert!(first.outcome().starts_with("newly bound: its token is invalid"), "{first:?}");
        substitutes.push(first);
    }
    spread(substitutes.iter().map(Answer::server));
    assert_eq!(one.affinity.stats().unbound_for("unknown_endpoint"), SESSIONS as u64);
}

#[tokio::test]
async fn two_balancers_with_one_redis_agree_on_the_stand_in_and_stay_when_the_server_returns() {
    let Some(redis) = Kind::redis().await else { return };
    let mut servers = Servers::start(["a", "b", "c", "d"]);
    let (one, other) = (redis.site(&servers).await, redis.site(&servers).await);
    let sessions = bound_to_b(&redis, &one).await;
    one.has_written(SESSIONS as u64).await;
    // The other balancer must know the sessions too.
    for session in &sessions {
        assert_eq!(soon(get(&other.proxy, session)).await.outcome(), "kept");
    }
    servers.of("b").stop().await;

    let mut substitutes = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        let (first, second) = both(&one, &other, session, number).await;
        assert_eq!((first.status, first.server()), (StatusCode::OK, second.server()));
        substitutes.push(first);
    }
    spread(substitutes.iter().map(Answer::server));

    servers.of("b").restart().unwrap();
    for (session, answer) in sessions.iter().zip(&substitutes) {
        for site in [&one, &other] {
            let again = soon(get(&site.proxy, session)).await;
            assert_eq!((again.server(), again.outcome()), (answer.server(), "kept"));
        }
    }
}

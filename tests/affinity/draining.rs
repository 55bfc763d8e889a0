//! Draining: existing sessions stay until the deadline, no new ones arrive, and at the deadline all move once.

use std::time::Duration;

use equipoise::{
    Availability,
    health::{AdminState, Health},
};
use equipoise_tests::soon;
use http::StatusCode;

use crate::{
    modes::{Kind, Site},
    setup::Servers,
};

const DEADLINE: Duration = Duration::from_secs(1);

fn availability(site: &Site) -> Availability {
    site.pool.availability("b").unwrap()
}

/// Waits until the draining endpoint has this availability.
async fn until(site: &Site, wanted: Availability) {
    soon(async {
        loop {
            let revision = site.pool.revision();
            if availability(site) == wanted {
                return;
            }
            site.pool.changed(revision).await;
        }
    })
    .await;
}

async fn a_drain(kind: &Kind) {
    let servers = Servers::start(["a", "b", "c"]);
    let site = kind.site(&servers).await;
    let health = Health::builder().build().unwrap();
    let _running = health.spawn(&site.pool);
    let visitors = kind.visitors(0..9, &site).await;
    let bound: Vec<_> = visitors.iter().filter(|(_, server)| server == "b").collect();
    assert_eq!(bound.len(), 3);

    health.set_admin_state("b", AdminState::Drain { deadline: Some(DEADLINE) });
    until(&site, Availability::Draining).await;
    let mut rounds = 0;
    while availability(&site) == Availability::Draining {
        let mut answers = Vec::new();
        for (visitor, _) in &bound {
            answers.push(visitor.get(&site.proxy).await);
        }
        let new_visitor = kind.visitor(&format!("new visitor {rounds}"));
        assert_ne!(kind.begin(&new_visitor, &site).await, "b");
        // Otherwise the deadline has passed already.
        if availability(&site) == Availability::Draining {
            assert!(answers.iter().all(|answer| (answer.server(), answer.outcome()) == ("b", "kept")), "{answers:?}");
            rounds += 1;
        }
    }
    assert!(rounds > 0, "a machine that takes a second for five requests");

    until(&site, Availability::Maintenance).await;
    for (visitor, server) in &visitors {
        let first = visitor.get(&site.proxy).await;
        assert_eq!(first.status, StatusCode::OK);
        match server == "b" {
            true if first.outcome() == "kept" => assert_ne!(first.server(), "b"),
            true => assert_eq!(first.outcome(), "moved from b: in maintenance"),
            false => assert_eq!((first.server(), first.outcome()), (server.as_str(), "kept")),
        }
        for _ in 0..5 {
            let later = visitor.get(&site.proxy).await;
            assert_eq!((later.server(), later.outcome()), (first.server(), "kept"));
        }
    }
    let stats = site.affinity.stats();
    assert_eq!(stats.moved.iter().map(|(_, n)| n).sum::<u64>(), 3);

    // The endpoint is up again: sessions that have moved do not move back.
    let moved = soon(visitors[1].0.servers(&site.proxy, 1)).await;
    health.set_admin_state("b", AdminState::Ready);
    until(&site, Availability::Up).await;
    assert_eq!(soon(visitors[1].0.servers(&site.proxy, 5)).await, moved);
}

#[tokio::test]
async fn with_a_cookie_sessions_stay_at_a_draining_server_until_the_deadline_and_then_move_once() {
    a_drain(&Kind::Cookie).await;
}

#[tokio::test]
async fn with_a_table_sessions_stay_at_a_draining_server_until_the_deadline_and_then_move_once() {
    a_drain(&Kind::Table).await;
}

#[tokio::test]
async fn with_redis_sessions_stay_at_a_draining_server_until_the_deadline_and_then_move_once() {
    let Some(redis) = Kind::redis().await else { return };
    a_drain(&redis).await;
}

//! A browser keeps its server: for a thousand requests, through changes of the pool, through a restart of the balancer,
//! and across two balancers.

use std::collections::HashSet;

use equipoise_tests::soon;

use crate::{
    clients::Browser,
    modes::{Kind, Site},
    setup::Servers,
};

/// Sends this number of requests, all of which this server must answer.
async fn stays(visitor: &Browser, site: &Site, times: usize, bound: &str) {
    assert_eq!(soon(visitor.servers(&site.proxy, times)).await, [bound]);
}

async fn through_a_thousand_requests(kind: &Kind) {
    let servers = Servers::start(["a", "b", "c"]);
    let site = kind.site(&servers).await;
    // Two browsers, so that it is not a coincidence.
    let visitors = kind.visitors(0..2, &site).await;
    let ((one, one_bound), (other, other_bound)) = (&visitors[0], &visitors[1]);
    tokio::join!(stays(one, &site, 1000, one_bound), stays(other, &site, 100, other_bound));
    let stats = site.affinity.stats();
    assert_eq!((&stats.moved[..], &stats.diverted[..]), (&[][..], &[][..]));
    let kept = if matches!(kind, Kind::Hash) { stats.keyed - 2 } else { stats.kept };
    assert_eq!(kept, 1100);
}

async fn through_updates(kind: &Kind) {
    let servers = Servers::start(["a", "b", "c", "d", "e"]);
    let site = kind.site(&servers).await;
    let first = ["a", "b", "c"];
    let update = |names: &[&str]| site.pool.update(names.iter().map(|name| servers.spec(name)), |_| ()).unwrap();
    update(&first);
    let visitors = kind.visitors(0..3, &site).await;
    let (visitor, bound) = &visitors[1];
    let others: Vec<&str> = first.into_iter().filter(|name| *name != bound.as_str()).collect();
    for members in [
        &[bound, others[0], others[1]][..],
        // One server joins and one leaves; then all others leave; then all join.
        &[bound, others[1], "d"],
        &["e", "d", bound],
        &[bound],
        &["a", "b", "c", "d", "e"],
    ] {
        update(members);
        stays(visitor, &site, 200, bound).await;
    }
}

async fn through_a_restart(kind: &Kind) {
    let servers = Servers::start(["a", "b", "c"]);
    let site = kind.site(&servers).await;
    let mut visitors = kind.visitors(0..6, &site).await;
    for (visitor, bound) in &visitors {
        stays(visitor, &site, 80, bound).await;
    }
    site.has_written(6).await;
    let Site { proxy, pool, affinity, store } = site;
    let port = proxy.stop().await;
    drop((pool, affinity, store));

    let site = kind.site_on(port, &servers).await;
    for (visitor, bound) in &mut visitors {
        visitor.reconnect();
        stays(visitor, &site, 80, bound).await;
    }
    let stats = site.affinity.stats();
    assert_eq!((stats.misses(), stats.new, &stats.moved[..]), (0, 0, &[][..]));
}

async fn across_two_balancers(kind: &Kind) {
    let servers = Servers::start(["a", "b", "c"]);
    let (one, other) = (kind.site(&servers).await, kind.site(&servers).await);
    let mut visitors = kind.visitors(0..6, &one).await;
    // These visit the balancers in the other order.
    visitors.extend(kind.visitors(6..10, &other).await.into_iter().rev());
    for site in [&one, &other] {
        site.has_written(if matches!(kind, Kind::Redis(_)) { 4 } else { 0 }).await;
    }
    assert!(visitors.iter().map(|(_, bound)| bound).collect::<HashSet<_>>().len() > 1);
    for (visitor, bound) in &visitors {
        for _ in 0..25 {
            stays(visitor, &one, 2, bound).await;
            stays(visitor, &other, 2, bound).await;
        }
    }
}

#[tokio::test]
async fn a_browser_with_a_cookie_keeps_its_server_through_a_thousand_requests() {
    through_a_thousand_requests(&Kind::Cookie).await;
}

#[tokio::test]
async fn a_browser_with_a_hashed_key_keeps_its_server_through_a_thousand_requests() {
    through_a_thousand_requests(&Kind::Hash).await;
}

#[tokio::test]
async fn a_browser_with_a_session_in_a_table_keeps_its_server_through_a_thousand_requests() {
    through_a_thousand_requests(&Kind::Table).await;
}

#[tokio::test]
async fn a_browser_with_a_learned_session_keeps_its_server_through_a_thousand_requests() {
    through_a_thousand_requests(&Kind::Learn).await;
}

#[tokio::test]
async fn a_browser_with_a_route_keeps_its_server_through_a_thousand_requests() {
    through_a_thousand_requests(&Kind::Route).await;
}

#[tokio::test]
async fn a_browser_with_a_session_in_redis_keeps_its_server_through_a_thousand_requests() {
    let Some(redis) = Kind::redis().await else { return };
    through_a_thousand_requests(&redis).await;
}

#[tokio::test]
async fn a_browser_with_a_cookie_keeps_its_server_while_other_servers_join_and_leave() {
    through_updates(&Kind::Cookie).await;
}

#[tokio::test]
async fn a_browser_with_a_session_in_a_table_keeps_its_server_while_other_servers_join_and_leave() {
    through_updates(&Kind::Table).await;
}

#[tokio::test]
async fn a_browser_with_a_learned_session_keeps_its_server_while_other_servers_join_and_leave() {
    through_updates(&Kind::Learn).await;
}

#[tokio::test]
async fn a_browser_with_a_route_keeps_its_server_while_other_servers_join_and_leave() {
    through_updates(&Kind::Route).await;
}

#[tokio::test]
async fn a_browser_with_a_session_in_redis_keeps_its_server_while_other_servers_join_and_leave() {
    let Some(redis) = Kind::redis().await else { return };
    through_updates(&redis).await;
}

#[tokio::test]
async fn a_browser_with_a_hashed_key_moves_only_if_necessary_and_back_when_the_change_is_undone() {
    let servers = Servers::start(["a", "b", "c", "d"]);
    let site = Kind::Hash.site(&servers).await;
    let update = |names: [&str; 3]| site.pool.update(names.map(|name| servers.spec(name)), |_| ()).unwrap();
    update(["a", "b", "c"]);
    let visitors = Kind::Hash.visitors(0..60, &site).await;
    let at = |server: &str| visitors.iter().filter(|(_, bound)| bound == server).count();
    assert!([at("a"), at("b"), at("c")].iter().all(|count| (10..=30).contains(count)));
    update(["b", "c", "d"]);
    let mut stayed = 0;
    for (visitor, bound) in &visitors {
        let now = visitor.get(&site.proxy).await;
        assert!(now.server() == bound || now.server() == "d" || bound == "a", "from {bound} to {}", now.server());
        stayed += usize::from(now.server() == bound);
    }
    // Two of three browsers did not have to move, except those that moved to the new server.
    assert!((15..=40).contains(&stayed), "{stayed}");
    update(["a", "b", "c"]);
    for (visitor, bound) in &visitors {
        stays(visitor, &site, 1, bound).await;
    }
}

#[tokio::test]
async fn a_browser_with_a_cookie_keeps_its_server_through_a_restart_of_the_balancer() {
    through_a_restart(&Kind::Cookie).await;
}

#[tokio::test]
async fn a_browser_with_a_hashed_key_keeps_its_server_through_a_restart_of_the_balancer() {
    through_a_restart(&Kind::Hash).await;
}

#[tokio::test]
async fn a_browser_with_a_route_keeps_its_server_through_a_restart_of_the_balancer() {
    through_a_restart(&Kind::Route).await;
}

#[tokio::test]
async fn a_browser_with_a_session_in_redis_keeps_its_server_through_a_restart_of_the_balancer() {
    let Some(redis) = Kind::redis().await else { return };
    through_a_restart(&redis).await;
}

#[tokio::test]
async fn a_browser_with_a_cookie_keeps_its_server_across_two_balancers() {
    across_two_balancers(&Kind::Cookie).await;
}

#[tokio::test]
async fn a_browser_with_a_hashed_key_keeps_its_server_across_two_balancers() {
    across_two_balancers(&Kind::Hash).await;
}

#[tokio::test]
async fn a_browser_with_a_route_keeps_its_server_across_two_balancers() {
    across_two_balancers(&Kind::Route).await;
}

#[tokio::test]
async fn a_browser_with_a_session_in_redis_keeps_its_server_across_two_balancers() {
    let Some(redis) = Kind::redis().await else { return };
    across_two_balancers(&redis).await;
}

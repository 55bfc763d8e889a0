//! Redis dies under load and comes back without an error for any client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use equipoise::affinity::{Mode, SessionStore};
use equipoise_tests::soon;
use http::StatusCode;
use tokio::task::JoinSet;

use crate::{
    clients::Browser,
    eventually,
    modes::{Kind, Site},
    proxy::Proxy,
    setup::{Servers, affinity, redis, user},
};

/// Number of concurrent clients.
const VISITORS: usize = 4;

#[derive(Default)]
struct Load {
    over: AtomicBool,
    rounds: AtomicUsize,
}

impl Load {
    async fn more(&self, rounds: usize) {
        let until = self.rounds.load(Ordering::SeqCst) + rounds;
        eventually("more load", || self.rounds.load(Ordering::SeqCst) >= until).await;
    }
}

/// Sends requests of a known client and of new ones. Returns responses other than 200 and responses of other servers.
async fn visit(load: Arc<Load>, site: Arc<Site>, number: usize, bound: String, visitor: Browser) -> Vec<String> {
    let mut wrong = Vec::new();
    while !load.over.load(Ordering::SeqCst) {
        let round = load.rounds.fetch_add(1, Ordering::SeqCst);
        let new_visitor = Kind::Table.visitor(&format!("new visitor {number}.{round}"));
        let (old, new) = (visitor.get(&site.proxy).await, new_visitor.get(&site.proxy).await);
        if old.status != StatusCode::OK || new.status != StatusCode::OK || old.server() != bound {
            wrong.push(format!("{old:?} {new:?}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_killed_and_restarted_under_load_fails_no_request_and_moves_no_session() {
    let Some(mut redis) = Kind::redis().await else { return };
    let servers = Servers::start(["a", "b", "c"]);
    let site = Arc::new(redis.site(&servers).await);
    let store = Arc::clone(site.store.as_ref().unwrap());
    let load = Arc::new(Load::default());
    let mut visits = JoinSet::new();
    for (number, (visitor, bound)) in redis.visitors(0..VISITORS, &site).await.into_iter().enumerate() {
        visits.spawn(visit(Arc::clone(&load), Arc::clone(&site), number, bound, visitor));
    }
    load.more(50).await;
    let Kind::Redis(server) = &mut redis else { unreachable!("it is that") };
    server.kill();
    eventually("disconnected", || !store.stats().connected).await;
    load.more(100).await;
    server.spawn().await;
    eventually("connected", || store.stats().connected).await;
    load.more(100).await;
    load.over.store(true, Ordering::SeqCst);
    while let Some(wrong) = soon(visits.join_next()).await {
        assert_eq!(wrong.unwrap(), Vec::<String>::new());
    }
    // Lookups of new clients failed while Redis was away. They were bound anyway.
    let stats = site.affinity.stats();
    assert!(stats.unbound_for("store_unavailable") >= 50, "{stats}");
    assert_eq!((stats.misses(), &stats.moved[..]), (stats.new, &[][..]));
    assert!(store.stats().reconnects >= 1);

    // Sessions are kept as before, by other balancers too.
    let written = store.stats().writes;
    let visitors = redis.visitors(100..106, &site).await;
    eventually("written", || store.stats().writes >= written + 6).await;
    let other = redis.site(&servers).await;
    for (visitor, bound) in &visitors {
        assert_eq!(soon(visitor.servers(&site.proxy, 5)).await, [bound.as_str()]);
        assert_eq!(soon(visitor.servers(&other.proxy, 5)).await, [bound.as_str()]);
    }
}

#[tokio::test]
async fn sessions_that_begin_while_redis_is_away_are_kept_by_their_balancer() {
    let Some(mut redis) = Kind::redis().await else { return };
    let servers = Servers::start(["a", "b", "c"]);
    let site = redis.site(&servers).await;
    let Kind::Redis(server) = &mut redis else { unreachable!("it is that") };
    server.kill();
    let store = site.store.as_ref().unwrap();
    eventually("disconnected", || !store.stats().connected).await;
    let visitors = redis.visitors(0..6, &site).await;
    for (visitor, bound) in &visitors {
        assert_eq!(soon(visitor.servers(&site.proxy, 5)).await, [bound.as_str()]);
    }
    assert_eq!(site.affinity.stats().unbound_for("store_unavailable"), 6);
}

#[cfg_attr(not(unix), ignore = "there are no signals here")]
#[tokio::test]
async fn a_hanging_redis_fails_no_request_and_moves_no_session() {
    let Some(Kind::Redis(server)) = Kind::redis().await else { return };
    let servers = Servers::start(["a", "b", "c"]);
    let store = Arc::new(redis(&server.url(), Duration::from_millis(20)).await);
    let pool = servers.pool();
    let affinity = affinity(&pool, Mode::table(user(), Arc::clone(&store) as Arc<dyn SessionStore>));
    let proxy = Proxy::start(&pool, &affinity);
    let visitor = Kind::Table.visitor("visitor");
    let bound = visitor.get(&proxy).await.server().to_owned();
    server.signal("-STOP");
    for number in 0..20 {
        let new_visitor = Kind::Table.visitor(&format!("new visitor {number}"));
        let first = soon(new_visitor.servers(&proxy, 2)).await;
        assert_eq!((first.len(), soon(visitor.servers(&proxy, 2)).await), (1, vec![bound.clone()]));
    }
    assert!(affinity.stats().unbound_for("store_unavailable") >= 15, "{}", affinity.stats());
    server.signal("-CONT");
    eventually("connected", || store.stats().connected).await;
    assert_eq!(soon(visitor.servers(&proxy, 5)).await, [bound]);
}

//! Chains: a proxy that sends everything through a pool of other proxies.

use std::time::Duration;

use equipoise_core::{EndpointSpec, FirstFit, Pool, RequestCounts, RoundRobin};
use equipoise_proxy::{
    forward::{BasicAuth, Credentials, ForwardSettings, Passwords, Rule, Upstreams},
    headers::Via,
};

use crate::rig::{Names, Origin, Proxy, echo, echoes, local, names, until};

/// A pool of these proxies.
pub(crate) fn pool(addresses: &[String]) -> Pool<()> {
    let pool = Pool::builder(RoundRobin).build();
    pool.update(addresses.iter().map(|address| EndpointSpec::new(&**address)), |_| ()).expect("endpoints");
    pool
}

async fn chain(upstreams: Upstreams, names: Names) -> Proxy {
    Proxy::start([local()], ForwardSettings::new().resolver(names).upstreams(upstreams)).await
}

fn in_flight(pool: &Pool<()>) -> Vec<u64> {
    pool.endpoints().iter().map(|endpoint| u64::from(endpoint.in_flight)).collect()
}

fn failures(pool: &Pool<()>) -> Vec<u64> {
    let of = |counts: RequestCounts| counts.failure_connect + counts.failure_transport + counts.failure_timeout;
    pool.endpoints().iter().map(|endpoint| of(endpoint.requests)).collect()
}

/// An address at which nothing listens.
fn closed() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").to_string()
}

/// Returns the requests of the pool, their attempts, retries, failovers, and those without an attempt.
fn counted(pool: &Pool<()>) -> (u64, u64, u64, u64, u64) {
    let stats = pool.stats();
    let unserved = stats.unserved.iter().map(|(_, count)| count).sum();
    (stats.requests(), stats.attempts.total, stats.retries, stats.failovers, unserved)
}

#[tokio::test]
async fn the_pool_counts_a_tunnel_once_whatever_its_attempts() {
    let (port, _) = echo().await;
    let upstream = Proxy::start([local()], ForwardSettings::new().resolver(Names::default())).await.address.to_string();
    for (upstreams, counts) in [
        (vec![upstream.clone()], (1, 1, 0, 0, 0)),
        (vec![closed(), upstream.clone()], (1, 2, 1, 1, 0)),
        (vec![], (1, 0, 0, 0, 1)),
    ] {
        let pool = Pool::new(FirstFit::new());
        pool.update(upstreams.iter().map(|address| EndpointSpec::new(&**address)), |_| ()).expect("endpoints");
        let proxy = chain(Upstreams::new(pool.clone()), names()).await;
        let opened = proxy.tunnel(&format!("app.test:{port}"), "").await;
        assert_eq!(opened.is_ok(), !upstreams.is_empty());
        drop(opened);
        until(|| pool.stats().attempts.in_flight == 0).await;
        assert_eq!(counted(&pool), counts, "{upstreams:?}");
    }
}

#[tokio::test]
async fn a_tunnel_that_tries_several_addresses_is_one_request() {
    let (port, _) = echo().await;
    // The upstream proxy refuses the first address.
    let upstream = Proxy::start([local()], ForwardSettings::new().resolver(Names::default())).await;
    let pool = pool(&[upstream.address.to_string()]);
    let names = Names::default().name("both.test", &[&["127.0.0.2", "127.0.0.1"]]);
    let network = Rule::allow().network("127.0.0.0/8").expect("a network").ports(1..=65535);
    let settings = ForwardSettings::new().resolver(names).upstreams(Upstreams::new(pool.clone()));
    let proxy = Proxy::start([network], settings).await;
    let mut tunnel = proxy.tunnel(&format!("both.test:{port}"), "").await.expect("a tunnel");
    echoes(&mut tunnel, "hello").await;
    drop(tunnel);
    until(|| in_flight(&pool) == [0]).await;
    assert_eq!(counted(&pool), (1, 2, 1, 0, 0));
}

#[tokio::test]
async fn a_tunnel_passes_through_an_upstream_proxy_to_the_address_that_was_checked() {
    let (port, _) = echo().await;
    // The upstream proxy knows no names.
    let upstream = Proxy::start([local()], ForwardSettings::new().resolver(Names::default())).await;
    let pool = pool(&[upstream.address.to_string()]);
    let proxy = chain(Upstreams::new(pool.clone()), names()).await;
    let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    echoes(&mut tunnel, "hello").await;
    assert_eq!(in_flight(&pool), [1], "the lease lasts as long as the tunnel");
    drop(tunnel);
    until(|| in_flight(&pool) == [0]).await;
    assert_eq!((pool.endpoints()[0].requests.success, failures(&pool)), (1, vec![0]));
    assert_eq!(proxy.refused("[::1]:443", "").await.status, 403, "the rules of this proxy hold");
}

#[tokio::test]
async fn requests_of_http_pass_through_tunnels_too() {
    let origin = Origin::start().await;
    let upstream = Proxy::start([local()], ForwardSettings::new().resolver(Names::default())).await;
    let pool = pool(&[upstream.address.to_string()]);
    let proxy = chain(Upstreams::new(pool.clone()), names()).await;
    let reply = proxy.get(&origin.url("/a"), "").await;
    assert!(reply.status == 200 && reply.body.contains("host: app.test:"), "{reply:?}");
    assert_eq!((upstream.proxy.stats().tunnels, upstream.proxy.stats().requests), (1, 0));
    until(|| in_flight(&pool) == [0]).await;
}

#[tokio::test]
async fn names_are_resolved_upstream_only_if_the_settings_say_so() {
    let (origin, (port, _)) = (Origin::start().await, echo().await);
    let upstream = Proxy::local().await;
    let pool = pool(&[upstream.address.to_string()]);
    let upstreams = Upstreams::new(pool.clone()).with_names_resolved_upstream(true);
    let own = Names::default();
    let settings = ForwardSettings::new().resolver(own.clone()).upstreams(upstreams);
    let ports = Rule::allow().host("*.test").expect("a host").ports(1..=65535);
    let proxy = Proxy::start([local(), ports], settings).await;
    for _ in 0..2 {
        let reply = proxy.get(&origin.url("/a?b"), "").await;
        assert!(reply.status == 200 && reply.body.starts_with("GET /a?b\n"), "{reply:?}");
        assert!(reply.body.contains("host: app.test:") && !reply.body.contains("proxy-"), "{reply:?}");
        assert_eq!(reply.body.matches("via: ").count(), 2, "{reply:?}");
    }
    let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    echoes(&mut tunnel, "hello").await;
    assert_eq!(own.asked(), 0);
    let stats = upstream.proxy.stats();
    assert_eq!((stats.tunnels, stats.requests), (1, 2));
    // One connection for the requests, and one for the tunnel.
    assert_eq!(upstream.server.stats().accepted, 2);
    assert_eq!(proxy.refused("10.0.0.1:443", "").await.status, 403, "the rules decide about addresses");
    assert_eq!(proxy.get("http://10.0.0.1/", "").await.status, 403);
    assert_eq!(proxy.get(&format!("http://{}/", origin.address), "").await.status, 200);
    drop(tunnel);
    until(|| in_flight(&pool) == [0]).await;
}

#[tokio::test]
async fn another_upstream_proxy_is_tried_if_one_cannot_be_used() {
    let (origin, (port, _)) = (Origin::start().await, echo().await);
    let upstream = Proxy::local().await;
    // This one closes each connection at once.
    let breaks = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let broken = breaks.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = breaks.accept().await {
            drop(stream);
        }
    });
    for resolves in [false, true] {
        let pool = pool(&[closed(), broken.clone(), upstream.address.to_string()]);
        let proxy = chain(Upstreams::new(pool.clone()).with_names_resolved_upstream(resolves), names()).await;
        proxy.proxy.set_rules([local(), Rule::allow().ports(1..=65535)]);
        for _ in 0..6 {
            let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
            echoes(&mut tunnel, "hello").await;
        }
        if !resolves {
            assert_eq!(proxy.get(&origin.url("/"), "").await.status, 200);
        }
        until(|| in_flight(&pool) == [0, 0, 0]).await;
        let failures = failures(&pool);
        assert!(failures[0] > 0 && failures[1] > 0 && failures[2] == 0, "{failures:?}");
    }
    let proxy = chain(Upstreams::new(pool(&[closed(), closed()])), names()).await;
    let reply = proxy.refused(&format!("app.test:{port}"), "").await;
    assert_eq!((reply.status, reply.body.as_str()), (502, "no upstream proxy can be used now\n"));
    let proxy = chain(Upstreams::new(pool(&[])), names()).await;
    assert_eq!(proxy.refused(&format!("app.test:{port}"), "").await.status, 503);
}

#[tokio::test]
async fn upstream_proxies_get_credentials() {
    let (origin, (port, _)) = (Origin::start().await, echo().await);
    let users = BasicAuth::new("p", Passwords::new().user("edge", "secret")).expect("a realm");
    let upstream = Proxy::start([local()], ForwardSettings::new().resolver(names()).authentication(users)).await;
    for resolves in [false, true] {
        for (password, opened, status) in [("secret", true, 200), ("wrong", false, 502)] {
            let pool = pool(&[upstream.address.to_string()]);
            let upstreams = Upstreams::new(pool.clone())
                .with_names_resolved_upstream(resolves)
                .credentials(&Credentials::new("edge", password));
            let proxy = chain(upstreams, names()).await;
            proxy.proxy.set_rules([local(), Rule::allow().ports(1..=65535)]);
            assert_eq!(proxy.tunnel(&format!("app.test:{port}"), "").await.is_ok(), opened);
            assert_eq!(proxy.get(&origin.url("/"), "").await.status, status, "{resolves} {password}");
            until(|| in_flight(&pool) == [0]).await;
            assert_eq!(failures(&pool), [0], "clients and settings are not its fault");
        }
    }
}

#[tokio::test]
async fn a_destination_that_cannot_be_reached_is_not_the_fault_of_the_upstream_proxy() {
    let upstream = Proxy::local().await;
    let pool = pool(&[upstream.address.to_string()]);
    let proxy = chain(Upstreams::new(pool.clone()), names()).await;
    let port = closed().rsplit_once(':').expect("a port").1.to_owned();
    for _ in 0..3 {
        assert_eq!(proxy.refused(&format!("app.test:{port}"), "").await.status, 502);
    }
    assert_eq!(failures(&pool), [0]);
}

#[tokio::test]
async fn a_chain_that_leads_back_is_refused() {
    let reserved = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let pool = pool(&[reserved.local_addr().expect("bound").to_string()]);
    let settings = ForwardSettings::new()
        .resolver(names())
        .via(Via::new("edge-1").expect("a token"))
        .upstreams(Upstreams::new(pool).with_names_resolved_upstream(true))
        .connect_timeout(Duration::from_secs(60));
    let proxy = equipoise_proxy::forward::ForwardProxy::with_settings([Rule::allow()], settings);
    let server = equipoise_proxy::server::Server::new(proxy.clone());
    let address = reserved.local_addr().expect("bound");
    tokio::spawn(server.clone().serve(reserved));
    let proxy = Proxy { proxy, server, address };
    assert_eq!(proxy.get("http://app.test/", "").await.status, 508);
    assert_eq!(proxy.refused("app.test:443", "").await.status, 502);
    assert!(proxy.server.stats().accepted <= 4, "it is passed on once");
}

#[tokio::test]
async fn a_tunnel_ends_when_its_upstream_proxy_leaves_the_pool() {
    let (port, _) = echo().await;
    let upstream = Proxy::local().await;
    let pool = pool(&[upstream.address.to_string()]);
    let proxy = chain(Upstreams::new(pool.clone()), names()).await;
    let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    echoes(&mut tunnel, "hello").await;
    pool.remove(upstream.address.to_string()).expect("an endpoint");
    assert_eq!(crate::rig::ends(&mut tunnel).await, b"");
}

#[tokio::test]
async fn a_rule_about_addresses_allows_no_name_that_is_resolved_upstream() {
    let (port, connections) = echo().await;
    let upstream = Proxy::local().await;
    let upstreams = Upstreams::new(pool(&[upstream.address.to_string()])).with_names_resolved_upstream(true);
    let proxy = chain(upstreams, names()).await;
    assert_eq!(proxy.refused(&format!("app.test:{port}"), "").await.status, 403);
    assert_eq!(proxy.get(&format!("http://app.test:{port}/"), "").await.status, 403);
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert!(proxy.tunnel(&format!("127.0.0.1:{port}"), "").await.is_ok(), "an address is checked here");
}

#[tokio::test]
async fn an_upstream_proxy_that_does_not_answer_is_left_for_another() {
    let (port, _) = echo().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let upstream = Proxy::local().await;
    let pool = pool(&[address, upstream.address.to_string()]);
    let proxy = chain(Upstreams::new(pool.clone()).answer_timeout(Duration::from_millis(50)), names()).await;
    for _ in 0..2 {
        let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
        echoes(&mut tunnel, "hello").await;
    }
    assert_eq!((pool.endpoints()[0].requests.neutral, failures(&pool)), (1, vec![0, 0]));
}

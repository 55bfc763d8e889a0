//! Servers that are gone: nobody notices.

use std::time::Duration;

use equipoise::{P2c, PeakEwma, RoundRobin, Strategy};
use equipoise_tests::{Backend, Reserved, soon};
use tokio::time::{Instant, interval};

use crate::{
    load::{Load, no_errors},
    setup::{INTERVAL, World, checked},
};

/// Until three looks have failed, of which each fails at once; with their jitter.
const THREE_LOOKS: Duration = Duration::from_millis(330);

fn three() -> [Backend; 3] {
    ["1", "2", "3"].map(|text| Backend::start(text).unwrap())
}

async fn nobody_notices_a_killed_server(strategy: impl Strategy) {
    let mut servers = three();
    let mut world = World::start(checked(), strategy, servers.each_ref().map(Backend::address));
    let load = Load::start(&world.balanced);
    // Its connections are open, and in use.
    soon(servers[1].has_served(20)).await;
    servers[1].stop().await;
    world.out_within(THREE_LOOKS, Instant::now(), "2").await;
    load.more(50).await;
    servers[1].restart().unwrap();
    world.back("2").await;
    load.more(50).await;
    no_errors(&load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_killed_server_under_round_robin() {
    nobody_notices_a_killed_server(RoundRobin::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_killed_server_under_p2c() {
    nobody_notices_a_killed_server(P2c::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_killed_server_under_peak_ewma() {
    nobody_notices_a_killed_server(PeakEwma::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_server_that_refuses_from_the_beginning() {
    let (a, nobody, c) = (Backend::start("1").unwrap(), Reserved::new().unwrap(), Backend::start("3").unwrap());
    let mut world = World::start(checked(), RoundRobin::new(), [a.address(), nobody.address(), c.address()]);
    let load = Load::start(&world.balanced);
    // The first look decides.
    world.out_within(INTERVAL, Instant::now(), "2").await;
    load.more(50).await;
    no_errors(&load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_rolling_restart() {
    let mut servers = three();
    let mut world = World::start(checked(), RoundRobin::new(), servers.each_ref().map(Backend::address));
    let load = Load::start(&world.balanced);
    for (server, name) in servers.iter_mut().zip(["1", "2", "3"]) {
        soon(server.has_served(20)).await;
        server.stop().await;
        world.out(name).await;
        load.more(20).await;
        server.restart().unwrap();
        world.back(name).await;
    }
    no_errors(&load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_rolling_restart_that_does_not_wait_for_the_checks() {
    let mut servers = three();
    let world = World::start(checked(), RoundRobin::new(), servers.each_ref().map(Backend::address));
    let load = Load::start(&world.balanced);
    for round in 0..6 {
        let server = &mut servers[round % 3];
        server.stop().await;
        load.more(20).await;
        server.restart().unwrap();
        load.more(5).await;
    }
    no_errors(&load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_server_that_flaps_with_every_interval() {
    let mut servers = three();
    let world = World::start(checked(), RoundRobin::new(), servers.each_ref().map(Backend::address));
    let load = Load::start(&world.balanced);
    let mut flaps = interval(INTERVAL);
    for _ in 0..10 {
        flaps.tick().await;
        servers[1].stop().await;
        flaps.tick().await;
        servers[1].restart().unwrap();
    }
    no_errors(&load.end().await);
}

//! Killed servers cause no errors.

use std::time::Duration;

use equipoise::{LogEwma, P2c, RoundRobin, Strategy};
use equipoise_tests::{Backend, Reserved, soon};
use tokio::time::{Instant, interval};

use crate::{
    load::{Load, no_errors},
    setup::{INTERVAL, World, checked},
};

/// Time until three checks have failed, each of which fails at once, with jitter.
const THREE_LOOKS: Duration = Duration::from_millis(330);

fn three() -> [Backend; 3] {
    ["1", "2", "3"].map(|text| Backend::start(text).unwrap())
}

async fn a_killed_server_causes_no_errors(strategy: impl Strategy) {
    let mut servers = three();
    let mut world = World::start(checked(), strategy, servers.each_ref().map(Backend::address));
    let load = Load::start(&world.balanced);
    // Its connections are open and in use.
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
async fn a_killed_server_causes_no_errors_under_round_robin() {
    a_killed_server_causes_no_errors(RoundRobin::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_causes_no_errors_under_p2c() {
    a_killed_server_causes_no_errors(P2c::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_causes_no_errors_under_peak_ewma() {
    a_killed_server_causes_no_errors(LogEwma::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_from_the_beginning_causes_no_errors() {
    let (a, refusing, c) = (Backend::start("1").unwrap(), Reserved::new().unwrap(), Backend::start("3").unwrap());
    let mut world = World::start(checked(), RoundRobin::new(), [a.address(), refusing.address(), c.address()]);
    let load = Load::start(&world.balanced);
    // The first check decides.
    world.out_within(INTERVAL, Instant::now(), "2").await;
    load.more(50).await;
    no_errors(&load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_causes_no_errors() {
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
async fn a_rolling_restart_without_waiting_for_checks_causes_no_errors() {
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
async fn a_server_that_flaps_with_every_interval_causes_no_errors() {
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

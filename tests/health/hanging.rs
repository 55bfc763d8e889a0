//! Servers that accept and do not answer.

use std::{io, time::Duration};

use equipoise::{
    RoundRobin,
    health::{Health, Outliers, Schedule},
    tower::BalanceLayer,
};
use tokio::time::Instant;
use tower::Layer;

use crate::{
    load::{Load, errors, no_errors},
    server::{Mode, Server},
    setup::{INTERVAL, Impatient, PATIENCE, World},
};

const TIMEOUT: Duration = Duration::from_millis(100);
const FALL: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_costs_errors_until_its_checks_have_found_out() {
    let servers = [(); 3].map(|()| Server::start(Mode::WELL));
    let schedule = Schedule::new().interval(INTERVAL).timeout(TIMEOUT).fall(FALL).jitter(0.0);
    let mut world = World::hasty(schedule, servers.each_ref().map(Server::address));
    let load = Load::start(&world.balanced);
    load.more(50).await;
    world.in_service("2").await;
    servers[1].turn(Mode::Mute);
    let out = world.out_within(INTERVAL + TIMEOUT * FALL, Instant::now(), "2").await;
    load.more(50).await;
    servers[1].turn(Mode::WELL);
    world.back("2").await;
    load.more(50).await;
    let samples = load.end().await;
    let errors = errors(&samples);
    assert!(!errors.is_empty(), "round robin has sent it some");
    let late = errors.iter().find(|sample| sample.began > out);
    assert!(late.is_none(), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_is_found_out_by_its_requests_too() {
    let servers = [(); 3].map(|()| Server::start(Mode::WELL));
    let health = Health::builder().outliers(Outliers::new().consecutive_connection(3));
    let mut world = World::start(health, RoundRobin::new(), servers.each_ref().map(Server::address));
    let load = Load::start(&world.balanced);
    load.more(50).await;
    world.in_service("2").await;
    servers[1].turn(Mode::Mute);
    let out = world.out("2").await;
    load.more(50).await;
    let samples = load.end().await;
    let errors = errors(&samples);
    assert!(errors.len() >= 3, "{errors:?}");
    let late = errors.iter().find(|sample| sample.began > out);
    assert!(late.is_none(), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_costs_no_errors_where_giving_up_means_that_the_connection_is_given_up() {
    let servers = [(); 3].map(|()| Server::start(Mode::WELL));
    let schedule = Schedule::new().interval(INTERVAL).timeout(TIMEOUT).fall(FALL);
    let mut world = World::hasty(schedule, servers.each_ref().map(Server::address));
    // That is how an idempotent request goes elsewhere when a try has taken too long.
    let client = Impatient::saying(io::ErrorKind::ConnectionAborted);
    let load = Load::start(&BalanceLayer::new(world.balanced.pool().clone()).queue_timeout(PATIENCE).layer(client));
    load.more(50).await;
    world.in_service("2").await;
    servers[1].turn(Mode::Mute);
    world.out("2").await;
    load.more(50).await;
    no_errors(&load.end().await);
}

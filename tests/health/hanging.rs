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
async fn a_hanging_server_causes_errors_until_its_checks_fail() {
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
    assert!(!errors.is_empty(), "round robin has sent it requests");
    let late = errors.iter().find(|sample| sample.began > out);
    assert!(late.is_none(), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_server_is_ejected_by_outlier_detection_too() {
    let servers = [(); 3].map(|()| Server::start(Mode::WELL));
    let health = Health::builder().outliers(Outliers::new().consecutive_connection_failures(3));
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
async fn a_hanging_server_causes_no_errors_if_the_timeout_closes_the_connection() {
    let servers = [(); 3].map(|()| Server::start(Mode::WELL));
    let schedule = Schedule::new().interval(INTERVAL).timeout(TIMEOUT).fall(FALL);
    let mut world = World::hasty(schedule, servers.each_ref().map(Server::address));
    // An idempotent request then goes to another endpoint after an attempt timeout.
    let client = Impatient::saying(io::ErrorKind::ConnectionAborted);
    let load = Load::start(&BalanceLayer::new(world.balanced.pool().clone()).queue_timeout(PATIENCE).layer(client));
    load.more(50).await;
    world.in_service("2").await;
    servers[1].turn(Mode::Mute);
    world.out("2").await;
    load.more(50).await;
    no_errors(&load.end().await);
}

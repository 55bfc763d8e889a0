//! Servers that pass their checks and fail requests.

use std::time::Duration;

use equipoise::{
    RoundRobin,
    health::{LatencyOutlier, Outliers},
};
use http::StatusCode;
use tokio::time::Instant;

use crate::{
    load::{End, Load, errors, get, no_errors},
    server::{Mode, Server},
    setup::{World, checked},
};

const SINKHOLE: End = End::Status(StatusCode::INTERNAL_SERVER_ERROR);

fn three() -> [Server; 3] {
    [(); 3].map(|()| Server::start(Mode::WELL))
}

fn world(outliers: Outliers, servers: &[Server; 3]) -> World {
    World::start(checked().outliers(outliers), RoundRobin::new(), servers.each_ref().map(Server::address))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_break_off_are_errors_until_three_have() {
    let servers = three();
    let mut world = world(Outliers::new().consecutive_connection_failures(3), &servers);
    let load = Load::start(&world.balanced);
    load.more(50).await;
    servers[1].turn(Mode::Breaks);
    let out = world.out("2").await;
    load.more(50).await;
    let samples = load.end().await;
    let errors = errors(&samples);
    assert!(errors.len() >= 3, "{errors:?}");
    assert!(errors.iter().all(|sample| sample.end == End::Broken && sample.began <= out), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sinkhole_is_ejected_after_five_failures() {
    let servers = three();
    let mut world = world(Outliers::new().consecutive_failures(5), &servers);
    servers[1].turn(Mode::Fails);
    let mut failures = 0;
    while failures < 5 {
        // One request at a time, so nothing else is in flight.
        failures += usize::from(get(&world.balanced).await.end == SINKHOLE);
    }
    world.out("2").await;
    for _ in 0..100 {
        assert_eq!(get(&world.balanced).await.end, End::Well);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_only_requests_in_flight_fail_after_a_sinkholes_five_failures() {
    let servers = three();
    let mut world = world(Outliers::new().consecutive_failures(5), &servers);
    let load = Load::start(&world.balanced);
    load.more(50).await;
    servers[1].turn(Mode::Fails);
    let out = world.out("2").await;
    load.more(100).await;
    let samples = load.end().await;
    let errors = errors(&samples);
    assert!(errors.len() >= 5, "{errors:?}");
    assert!(errors.iter().all(|sample| sample.end == SINKHOLE && sample.began <= out), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_among_fast_ones_is_ejected() {
    let servers = three();
    for server in &servers {
        // Enough work that the noise of a busy machine does not matter.
        server.turn(Mode::After(Duration::from_millis(10)));
    }
    // If noise ejects another server, it is back soon.
    let ejection = Duration::from_secs(5);
    let rule = LatencyOutlier::new(5.0).min_hosts(3).min_requests(5);
    let rules = Outliers::new()
        .latency(rule)
        .interval(Duration::from_millis(300))
        .base_ejection(ejection)
        .max_ejection(ejection);
    let mut world = world(rules, &servers);
    let load = Load::start(&world.balanced);
    load.more(50).await;
    servers[1].turn(Mode::After(Duration::from_millis(200)));
    let out = world.out("2").await;
    load.more(50).await;
    let end = Instant::now();
    let samples = load.end().await;
    no_errors(&samples);
    let late = |began: Instant| began > out && began <= end.min(out + ejection);
    let served = samples.iter().filter(|sample| late(sample.began));
    assert!(served.clone().count() > 0);
    assert!(served.clone().all(|sample| sample.served_by.as_ref().is_some_and(|by| by.as_str() != "2")));
}

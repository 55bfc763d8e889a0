//! One of three servers is dead, and the others are at full capacity. The dead server looks idle.

use equipoise::{LogEwma, P2c, RoundRobin, Strategy};
use equipoise_tests::{Backend, soon};

use crate::{
    load::{Load, no_errors},
    setup::{PATIENCE, World, checked},
};

const CLIENTS: usize = 32;

async fn causes_no_errors(strategy: impl Strategy, limit: Option<u32>) {
    let mut servers = ["1", "2", "3"].map(|text| Backend::start(text).unwrap());
    let addresses = servers.each_ref().map(Backend::address);
    let mut world = World::with(
        checked(),
        strategy,
        addresses,
        |pool| pool,
        |spec| limit.map_or(spec.clone(), |limit| spec.max_in_flight(limit)),
        |layer| layer.queue_timeout(PATIENCE),
    );
    let load = Load::closed(CLIENTS, &world.balanced);
    soon(servers[1].has_served(100)).await;
    servers[1].stop().await;
    world.out("2").await;
    load.more(200).await;
    servers[1].restart().unwrap();
    world.back("2").await;
    load.more(200).await;
    no_errors(&load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_of_three_costs_no_errors_under_round_robin() {
    causes_no_errors(RoundRobin::new(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_of_three_costs_no_errors_under_p2c() {
    causes_no_errors(P2c::new(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_of_three_costs_no_errors_with_all_others_at_their_limit() {
    causes_no_errors(P2c::new(), Some(4)).await;
    causes_no_errors(LogEwma::new(), Some(4)).await;
}

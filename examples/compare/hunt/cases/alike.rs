//! Servers that are alike: the default should lose nothing by looking at latencies.

use equipoise::sim::{Arrivals, Scenario, Server, Work};

use crate::hunt::case::{Case, ms, secs, testbed, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("alike", name, about, make)
}

pub(super) const CASES: &[Case] = &[
    case("load-0.3", "10 clients, 10 equal servers, load 0.3", || testbed(10, 10).load(0.3)),
    case("load-0.7", "10 clients, 10 equal servers, load 0.7", || testbed(10, 10).load(0.7)),
    case("load-0.85", "10 clients, 10 equal servers, load 0.85", || testbed(10, 10).load(0.85)),
    case("load-0.95", "10 clients, 10 equal servers, load 0.95", || testbed(10, 10).load(0.95)),
    case("clients-1", "one client, 20 equal servers, load 0.9", || testbed(1, 20).load(0.9)),
    case("clients-5", "5 clients, 20 equal servers, load 0.9", || testbed(5, 20).load(0.9)),
    case("clients-20", "20 clients, 20 equal servers, load 0.9", || testbed(20, 20).load(0.9)),
    case("clients-100", "100 clients, 20 equal servers, load 0.9", || testbed(100, 20).load(0.9)),
    case("clients-1000", "1000 clients, 20 equal servers, load 0.9", || testbed(1_000, 20).load(0.9)),
    case("servers-5", "20 clients, 5 equal servers with 4 workers each, load 0.85", || {
        workers(20, 5).load(0.85).lasting(secs(100))
    }),
    case("servers-20", "20 clients, 20 equal servers with 4 workers each, load 0.85", || {
        workers(20, 20).load(0.85).lasting(secs(30))
    }),
    case("servers-100", "20 clients, 100 equal servers with 4 workers each, load 0.85", || {
        workers(20, 100).load(0.85).lasting(secs(10))
    }),
    case("two", "one client, two equal servers with 4 workers each, load 0.8", || {
        workers(1, 2).load(0.8).lasting(secs(200))
    }),
    case("three", "one client, three equal servers with 4 workers each, load 0.8", || {
        workers(1, 3).load(0.8).lasting(secs(150))
    }),
    case("idle", "one client that sends 20 requests per second, 5 equal servers with 4 workers each", || {
        workers(1, 5).rate(20.0).lasting(secs(4_000))
    }),
    case(
        "weights",
        "5 clients, 6 servers with 1, 2 or 4 workers, each weighted by its number of workers, load 0.8",
        || {
            let servers = [1, 2, 4, 1, 2, 4].map(|size| Server::fifo(size).weight(size as u32));
            Scenario::with(servers).clients(5).work(Work::exponential(ms(5))).load(0.8).lasting(secs(100))
        },
    ),
    case("bursts", "20 clients that send in bursts at 10 times their mean rate, 20 equal servers, load 0.5", || {
        let bursts = Arrivals::Bursts { factor: 10.0, burst: secs(1) };
        testbed(20, 20).arrivals(bursts).load(0.5)
    }),
    case("regular", "one client that sends at equal intervals, 5 equal servers with 4 workers each, load 0.9", || {
        workers(1, 5).arrivals(Arrivals::Regular).load(0.9).lasting(secs(100))
    }),
    case("one-worker", "one client, 10 equal servers with one worker each, load 0.8", || {
        Scenario::of(10, Server::fifo(1)).work(Work::exponential(ms(5))).load(0.8).lasting(secs(200))
    }),
];

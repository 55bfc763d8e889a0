//! Servers that answer nothing, or errors only.

use std::time::Duration;

use equipoise::sim::{Fault, Scenario, Server, Work};

use crate::hunt::case::{Case, ms, secs, testbed, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("faults", name, about, make)
}

fn stalls() -> Fault {
    Fault::stall(0).from(secs(4)).lasting(secs(1)).every(secs(5))
}

fn long(work: Duration) -> Scenario {
    let scenario = Scenario::of(5, Server::fifo(16)).work(Work::exponential(work));
    scenario.timeout(secs(60)).lasting(secs(1_000))
}

fn sinkholes(clients: usize, servers: usize, failing: usize) -> Scenario {
    let scenario = workers(clients, servers).lasting(secs(100));
    (0..failing).fold(scenario, |scenario, server| scenario.fault(Fault::sinkhole(server)))
}

pub(super) const CASES: &[Case] = &[
    case(
        "sinkhole-1-client",
        "one of 5 servers responds to every request with an error after 1 ms; one client, load 0.6",
        || workers(1, 5).fault(Fault::sinkhole(0)).load(0.6).lasting(secs(100)),
    ),
    case(
        "sinkhole-10-clients",
        "one of 10 servers responds to every request with an error after 1 ms; 10 clients, load 0.7",
        || testbed(10, 10).fault(Fault::sinkhole(0)).load(0.7),
    ),
    case(
        "sinkhole-of-2",
        "one of 2 servers responds to every request with an error after 1 ms; one client, load 0.4",
        || workers(1, 2).fault(Fault::sinkhole(0)).load(0.4).lasting(secs(200)),
    ),
    case(
        "sinkhole-slow-work",
        "one of 5 servers responds to every request with an error after 1 ms; requests take 500 ms on average; one \
         client, load 0.5",
        || long(ms(500)).fault(Fault::sinkhole(0)).load(0.5),
    ),
    case(
        "refuses-slow-work",
        "one of 5 servers refuses connections; requests take 2 s on average; one client, load 0.5",
        || long(secs(2)).fault(Fault::refuses(0)).load(0.5),
    ),
    case(
        "sinkholes-2-of-3",
        "two of 3 servers respond to every request with an error after 1 ms; one client, load 0.2",
        || sinkholes(1, 3, 2).load(0.2),
    ),
    case(
        "sinkholes-3-of-5",
        "three of 5 servers respond to every request with an error after 1 ms; 5 clients, load 0.25",
        || sinkholes(5, 5, 3).load(0.25),
    ),
    case(
        "sinkholes-6-of-20",
        "6 of 20 servers respond to every request with an error after 1 ms; 5 clients, load 0.5",
        || sinkholes(5, 20, 6).load(0.5),
    ),
    case("refuses", "one of 10 servers refuses connections for 60 s of 400 s; 10 clients, load 0.7", || {
        testbed(10, 10).fault(Fault::refuses(0).from(secs(200)).lasting(secs(60))).load(0.7)
    }),
    case("refuses-all-the-time", "one of 5 servers refuses connections all the time; one client, load 0.6", || {
        workers(1, 5).fault(Fault::refuses(0)).load(0.6).lasting(secs(100))
    }),
    case("blackhole", "one of 10 servers is unreachable for 60 s of 400 s; 10 clients, load 0.7", || {
        testbed(10, 10).fault(Fault::blackhole(0).from(secs(200)).lasting(secs(60))).load(0.7)
    }),
    case("blackhole-1-client", "one of 5 servers is unreachable for 30 s of 100 s; one client, load 0.6", || {
        workers(1, 5).fault(Fault::blackhole(0).from(secs(50)).lasting(secs(30))).load(0.6).lasting(secs(100))
    }),
    case("stall-0.85", "one of 5 servers makes no progress for 1 s of every 5 s; one client, load 0.85", || {
        workers(1, 5).fault(stalls()).load(0.85).lasting(secs(100))
    }),
    case("stall-0.6", "one of 5 servers makes no progress for 1 s of every 5 s; one client, load 0.6", || {
        workers(1, 5).fault(stalls()).load(0.6).lasting(secs(100))
    }),
    case("stall-20-clients", "one of 5 servers makes no progress for 1 s of every 5 s; 20 clients, load 0.7", || {
        workers(20, 5).fault(stalls()).load(0.7).lasting(secs(100))
    }),
    case(
        "pauses",
        "each of 5 servers, one after the other, makes no progress for 50 ms of every second; 5 clients, load 0.7",
        || {
            (0..5)
                .fold(workers(5, 5), |scenario, server| {
                    let pause = Fault::stall(server).from(ms(200 * server as u64));
                    scenario.fault(pause.lasting(ms(50)).every(secs(1)))
                })
                .load(0.7)
                .lasting(secs(100))
        },
    ),
];

//! Servers that differ in speed.

use equipoise::sim::{Fault, Scenario, Server};

use crate::hunt::case::{Case, secs, testbed, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("slow", name, about, make)
}

fn every_second_at_half_speed(scenario: Scenario) -> Scenario {
    scenario.each(|at, server| if at % 2 == 0 { server.speed(0.5) } else { server })
}

fn first_at(scenario: Scenario, speed: f64) -> Scenario {
    scenario.each(|at, server| if at == 0 { server.speed(speed) } else { server })
}

pub(super) const CASES: &[Case] = &[
    case(
        "half-of-20-rarely",
        "1000 clients that each send 0.6 requests per second, 10 of 20 servers at half speed, load 0.8",
        || every_second_at_half_speed(testbed(1_000, 20)).load(0.8).lasting(secs(300)),
    ),
    case(
        "one-of-5-rarely",
        "1000 clients that each send 0.18 requests per second, one of 5 servers at half speed, load 0.8",
        || first_at(testbed(1_000, 5), 0.5).load(0.8).lasting(secs(800)),
    ),
    case("tenfold-20-clients", "20 clients, one of 5 servers 10 times slower, load 0.7", || {
        workers(20, 5).fault(Fault::slow(0, 10.0)).load(0.7).lasting(secs(100))
    }),
    case("fivefold-20-clients", "20 clients, one of 5 servers 5 times slower, load 0.7", || {
        workers(20, 5).fault(Fault::slow(0, 5.0)).load(0.7).lasting(secs(100))
    }),
    case("tenfold-1-client", "one client, one of 5 servers 10 times slower, load 0.7", || {
        workers(1, 5).fault(Fault::slow(0, 10.0)).load(0.7).lasting(secs(100))
    }),
    case("tenfold-busy", "one client, one of 5 servers 10 times slower, load 0.8", || {
        workers(1, 5).fault(Fault::slow(0, 10.0)).load(0.8).lasting(secs(100))
    }),
    case("fivefold-at-20/s", "one client that sends 20 requests per second, one of 5 servers 5 times slower", || {
        testbed(1, 5).fault(Fault::slow(0, 5.0)).rate(20.0).lasting(secs(8_000))
    }),
    case("tenfold-at-20/s", "one client that sends 20 requests per second, one of 5 servers 10 times slower", || {
        testbed(1, 5).fault(Fault::slow(0, 10.0)).rate(20.0).lasting(secs(8_000))
    }),
    case("tenfold-of-2", "one client, one of 2 servers 10 times slower, load 0.4", || {
        workers(1, 2).fault(Fault::slow(0, 10.0)).load(0.4).lasting(secs(200))
    }),
    case("twelvefold-of-10", "10 clients, one of 10 servers 12 times slower, load 0.7", || {
        testbed(10, 10).fault(Fault::slow(0, 12.0)).load(0.7)
    }),
    case("half-speed-of-5", "5 clients, one of 5 servers at half speed, load 0.8", || {
        first_at(workers(5, 5), 0.5).load(0.8).lasting(secs(100))
    }),
    case("half-speed-idle", "5 clients, one of 5 servers at half speed, load 0.3", || {
        first_at(workers(5, 5), 0.5).load(0.3).lasting(secs(200))
    }),
    case("half-of-10", "10 clients, 5 of 10 servers at half speed, load 0.85", || {
        every_second_at_half_speed(testbed(10, 10)).load(0.85)
    }),
    case("half-of-100", "100 clients, 50 of 100 servers at half speed, load 0.9", || {
        every_second_at_half_speed(testbed(100, 100)).load(0.9)
    }),
    case("quarter-drop", "10 clients, one of 10 servers 4 times slower for 100 s of 400 s, load 0.7", || {
        let drop = Fault::slow(0, 4.0).from(secs(150)).lasting(secs(100));
        testbed(10, 10).fault(drop).load(0.7)
    }),
    case("more-cores", "5 clients, 4 servers with 1, 2, 4 and 8 workers and equal weights, load 0.8", || {
        let servers = [1, 2, 4, 8].map(Server::fifo);
        Scenario::with(servers).clients(5).load(0.8).lasting(secs(200))
    }),
];

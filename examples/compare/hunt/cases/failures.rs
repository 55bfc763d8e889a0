//! Servers that fail some requests, and callers that do not wait.

use equipoise::sim::{Fault, Impatience, Scenario};

use crate::hunt::case::{Case, ms, secs, testbed, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("failures", name, about, make)
}

fn everywhere(scenario: Scenario, servers: usize, share: f64) -> Scenario {
    (0..servers).fold(scenario, |scenario, server| scenario.fault(Fault::flaky(server, share)))
}

pub(super) const CASES: &[Case] = &[
    case("5%-everywhere", "5 % of the requests fail at every server; 10 clients, 10 servers, load 0.8", || {
        everywhere(testbed(10, 10), 10, 0.05).load(0.8)
    }),
    case("5%-everywhere-1-client", "5 % of the requests fail at every server; one client, 5 servers, load 0.8", || {
        everywhere(workers(1, 5), 5, 0.05).load(0.8).lasting(secs(100))
    }),
    case("1%-everywhere", "1 % of the requests fail at every server; one client, 5 servers, load 0.8", || {
        everywhere(workers(1, 5), 5, 0.01).load(0.8).lasting(secs(100))
    }),
    case(
        "30%-everywhere-one-always",
        "every request fails at one of 5 servers after 1 ms, and 30 % of the requests at the others; 5 clients, load \
         0.6",
        || {
            let others = (1..5).fold(workers(5, 5), |scenario, server| scenario.fault(Fault::flaky(server, 0.3)));
            others.fault(Fault::sinkhole(0)).load(0.6).lasting(secs(100))
        },
    ),
    case("20%-at-one", "20 % of the requests fail at one of 5 servers; 5 clients, load 0.7", || {
        workers(5, 5).fault(Fault::flaky(0, 0.2)).load(0.7).lasting(secs(100))
    }),
    case("20%-at-one-fast", "20 % of the requests fail after 1 ms at one of 5 servers; 5 clients, load 0.7", || {
        workers(5, 5).fault(Fault::flaky_after(0, 0.2, ms(1))).load(0.7).lasting(secs(100))
    }),
    case(
        "half-at-one-slowly",
        "half of the requests fail after 500 ms at one of 10 servers; 10 clients, load 0.7",
        || testbed(10, 10).fault(Fault::flaky_after(0, 0.5, ms(500))).load(0.7),
    ),
    case(
        "given-up-100ms",
        "callers give up after 100 ms, and one of 5 servers is 20 times slower; 5 clients, load 0.6",
        || {
            let slow = Fault::slow(0, 20.0);
            workers(5, 5).fault(slow).impatience(Impatience::new(1.0, ms(100))).load(0.6).lasting(secs(100))
        },
    ),
    case("given-up-early", "one caller in ten gives up after 5 ms; 5 clients, 5 servers, load 0.8", || {
        workers(5, 5).impatience(Impatience::new(0.1, ms(5))).load(0.8).lasting(secs(100))
    }),
    case(
        "given-up-stall",
        "callers give up after 200 ms, and one of 5 servers makes no progress for 1 s of every 5 s; 5 clients, load \
         0.7",
        || {
            let stall = Fault::stall(0).from(secs(4)).lasting(secs(1)).every(secs(5));
            workers(5, 5).fault(stall).impatience(Impatience::new(1.0, ms(200))).load(0.7).lasting(secs(100))
        },
    ),
];

//! Other programs on the machines of the servers change what the servers can do.

use equipoise::sim::{Antagonists, Scenario};

use crate::hunt::case::{Case, secs, testbed};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("antagonists", name, about, make)
}

fn crowd(clients: usize, load: f64) -> Scenario {
    testbed(clients, 100).antagonists(Antagonists::new(0.15)).load(load)
}

pub(super) const CASES: &[Case] = &[
    case("1-client-1.03", "one client, 100 servers that share their machines with other programs, load 1.03", || {
        crowd(1, 1.03)
    }),
    case("5-clients-1.03", "5 clients, 100 servers that share their machines with other programs, load 1.03", || {
        crowd(5, 1.03)
    }),
    case("20-clients-1.03", "20 clients, 100 servers that share their machines with other programs, load 1.03", || {
        crowd(20, 1.03)
    }),
    case(
        "100-clients-1.03",
        "100 clients, 100 servers that share their machines with other programs, load 1.03",
        || crowd(100, 1.03),
    ),
    case(
        "1000-clients-1.03",
        "1000 clients, 100 servers that share their machines with other programs, load 1.03",
        || crowd(1_000, 1.03),
    ),
    case("overload-1.41", "100 clients, 100 servers that share their machines with other programs, load 1.41", || {
        crowd(100, 1.41)
    }),
    case(
        "frequent",
        "20 clients, 20 servers; because of other programs, a server can use no more than its own cores half of the \
         time; load 0.95",
        || testbed(20, 20).antagonists(Antagonists::new(0.5)).load(0.95),
    ),
    case(
        "fast-slow",
        "100 clients, 100 servers that share their machines with other programs, half of them at half speed, load 0.9",
        || {
            let scenario = testbed(100, 100).each(|at, server| if at % 2 == 0 { server.speed(0.5) } else { server });
            scenario.antagonists(Antagonists::new(0.15)).load(0.9).lasting(secs(100))
        },
    ),
    case(
        "hasty",
        "10 clients, 10 servers whose usable cores change every second because of other programs, load 0.95",
        || testbed(10, 10).antagonists(Antagonists::new(0.3).hold(secs(1))).load(0.95),
    ),
];

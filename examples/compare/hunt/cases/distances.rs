//! Servers at different distances.

use equipoise::sim::Scenario;

use crate::hunt::case::{Case, ms, secs, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("distances", name, about, make)
}

/// 10 servers, half of them at a distance of 1 ms and half of them at 30 ms.
fn zones(clients: usize, load: f64) -> Scenario {
    let far = |at: usize| ms(if at.is_multiple_of(2) { 1 } else { 30 });
    workers(clients, 10).each(|at, server| server.distance(far(at))).load(load).lasting(secs(60))
}

pub(super) const CASES: &[Case] = &[
    case("zones-0.3", "5 servers with a round-trip time of 1 ms and 5 with 30 ms; one client, load 0.3", || {
        zones(1, 0.3)
    }),
    case("zones-0.45", "5 servers with a round-trip time of 1 ms and 5 with 30 ms; one client, load 0.45", || {
        zones(1, 0.45)
    }),
    case("zones-0.7", "5 servers with a round-trip time of 1 ms and 5 with 30 ms; one client, load 0.7", || {
        zones(1, 0.7)
    }),
    case("zones-0.7-20", "5 servers with a round-trip time of 1 ms and 5 with 30 ms; 20 clients, load 0.7", || {
        zones(20, 0.7)
    }),
    case(
        "regions",
        "3 servers with a round-trip time of 1 ms, 3 with 20 ms and 3 with 100 ms; 5 clients, load 0.5",
        || {
            let far = |at: usize| ms([1, 20, 100][at % 3]);
            workers(5, 9).each(|at, server| server.distance(far(at))).load(0.5).lasting(secs(60))
        },
    ),
    case(
        "one-far",
        "one of 5 servers with a round-trip time of 50 ms, the others with 1 ms; 5 clients, load 0.6",
        || {
            workers(5, 5)
                .each(|at, server| server.distance(ms(if at == 0 { 50 } else { 1 })))
                .load(0.6)
                .lasting(secs(100))
        },
    ),
];

//! Servers that leave and come back.

use equipoise::sim::{Fault, Scenario};

use crate::hunt::case::{Case, ms, secs, testbed, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("outages", name, about, make)
}

fn restart(scenario: Scenario, server: usize) -> Scenario {
    let at = 100 + 60 * server as u64;
    let away = Fault::removed(server).from(secs(at)).lasting(secs(5));
    scenario.fault(away).fault(Fault::cold_start(server).from(secs(at + 5)))
}

pub(super) const CASES: &[Case] = &[
    case(
        "return-at-10/s",
        "one of 5 servers refuses connections for 30 s of every 120 s; one client that sends 10 requests per second",
        || {
            let away = Fault::refuses(0).from(secs(60)).lasting(secs(30)).every(secs(120));
            testbed(1, 5).fault(away).rate(10.0).lasting(secs(6_000)).sample_interval(ms(200))
        },
    )
    .returns(0, secs(90), secs(120)),
    case(
        "slow-for-a-while",
        "one of 5 servers is 20 times slower for 30 s of every 120 s; one client that sends 10 requests per second",
        || {
            let slow = Fault::slow(0, 20.0).from(secs(60)).lasting(secs(30)).every(secs(120));
            testbed(1, 5).fault(slow).rate(10.0).lasting(secs(6_000)).sample_interval(ms(200))
        },
    )
    .returns(0, secs(90), secs(120)),
    case("return-busy", "one of 5 servers refuses connections for 5 s of every 20 s; 5 clients, load 0.7", || {
        let away = Fault::refuses(0).from(secs(10)).lasting(secs(5)).every(secs(20));
        workers(5, 5).fault(away).load(0.7).lasting(secs(120)).sample_interval(ms(10))
    })
    .returns(0, secs(15), secs(20)),
    case(
        "cold-start",
        "three of 10 servers restart one after the other, and each is slow for 30 s then; 10 clients, load 0.7",
        || (0..3).fold(testbed(10, 10), restart).load(0.7),
    ),
    case("churn", "five of 20 servers leave and join again every 20 s; 10 clients, load 0.6", || {
        (0..5)
            .fold(testbed(10, 20), |scenario, server| {
                let from = secs(5 + 4 * server as u64);
                scenario.fault(Fault::removed(server).from(from).lasting(secs(5)).every(secs(20)))
            })
            .load(0.6)
    }),
    case(
        "rolling-update",
        "all 10 servers restart one after the other, and each is slow for 30 s then; 10 clients, load 0.6",
        || {
            (0..10)
                .fold(testbed(10, 10), |scenario, server| {
                    let at = 110 + 25 * server as u64;
                    let away = Fault::removed(server).from(secs(at)).lasting(secs(5));
                    scenario.fault(away).fault(Fault::cold_start(server).from(secs(at + 5)))
                })
                .load(0.6)
        },
    ),
];

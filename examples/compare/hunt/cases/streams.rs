//! Responses that last long after their first byte.

use equipoise::sim::{Bodies, Fault, Scenario, Work};

use crate::hunt::case::{Case, ms, secs, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("streams", name, about, make)
}

fn websockets(clients: usize) -> Scenario {
    let bodies = Bodies::some(0.01, Work::exponential(secs(60)));
    workers(clients, 5).bodies(bodies).load(0.7).lasting(secs(200))
}

fn restart(scenario: Scenario) -> Scenario {
    scenario.fault(Fault::refuses(0).from(secs(80)).lasting(secs(2)))
}

pub(super) const CASES: &[Case] = &[
    case(
        "websockets",
        "1 % of the requests become websockets of 60 s on average; one client, 5 servers, load 0.7",
        || websockets(1),
    ),
    case(
        "websockets-restart",
        "1 % of the requests become websockets of 60 s on average; one of 5 servers restarts; one client, load 0.7",
        || restart(websockets(1)),
    ),
    case(
        "websockets-restart-10",
        "1 % of the requests become websockets of 60 s on average; one of 5 servers restarts; 10 clients, load 0.7",
        || restart(websockets(10)),
    ),
    case("bodies-2s", "every response has a body of 2 s after its first byte; one client, 5 servers, load 0.7", || {
        workers(1, 5).bodies(Bodies::all(Work::constant(secs(2)))).load(0.7).lasting(secs(60))
    }),
    case(
        "bodies-uneven",
        "every response has a body of 0.5 s on average (exponential); 10 clients, 5 servers, load 0.8",
        || workers(10, 5).bodies(Bodies::all(Work::exponential(ms(500)))).load(0.8).lasting(secs(60)),
    ),
    case(
        "downloads-slow-one",
        "one response in ten is a download of 5 s on average; one of 5 servers is 5 times slower; 5 clients, load 0.6",
        || {
            let bodies = Bodies::some(0.1, Work::exponential(secs(5)));
            workers(5, 5).bodies(bodies).fault(Fault::slow(0, 5.0)).load(0.6).lasting(secs(100))
        },
    ),
    case(
        "downloads-joined",
        "every response has a body of 2 s on average, and one of 5 servers leaves and joins again after 20 s; 5 clients, \
         load 0.6",
        || {
            let joins = Fault::removed(0).from(secs(20)).lasting(secs(20));
            workers(5, 5).bodies(Bodies::all(Work::exponential(secs(2)))).fault(joins).load(0.6).lasting(secs(80))
        },
    ),
];

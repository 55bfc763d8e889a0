//! Servers that shed load, and clients with limits.

use equipoise::sim::{Fault, Scenario, Server, Work};

use crate::hunt::case::{Case, ms, secs, workers};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("limits", name, about, make)
}

fn shedding(clients: usize, servers: usize, kind: Server, limit: usize, retry_after: Option<u64>) -> Scenario {
    let kind = kind.sheds_beyond(limit, retry_after.map(secs));
    Scenario::of(servers, kind).clients(clients).work(Work::exponential(ms(5))).load(0.7).timeout(secs(5))
}

pub(super) const CASES: &[Case] = &[
    case(
        "sheds-retry-after",
        "a server that has 8 requests responds to further ones with 503 and Retry-After: 1; one client, 5 servers, \
         load 0.7",
        || shedding(1, 5, Server::fifo(4), 8, Some(1)).lasting(secs(150)),
    ),
    case(
        "sheds-retry-after-10",
        "a server that has 8 requests responds to further ones with 503 and Retry-After: 1; 10 clients, 5 servers, \
         load 0.7",
        || shedding(10, 5, Server::fifo(4), 8, Some(1)).lasting(secs(150)),
    ),
    case(
        "sheds",
        "a server that has 8 requests responds to further ones with 503, without Retry-After; 10 clients, 5 servers, \
         load 0.7",
        || shedding(10, 5, Server::fifo(4), 8, None).lasting(secs(150)),
    ),
    case(
        "sheds-busy",
        "a server that has 8 requests responds to further ones with 503 and Retry-After: 1; 5 clients, 5 servers, \
         load 0.9",
        || shedding(5, 5, Server::fifo(4), 8, Some(1)).load(0.9).lasting(secs(150)),
    ),
    case(
        "sheds-and-fails",
        "a server that has 8 requests responds to further ones with 503 and Retry-After: 1, and 1 % of the requests \
         fail at every server; 5 clients, 5 servers, load 0.7",
        || {
            let scenario = shedding(5, 5, Server::fifo(4), 8, Some(1)).lasting(secs(150));
            (0..5).fold(scenario, |scenario, server| scenario.fault(Fault::flaky(server, 0.01)))
        },
    ),
    case(
        "one-worker-sheds",
        "a server that has 4 requests responds to further ones with 503 and Retry-After: 1; one client, 10 servers \
         with one worker each, load 0.7",
        || shedding(1, 10, Server::fifo(1), 4, Some(1)).lasting(secs(300)),
    ),
    case(
        "one-small-sheds",
        "one of 5 servers has one worker, and responds with 503 while it has 2 requests; 5 clients, load 0.7",
        || {
            let small = Server::fifo(1).sheds_beyond(2, Some(secs(1)));
            workers(5, 5).each(|at, server| if at == 0 { small.clone() } else { server }).load(0.7).lasting(secs(150))
        },
    ),
    case(
        "queue",
        "each client has at most 4 requests at a server, and further ones wait in the client's queue; 2 clients, 5 \
         servers, load 0.9",
        || {
            let scenario = workers(2, 5).each(|_, server| server.max_in_flight(4));
            scenario.queue_timeout(secs(1)).load(0.9).lasting(secs(100))
        },
    ),
    case(
        "queue-slow-one",
        "each client has at most 4 requests at a server, and one of 5 servers is at half speed; 2 clients, load 0.8",
        || {
            let limited = |at: usize, server: Server| server.max_in_flight(4).speed(if at == 0 { 0.5 } else { 1.0 });
            workers(2, 5).each(limited).queue_timeout(secs(1)).load(0.8).lasting(secs(100))
        },
    ),
];

//! Requests of very unequal size.

use equipoise::sim::{Scenario, Server, Work};

use crate::hunt::case::{Case, ms, secs};

const fn case(name: &'static str, about: &'static str, make: fn() -> Scenario) -> Case {
    Case::new("work", name, about, make)
}

/// One client and 5 servers at load 0.7, for about 150 000 requests.
fn five(kind: Server, work: Work) -> Scenario {
    Scenario::of(5, kind).work(work).load(0.7)
}

pub(super) const CASES: &[Case] = &[
    case(
        "rare-seconds",
        "0.2 % of the requests take 1 s, the others 1 ms; one client, 5 servers with 16 workers each, load 0.5",
        || five(Server::fifo(16), Work::bimodal(ms(1), ms(1_000), 0.002)).load(0.5).lasting(secs(60)),
    ),
    case(
        "pareto-1.2-fifo",
        "heavy-tailed work (Pareto 1.2) of 20 ms on average; one client, 5 servers with 4 workers each, load 0.7",
        || five(Server::fifo(4), Work::pareto(ms(20), 1.2, 10_000.0)).lasting(secs(400)),
    ),
    case(
        "pareto-1.2-ps",
        "heavy-tailed work (Pareto 1.2) of 20 ms on average; one client, 5 servers with 4 shared cores each, load 0.7",
        || five(Server::sharing(4.0), Work::pareto(ms(20), 1.2, 10_000.0)).lasting(secs(400)),
    ),
    case(
        "pareto-1.5-fifo",
        "heavy-tailed work (Pareto 1.5) of 20 ms on average; one client, 5 servers with 4 workers each, load 0.7",
        || five(Server::fifo(4), Work::pareto(ms(20), 1.5, 10_000.0)).lasting(secs(400)),
    ),
    case(
        "pareto-1.5-ps",
        "heavy-tailed work (Pareto 1.5) of 20 ms on average; one client, 5 servers with 4 shared cores each, load 0.7",
        || five(Server::sharing(4.0), Work::pareto(ms(20), 1.5, 10_000.0)).lasting(secs(400)),
    ),
    case(
        "pareto-10-clients",
        "heavy-tailed work (Pareto 1.2) of 20 ms on average; 10 clients, 20 servers with 4 workers each, load 0.7",
        || {
            let work = Work::pareto(ms(20), 1.2, 10_000.0);
            Scenario::of(20, Server::fifo(4)).clients(10).work(work).load(0.7).lasting(secs(200))
        },
    ),
    case(
        "bimodal-ps",
        "10 % of the requests take 100 ms, the others 5 ms; one client, 5 servers with 4 shared cores each, load 0.7",
        || five(Server::sharing(4.0), Work::bimodal(ms(5), ms(100), 0.1)).lasting(secs(200)),
    ),
    case(
        "bimodal-fifo",
        "10 % of the requests take 100 ms, the others 5 ms; one client, 5 servers with 4 workers each, load 0.7",
        || five(Server::fifo(4), Work::bimodal(ms(5), ms(100), 0.1)).lasting(secs(200)),
    ),
    case(
        "bimodal-10-clients",
        "10 % of the requests take 100 ms, the others 5 ms; 10 clients, 10 servers with 4 shared cores each, load 0.7",
        || {
            let work = Work::bimodal(ms(5), ms(100), 0.1);
            Scenario::of(10, Server::sharing(4.0)).clients(10).work(work).load(0.7).lasting(secs(100))
        },
    ),
    case("constant", "every request takes 10 ms; one client, 5 servers with 4 workers each, load 0.9", || {
        five(Server::fifo(4), Work::constant(ms(10))).load(0.9).lasting(secs(100))
    }),
    case(
        "exponential",
        "exponentially distributed work of 5 ms on average; one client, 5 servers with 4 workers each, load 0.7",
        || five(Server::fifo(4), Work::exponential(ms(5))).lasting(secs(80)),
    ),
];

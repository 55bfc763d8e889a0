//! The named scenarios, for the tool and for the document.

use std::time::Duration;

use equipoise::{
    InvalidStrategy, Strategy, StrategySpec,
    sim::{Antagonists, Arrivals, Fault, Keys, Scenario, Server, Work},
    strategy::by_name,
};

/// A scenario with a name.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// What happens in the scenario, as part of a sentence.
    pub(crate) about: &'static str,
    /// Default loads; 1.0 is the full capacity of all servers with their allocation.
    pub(crate) loads: &'static [f64],
    /// Index of the server with a fault.
    pub(crate) watched: Option<usize>,
    /// Whether requests have keys. If so, hashing strategies are compared.
    pub(crate) keyed: bool,
    /// Additional strategies with settings or combinators.
    also: &'static [&'static str],
    make: fn() -> Scenario,
}

impl Known {
    const fn new(name: &'static str, about: &'static str, loads: &'static [f64], make: fn() -> Scenario) -> Self {
        Self { name, about, loads, watched: None, keyed: false, also: &[], make }
    }

    const fn watch(mut self, server: usize) -> Self {
        self.watched = Some(server);
        self
    }

    const fn keyed(mut self) -> Self {
        self.keyed = true;
        self
    }

    const fn also(mut self, strategies: &'static [&'static str]) -> Self {
        self.also = strategies;
        self
    }

    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.name == name)
    }

    pub(crate) fn at(&self, load: f64) -> Scenario {
        (self.make)().load(load)
    }

    /// Returns all suitable strategies that are not combinators. `first-fit` is left out, because it only makes sense
    /// with limits.
    pub(crate) fn strategies(&self) -> Result<Vec<StrategySpec>, InvalidStrategy> {
        let alone = by_name::all().iter().filter(|known| !known.wraps() && known.name() != "first-fit");
        let mut strategies = alone.map(|known| known.name().parse()).collect::<Result<Vec<StrategySpec>, _>>()?;
        strategies.retain(|strategy| strategy.build().needs().places_by_key() == self.keyed);
        for also in self.also {
            strategies.push(also.parse()?);
        }
        Ok(strategies)
    }
}

const SWEEP: &[f64] = &[0.5, 0.7, 0.9, 1.1, 1.3, 1.74];
const BY_KEY: &[&str] = &["bounded-load(maglev)", "bounded-load(maglev, factor=2)", "p2c"];

pub(crate) const ALL: &[Known] = &[
    Known::new(
        "calm",
        "100 clients and 100 equal servers with 4 cores each; the machines of the servers have spare capacity, so a \
         server can use 1.5 to 4 times its cores",
        SWEEP,
        || testbed(100, 100).antagonists(Antagonists::new(0.0)),
    ),
    Known::new(
        "tight",
        "100 clients and 100 equal servers, each of which can use exactly its 4 cores",
        &[0.5, 0.7, 0.9, 1.74],
        || testbed(100, 100).lasting(seconds(40)),
    ),
    Known::new(
        "antagonists",
        "100 clients and 100 equal servers with 4 cores each; because of other programs on the machines, a server can \
         use 0.85 to 1 times its cores for 15 % of the time, and 1.5 to 4 times otherwise",
        SWEEP,
        || testbed(100, 100).antagonists(Antagonists::new(0.15)),
    ),
    Known::new(
        "fast-slow",
        "100 clients and 100 servers with 4 cores each; every second server is half as fast as the others",
        &[0.5, 0.6, 0.7, 0.8, 0.9],
        || testbed(100, 100).each(|at, server| if at % 2 == 0 { server.speed(0.5) } else { server }),
    ),
    Known::new("slow-one", "10 clients and 10 servers; one server is 12 times slower than the others", &[0.7], || {
        small().fault(Fault::slow(0, 12.0))
    })
    .watch(0),
    Known::new(
        "stall",
        "one client and five servers with 4 workers each; a request takes 5 ms on average; one server stalls (makes \
         no progress) for 1 s of every 5 s",
        &[0.85],
        || {
            let stall = Fault::stall(0).from(seconds(4)).lasting(seconds(1)).every(seconds(5));
            Scenario::of(5, Server::fifo(4))
                .work(Work::exponential(Duration::from_millis(5)))
                .fault(stall)
                .lasting(seconds(120))
        },
    )
    .watch(0),
    Known::new(
        "sinkhole",
        "10 clients and 10 servers; one server responds to every request with an error after 1 ms",
        &[0.7],
        || small().fault(Fault::sinkhole(0)),
    )
    .watch(0),
    Known::new(
        "refuses",
        "10 clients and 10 servers; one server is dead for 30 s of 120 s, and its machine refuses connections",
        &[0.7],
        || small().fault(Fault::refuses(0).from(seconds(60)).lasting(seconds(30))),
    )
    .watch(0),
    Known::new(
        "blackhole",
        "10 clients and 10 servers; one server is unreachable for 30 s of 120 s, so no response comes back from it",
        &[0.7],
        || small().fault(Fault::blackhole(0).from(seconds(60)).lasting(seconds(30))),
    )
    .watch(0),
    Known::new(
        "cold-start",
        "10 clients and 10 servers; three servers restart one after the other, and the requests of a restarted server \
         are three times the work at first, falling to normal within 30 s",
        &[0.7],
        || (0..3).fold(small(), restart),
    )
    .watch(0)
    .also(&["slow-start(p2c)", "slow-start(log-ewma)"]),
    Known::new(
        "churn",
        "10 clients and 20 servers; requests have keys, none of which is frequent; five servers leave and join again \
         every 20 s",
        &[0.6],
        || {
            (0..5).fold(by_key(0.5), |scenario, server| {
                let from = seconds(5 + 4 * server as u64);
                scenario.fault(Fault::removed(server).from(from).lasting(seconds(5)).every(seconds(20)))
            })
        },
    )
    .keyed()
    .also(BY_KEY),
    Known::new(
        "hot-keys",
        "10 clients and 20 servers; requests have keys, and one request in ten has the same key (Zipf distribution)",
        &[0.6],
        || by_key(1.0),
    )
    .keyed()
    .also(BY_KEY),
    Known::new(
        "bursts",
        "20 clients and 20 servers; each client sends in bursts at 10 times its mean rate, and nothing between the \
         bursts",
        &[0.5],
        || {
            let bursts = Arrivals::Bursts { factor: 10.0, burst: seconds(1) };
            testbed(20, 20).arrivals(bursts).lasting(seconds(600))
        },
    ),
    Known::new(
        "clients-1",
        "one client that sends all requests, and 100 servers that share their machines with other programs",
        &[1.03],
        || crowd(1),
    ),
    Known::new(
        "clients-5",
        "five clients, and 100 servers that share their machines with other programs",
        &[1.03],
        || crowd(5),
    ),
    Known::new(
        "clients-100",
        "100 clients, and 100 servers that share their machines with other programs",
        &[1.03],
        || crowd(100),
    ),
    Known::new(
        "clients-1000",
        "1000 clients, each of which sends few requests, and 100 servers that share their machines with other \
         programs",
        &[1.03],
        || crowd(1000),
    ),
    Known::new(
        "clients-3000",
        "3000 clients, each of which sends one or two requests per second, and 100 servers that share their machines \
         with other programs",
        &[1.03],
        || crowd(3000),
    ),
    Known::new(
        "heavy-tails",
        "10 clients and 20 servers with 4 workers each; one request in a thousand is more than 60 times the mean work",
        &[0.7],
        || {
            Scenario::of(20, Server::fifo(4))
                .clients(10)
                .work(Work::pareto(Duration::from_millis(20), 1.2, 10_000.0))
                .lasting(seconds(200))
        },
    ),
];

fn testbed(clients: usize, servers: usize) -> Scenario {
    Scenario::testbed(clients, servers).lasting(seconds(30))
}

/// Few servers, so that a fault of one of them matters.
fn small() -> Scenario {
    testbed(10, 10).lasting(seconds(120))
}

fn crowd(clients: usize) -> Scenario {
    testbed(clients, 100).antagonists(Antagonists::new(0.15))
}

fn by_key(exponent: f64) -> Scenario {
    testbed(10, 20).keys(Keys::zipf(10_000, exponent)).lasting(seconds(80))
}

fn restart(scenario: Scenario, server: usize) -> Scenario {
    let at = 40 + 20 * server as u64;
    scenario
        .fault(Fault::removed(server).from(seconds(at)).lasting(seconds(5)))
        .fault(Fault::cold_start(server).from(seconds(at + 5)))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_run_with_strategies_that_exist() {
        for known in ALL {
            assert!(known.strategies().is_ok_and(|strategies| strategies.len() > 2), "{}", known.name);
            for &load in known.loads {
                assert_eq!(known.at(load).check(), Ok(()), "{} at {load}", known.name);
            }
        }
    }
}

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
    Known::new("calm", "100 clients, 100 equal servers of 4 cores, whose machines have spare capacity", SWEEP, || {
        testbed(100, 100).antagonists(Antagonists::new(0.0))
    }),
    Known::new("tight", "as calm, but servers get exactly their allocation of 4 cores", &[0.5, 0.7, 0.9, 1.74], || {
        testbed(100, 100).lasting(seconds(40))
    }),
    Known::new(
        "antagonists",
        "as calm, but other programs use the machines too: the cores of a server change every 10 s, and at times are too few",
        SWEEP,
        || testbed(100, 100).antagonists(Antagonists::new(0.15)),
    ),
    Known::new("fast-slow", "as tight, but every second server is half as fast", &[0.5, 0.6, 0.7, 0.8, 0.9], || {
        testbed(100, 100).each(|at, server| if at % 2 == 0 { server.speed(0.5) } else { server })
    }),
    Known::new("slow-one", "one of 10 servers is 12 times slower", &[0.7], || small().fault(Fault::slow(0, 12.0)))
        .watch(0),
    Known::new(
        "stall",
        "one client, five servers with 4 workers, 5 ms per request; one server stalls for 1 s of every 5 s",
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
    Known::new("sinkhole", "one of 10 servers answers every request with an error after 1 ms", &[0.7], || {
        small().fault(Fault::sinkhole(0))
    })
    .watch(0),
    Known::new(
        "refuses",
        "one of 10 servers is dead for 30 s of 120 s, and its machine refuses connections",
        &[0.7],
        || small().fault(Fault::refuses(0).from(seconds(60)).lasting(seconds(30))),
    )
    .watch(0),
    Known::new(
        "blackhole",
        "one of 10 servers is unreachable for 30 s of 120 s, and no response comes back",
        &[0.7],
        || small().fault(Fault::blackhole(0).from(seconds(60)).lasting(seconds(30))),
    )
    .watch(0),
    Known::new(
        "cold-start",
        "three of 10 servers restart one after the other, and are cold: requests are three times the work at first",
        &[0.7],
        || (0..3).fold(small(), restart),
    )
    .watch(0)
    .also(&["slow-start(p2c)", "slow-start(peak-ewma)"]),
    Known::new(
        "churn",
        "requests have keys, none of them hot; five of 20 servers leave and join again",
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
        "requests have keys, and one request in ten has the same key (Zipf); 20 servers",
        &[0.6],
        || by_key(1.0),
    )
    .keyed()
    .also(BY_KEY),
    Known::new(
        "bursts",
        "20 clients, 20 servers; each client sends in bursts at 10 times its mean rate, and nothing in between",
        &[0.5],
        || {
            let bursts = Arrivals::Bursts { factor: 10.0, burst: seconds(1) };
            testbed(20, 20).arrivals(bursts).lasting(seconds(600))
        },
    ),
    Known::new("clients-1", "one client that sees all requests; 100 servers with antagonists", &[1.03], || crowd(1)),
    Known::new("clients-5", "five clients; 100 servers with antagonists", &[1.03], || crowd(5)),
    Known::new("clients-100", "100 clients; 100 servers with antagonists", &[1.03], || crowd(100)),
    Known::new(
        "clients-1000",
        "1000 clients, each of which sees few requests; 100 servers with antagonists",
        &[1.03],
        || crowd(1000),
    ),
    Known::new(
        "clients-3000",
        "3000 clients, each of which sends one or two requests per second; 100 servers with antagonists",
        &[1.03],
        || crowd(3000),
    ),
    Known::new(
        "heavy-tails",
        "10 clients, 20 servers with 4 workers; one request in a thousand takes 60 times the mean",
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

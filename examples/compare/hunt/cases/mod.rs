//! The scenarios of the hunt, a file for each family. An entry is a name, a description and a scenario.

mod alike;
mod antagonists;
mod distances;
mod failures;
mod faults;
mod limits;
mod outages;
mod slow;
mod streams;
mod work;

use std::time::Duration;

use equipoise::sim::{Scenario, Server, Work};

use super::outage::Outage;

pub(super) const FAMILIES: &[&[Case]] = &[
    alike::CASES,
    slow::CASES,
    antagonists::CASES,
    work::CASES,
    streams::CASES,
    failures::CASES,
    faults::CASES,
    outages::CASES,
    limits::CASES,
    distances::CASES,
];

/// A scenario of the hunt.
#[derive(Debug)]
pub(crate) struct Case {
    family: &'static str,
    name: &'static str,
    /// What happens in the scenario.
    pub(super) about: &'static str,
    /// The outage after which the return of the server is measured.
    pub(super) outage: Option<Outage>,
    make: fn() -> Scenario,
}

impl Case {
    const fn new(family: &'static str, name: &'static str, about: &'static str, make: fn() -> Scenario) -> Self {
        Self { family, name, about, outage: None, make }
    }

    /// Measures how soon the server is used again after each outage.
    const fn returns(mut self, server: usize, until: Duration, every: Duration) -> Self {
        self.outage = Some(Outage { server, until, every });
        self
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }

    /// Returns whether the name is that of the family or of the case.
    pub(super) fn is_called(&self, name: &str) -> bool {
        name == self.family || name == self.name || name == self.full_name()
    }

    pub(super) fn scenario(&self) -> Scenario {
        (self.make)()
    }
}

/// Servers with 4 workers and 5 ms of work on average; timeout 5 s.
fn workers(clients: usize, servers: usize) -> Scenario {
    Scenario::of(servers, Server::fifo(4)).clients(clients).work(Work::exponential(ms(5))).timeout(secs(5))
}

/// The testbed of Prequal for at most so long that it has some hundred thousand requests.
fn testbed(clients: usize, servers: usize) -> Scenario {
    Scenario::testbed(clients, servers).lasting(secs(if servers < 50 { 4_000 / servers as u64 } else { 60 }))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_can_be_run_and_has_a_name_of_its_own() {
        let cases: Vec<&Case> = FAMILIES.iter().flat_map(|family| family.iter()).collect();
        for case in &cases {
            assert_eq!(case.scenario().check(), Ok(()), "{}", case.full_name());
        }
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() >= 60, "{}", cases.len());
    }
}

//! A scenario of the hunt, and what scenarios of several families are made of.

use std::time::Duration;

use equipoise::sim::{Scenario, Server, Work};

use super::outage::Outage;

/// A scenario of the hunt.
#[derive(Debug)]
pub(crate) struct Case {
    family: &'static str,
    pub(super) name: &'static str,
    /// What happens in the scenario.
    pub(super) about: &'static str,
    /// The outage after which the return of the server is measured.
    pub(super) outage: Option<Outage>,
    make: fn() -> Scenario,
}

impl Case {
    pub(super) const fn new(
        family: &'static str,
        name: &'static str,
        about: &'static str,
        make: fn() -> Scenario,
    ) -> Self {
        Self { family, name, about, outage: None, make }
    }

    /// Measures how soon the server is used again after each outage.
    pub(super) const fn returns(mut self, server: usize, until: Duration, every: Duration) -> Self {
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
pub(super) fn workers(clients: usize, servers: usize) -> Scenario {
    Scenario::of(servers, Server::fifo(4)).clients(clients).work(Work::exponential(ms(5))).timeout(secs(5))
}

/// The testbed of Prequal for at most so long that it has some hundred thousand requests.
pub(super) fn testbed(clients: usize, servers: usize) -> Scenario {
    Scenario::testbed(clients, servers).lasting(secs(if servers < 50 { 4_000 / servers as u64 } else { 60 }))
}

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

use std::time::Duration;

use equipoise_core::{Availability, StrategySpec};
use equipoise_sim::{
    HealthReport, Network, Report, Scenario, Server, Work,
    health::{CheckPolicy, HealthPolicy, Outliers, Schedule},
};

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Ten servers, 1200 requests per second from one client for 60 s, all measured.
pub(crate) fn tens() -> Scenario {
    Scenario::of(10, Server::sharing(4.0))
        .rate(1_200.0)
        .work(Work::exponential(ms(10)))
        .network(Network::local())
        .timeout(secs(1))
        .lasting(secs(60))
        .warm_up(0.0)
}

/// Five failures in a row, half of all at most.
pub(crate) fn requests() -> HealthPolicy {
    HealthPolicy::new().outliers(Outliers::envoy().max_ejection_percent(50))
}

pub(crate) fn schedule() -> Schedule {
    Schedule::new().interval(secs(2)).fast_interval(ms(500)).timeout(secs(1)).jitter(0.0)
}

pub(crate) fn checks() -> HealthPolicy {
    HealthPolicy::new().check(CheckPolicy::new("tcp", schedule()))
}

pub(crate) fn both() -> HealthPolicy {
    checks().outliers(requests().outliers)
}

pub(crate) fn run(scenario: &Scenario, strategy: &str) -> (Report, HealthReport) {
    let report = scenario.run(&strategy.parse::<StrategySpec>().expect("a strategy")).expect("a report");
    let health = report.health.clone().expect("a scenario with health");
    (report, health)
}

/// Returns the changes of a server, for runs with a single client.
pub(crate) fn changes(health: &HealthReport, server: usize) -> Vec<(Duration, Availability)> {
    health.changes.iter().filter(|change| change.server == server).map(|change| (change.at, change.to)).collect()
}

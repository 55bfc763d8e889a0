use std::time::Duration;

use equipoise_core::{Random, RoundRobin, StrategySpec, Timestamp};
use equipoise_sim::{Control, Feed, Report, Scenario, Server, Work, named};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Servers that take 10 ms for each request; 100 requests per second for 10 s, all measured.
pub(crate) fn tens(servers: usize) -> Scenario {
    Scenario::of(servers, Server::delay()).rate(100.0).work(Work::constant(ms(10))).lasting(secs(10)).warm_up(0.0)
}

pub(crate) fn by_turns(scenario: &Scenario) -> Report {
    scenario.run(&named("by turns", |_| RoundRobin::new())).expect("a report")
}

pub(crate) fn at_random(scenario: &Scenario) -> Report {
    scenario.run(&named("at random", |_| Random::new())).expect("a report")
}

pub(crate) fn strategy(name: &str) -> StrategySpec {
    name.parse().expect("a strategy")
}

/// Returns whether `got` equals `wanted`, up to the last digit of the histogram.
pub(crate) fn about(got: Duration, wanted: Duration) -> bool {
    got.abs_diff(wanted) * 500 <= wanted
}

/// Runs the scenario and counts the requests in the measured window independently of the report.
pub(crate) fn counted(scenario: &Scenario, name: &str, from: Duration, to: Duration) -> (Report, u64) {
    struct Count {
        /// The run's clock begins at one second.
        from: Timestamp,
        to: Timestamp,
        seen: u64,
    }
    impl Feed for Count {
        fn probe_targets(&mut self, _: usize, now: Timestamp, _: &mut Vec<usize>) {
            self.seen += u64::from(self.from <= now && now < self.to);
        }
    }
    let at = |time: Duration| Timestamp::from_nanos((secs(1) + time).as_nanos() as u64);
    let mut count = Count { from: at(from), to: at(to), seen: 0 };
    let report = scenario.run_fed(&strategy(name), &mut count, &Control::new()).expect("a report");
    (report, count.seen)
}

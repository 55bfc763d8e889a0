//! Behaviour of Log-EWMA, the default strategy.

use std::time::Duration;

use equipoise_core::StrategySpec;
use equipoise_sim::{Bodies, Comparison, Contender, Control, Fault, Report, Scenario, Server, Work};

const SEEDS: u64 = 3;

/// Compares Log-EWMA with these strategies.
fn against(others: &[&str], scenario: &Scenario) -> Comparison {
    let names = ["log-ewma"].iter().chain(others);
    let specs: Vec<StrategySpec> = names.map(|name| name.parse().expect("a strategy")).collect();
    let contenders: Vec<&dyn Contender> = specs.iter().map(|spec| spec as &dyn Contender).collect();
    let comparison = Comparison::run(scenario, &contenders, SEEDS, &Control::new()).expect("it can be run");
    comparison.complete().expect("all finish")
}

fn five(load: f64) -> Scenario {
    Scenario::of(5, Server::fifo(4)).load(load).work(Work::exponential(Duration::from_millis(5)))
}

#[test]
fn a_stalled_server_is_avoided_before_its_first_slow_response() {
    let stall = Fault::stall(0).from(Duration::from_secs(4));
    let stall = stall.lasting(Duration::from_secs(1)).every(Duration::from_secs(5));
    let comparison = against(&["p2c", "least-connections"], &five(0.8).fault(stall).lasting(Duration::from_secs(60)));
    let p999 = |report: &Report| report.latency.p999().as_secs_f64();
    for other in [1, 2] {
        let ratio = comparison.ratio(0, other, p999);
        assert!(ratio.max < 0.5, "{ratio:?}");
    }
}

#[test]
fn a_slow_server_does_not_raise_the_tail() {
    let left = (4.0 + 1.0 / 12.0) / 5.0;
    let scenario = five(0.7 * left).fault(Fault::slow(0, 12.0)).lasting(Duration::from_secs(20));
    let others = ["round-robin", "random", "p2c"];
    let comparison = against(&others, &scenario);
    let p99 = |report: &Report| report.latency.p99().as_secs_f64();
    for (at, other) in others.into_iter().enumerate() {
        let ratio = comparison.ratio(0, at + 1, p99);
        assert!(ratio.max < 0.9, "{other}: {ratio:?}");
    }
}

#[test]
fn long_bodies_are_no_load() {
    let bodies = Bodies::all(Work::constant(Duration::from_secs(2)));
    let comparison = against(&["round-robin"], &five(0.7).bodies(bodies).lasting(Duration::from_secs(20)));
    let p99 = |report: &Report| report.latency.p99().as_secs_f64();
    let ratio = comparison.ratio(0, 1, p99);
    assert!(ratio.max < 1.0, "{ratio:?}");
}

#[test]
fn a_server_that_fails_at_once_gets_few_requests_however_long_requests_take() {
    for millis in [5, 100, 500, 2_000] {
        let work = Work::exponential(Duration::from_millis(millis));
        let scenario = Scenario::of(5, Server::fifo(16)).load(0.5).work(work).fault(Fault::sinkhole(0));
        let scenario = scenario.timeout(Duration::from_secs(60)).lasting(Duration::from_secs(100.max(millis)));
        let comparison = against(&[], &scenario);
        let share = comparison.spread(0, Report::error_rate).max;
        assert!(share < 0.03, "{share} with requests of {millis} ms");
    }
}

#[test]
fn servers_that_fail_do_not_attract_requests_if_they_are_the_majority() {
    for (servers, failing) in [(3, 2), (5, 3), (5, 4), (10, 7)] {
        let left = (servers - failing) as f64 / servers as f64;
        let scenario = Scenario::of(servers, Server::fifo(4)).load(0.6 * left);
        let scenario = scenario.work(Work::exponential(Duration::from_millis(5))).lasting(Duration::from_secs(60));
        let scenario = (0..failing).fold(scenario, |scenario, server| scenario.fault(Fault::sinkhole(server)));
        let comparison = against(&[], &scenario);
        let share = comparison.spread(0, Report::error_rate).max;
        assert!(share < 0.03, "{share} with {failing} of {servers}");
    }
}

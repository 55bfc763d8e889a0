//! What the default strategy is there for.

use std::time::Duration;

use equipoise_core::StrategySpec;
use equipoise_sim::{Comparison, Contender, Control, Fault, Report, Scenario, Server, Work};

const SEEDS: u64 = 3;

fn against_p2c(scenario: &Scenario) -> Comparison {
    let names = ["peak-ewma", "p2c"].map(|name| name.parse::<StrategySpec>().expect("a strategy"));
    let contenders: Vec<&dyn Contender> = names.iter().map(|name| name as &dyn Contender).collect();
    let comparison = Comparison::run(scenario, &contenders, SEEDS, &Control::new()).expect("it can be run");
    comparison.complete().expect("both get through")
}

fn five(load: f64) -> Scenario {
    Scenario::of(5, Server::fifo(4)).load(load).work(Work::exponential(Duration::from_millis(5)))
}

#[test]
fn one_that_stalls_at_times_is_not_kept_away_from_its_work() {
    let stall = Fault::stall(0).from(Duration::from_secs(4));
    let stall = stall.lasting(Duration::from_secs(1)).every(Duration::from_secs(5));
    let comparison = against_p2c(&five(0.85).fault(stall).lasting(Duration::from_secs(20)));
    let median = |report: &Report| report.latency.p50().as_secs_f64();
    let mean = |report: &Report| report.latency.mean().as_secs_f64();
    // As good as least-request, up to what chance makes of three short runs.
    assert!(comparison.ratio(0, 1, median).mean < 1.1);
    assert!(comparison.ratio(0, 1, mean).mean < 1.1);
    assert!(comparison.spread(0, |report| report.share(0)).least > 0.14);
}

#[test]
fn one_that_is_slow_does_not_show_in_the_tail() {
    let left = (4.0 + 1.0 / 12.0) / 5.0;
    let comparison = against_p2c(&five(0.7 * left).fault(Fault::slow(0, 12.0)).lasting(Duration::from_secs(20)));
    let p99 = |report: &Report| report.latency.p99().as_secs_f64();
    assert!(comparison.ratio(0, 1, p99).most < 0.9);
}

#[test]
fn one_that_was_slow_has_its_share_back_after_some_seconds() {
    let slow = Fault::slow(0, 12.0).from(Duration::from_secs(2)).lasting(Duration::from_secs(8));
    let scenario = five(0.7).fault(slow).lasting(Duration::from_secs(20));
    for seed in 1..=SEEDS {
        let report = scenario.clone().seed(seed).run(&"peak-ewma".parse::<StrategySpec>().expect("a strategy"));
        let samples = report.expect("it can be run").series.samples;
        let last: f64 = samples[13..20].iter().map(|sample| sample.share(0)).sum::<f64>() / 7.0;
        assert!((0.17..0.23).contains(&last), "{last}");
    }
}

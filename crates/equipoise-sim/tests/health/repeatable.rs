use equipoise_sim::{
    Fault, InvalidScenario, Report, RunError, Scenario, Server,
    health::{FailurePercentage, HealthPolicy, Outliers},
};

use crate::common::{both, ms, run, secs, tens};

/// A scenario with every source of health and every fault.
fn mixed() -> Scenario {
    let rules = Outliers::envoy().failure_percentage(FailurePercentage::new(30).min_hosts(3).min_requests(10));
    let outliers = rules.max_ejection_percent(50).interval(secs(2)).base_ejection(secs(3)).max_ejection(secs(10));
    tens()
        .clients(3)
        .fault(Fault::sinkhole(0).from(secs(5)).lasting(secs(3)).every(secs(9)))
        .fault(Fault::refuses(1).from(secs(6)).lasting(secs(5)))
        .fault(Fault::blackhole(2).from(secs(7)).lasting(secs(5)))
        .fault(Fault::slow(3, 12.0))
        .fault(Fault::stall(4).lasting(ms(1_500)).every(secs(3)))
        .fault(Fault::stall(5).lasting(ms(1_500)).every(secs(3)))
        .fault(Fault::removed(6).from(secs(8)).lasting(secs(5)))
        .max_retries(1)
        .health(both().outliers(outliers))
        .lasting(secs(30))
}

#[test]
fn the_same_seed_gives_the_same_report_to_the_bit() {
    for strategy in ["round-robin", "p2c", "peak-ewma", "slow-start(p2c)", "maglev"] {
        let (first, health) = run(&mixed(), strategy);
        assert!(health.changes.len() > 20, "{strategy}: {}", health.changes.len());
        for _ in 0..3 {
            assert!(run(&mixed(), strategy).0 == first, "{strategy}");
        }
        assert!(run(&mixed().seed(2), strategy).1 != health, "{strategy}");
    }
}

#[test]
fn requests_are_the_same_with_and_without() {
    let strategy: equipoise_core::StrategySpec = "p2c".parse().expect("a strategy");
    let without = tens().run(&strategy).expect("a report");
    assert_eq!(run(&tens().fault(Fault::sinkhole(0)).health(both()), "p2c").0.ends.total(), without.ends.total());
    assert_eq!(without.health, None);
}

#[test]
fn a_report_survives_serialization() {
    let (report, _) = run(&mixed(), "p2c");
    let text = serde_json::to_string(&report).expect("data");
    assert!(serde_json::from_str::<Report>(&text).expect("a report") == report);
    // A report without the field also deserializes.
    let without = tens().run(&"p2c".parse::<equipoise_core::StrategySpec>().expect("a strategy")).expect("a report");
    let text = serde_json::to_string(&without).expect("data").replace("\"health\":null,", "");
    assert!(serde_json::from_str::<Report>(&text).expect("a report") == without);
}

#[test]
fn a_policy_that_cannot_be_gone_by_is_refused_before() {
    let scenario = tens().health(HealthPolicy::new().outliers(Outliers::new().consecutive_failures(0)));
    let Err(error @ InvalidScenario::Health(_)) = scenario.check() else { panic!("it is accepted") };
    assert_eq!(error.to_string(), "health: consecutive_failures cannot be 0: it takes at least one failure");
    let run = scenario.run(&"p2c".parse::<equipoise_core::StrategySpec>().expect("a strategy"));
    assert_eq!(run, Err(RunError::Scenario(error)));
    let large = Scenario::of(101, Server::fifo(1)).clients(10_000).health(both());
    assert!(matches!(large.check(), Err(InvalidScenario::TooLarge { max: 1_000_000, .. })));
}

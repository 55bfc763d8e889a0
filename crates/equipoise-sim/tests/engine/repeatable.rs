use equipoise_core::{P2c, RoundRobin};
use equipoise_sim::{
    Antagonists, Arrivals, Bodies, Comparison, Contender, Control, Fault, Impatience, Keys, Network, Report, Scenario,
    Server, Work, named,
};

use crate::common::{ms, secs, strategy};

const NAMES: [&str; 7] = ["round-robin", "random", "p2c", "least-connections", "peak-ewma", "least-time", "edf"];

/// A scenario that uses every feature.
fn mixed() -> Scenario {
    Scenario::of(6, Server::sharing(2.0))
        .clients(3)
        .load(0.8)
        .work(Work::normal(ms(8), 1.0))
        .arrivals(Arrivals::Bursts { factor: 3.0, burst: ms(500) })
        .network(Network::local())
        .keys(Keys::zipf(100, 1.0))
        .antagonists(Antagonists::new(0.3).hold(secs(1)))
        .fault(Fault::sinkhole(1).from(secs(2)).lasting(secs(1)).every(secs(3)))
        .fault(Fault::refuses(2).from(secs(3)).lasting(secs(1)))
        .fault(Fault::slow(3, 4.0))
        .fault(Fault::flaky(5, 0.1))
        .fault(Fault::removed(4).from(secs(4)).lasting(secs(2)))
        .timeout(ms(200))
        .max_retries(1)
        .retry_budget(0.2)
        .hedge(ms(60))
        .bodies(Bodies::some(0.1, Work::exponential(ms(100))))
        .impatience(Impatience::new(0.1, ms(80)))
        .queue_timeout(ms(50))
        .each(|at, server| match at {
            0 => server.distance(ms(2)),
            1 => server.max_in_flight(2),
            2 => server.sheds_beyond(6, Some(secs(1))),
            _ => server.max_in_flight(8),
        })
        .lasting(secs(8))
}

#[test]
fn the_same_seed_gives_the_same_report_to_the_bit() {
    for name in NAMES {
        let run = || mixed().run(&strategy(name)).expect("a report");
        assert!(run() == run(), "{name}");
    }
}

#[test]
fn another_seed_gives_another_report() {
    for name in NAMES {
        let run = |seed| mixed().seed(seed).run(&strategy(name)).expect("a report");
        assert!(run(1).latency != run(2).latency, "{name}");
    }
}

#[test]
fn all_strategies_get_the_same_requests() {
    // On servers that only delay, the latency of a request is its work and its network delay, at every server.
    let scenario = Scenario::of(7, Server::delay()).clients(3).rate(500.0).network(Network::local()).lasting(secs(5));
    let reports = NAMES.map(|name| scenario.run(&strategy(name)).expect("a report"));
    for report in &reports {
        assert!(report.latency == reports[0].latency && report.ends == reports[0].ends, "{}", report.label);
        assert!(report.label == NAMES[0] || report.shares != reports[0].shares, "{}", report.label);
    }
}

#[test]
fn random_draws_and_retries_of_a_strategy_do_not_change_the_requests() {
    let scenario = mixed().timeout(secs(5));
    let total = |name| scenario.run(&strategy(name)).expect("a report").ends.total();
    assert!(NAMES.iter().all(|name| total(name) == total("random")));
}

#[test]
fn clients_have_independent_random_numbers() {
    // If they drew the same numbers, two clients would send twice as much to some servers.
    let one = Scenario::of(10, Server::delay()).rate(1_000.0).lasting(secs(10));
    let two = one.clone().clients(2);
    let spread = |scenario: &Scenario| {
        let shares = scenario.run(&strategy("random")).expect("a report").shares;
        shares.iter().map(|share| (share - 0.1).powi(2)).sum::<f64>()
    };
    // Ten shares of 7500 requests: 10 · 0.09 / 7500 = 1.2e-4 on average, and twice that if all came in pairs.
    assert!(spread(&one) < 2.5e-4 && spread(&two) < 2.5e-4, "{} {}", spread(&one), spread(&two));
}

#[test]
fn a_comparison_equals_its_single_runs() {
    let scenario = mixed();
    let (turns, p2c) = (named("turns", |_| RoundRobin::new()), named("p2c", |_| P2c::new()));
    let contenders: [&dyn Contender; 2] = [&turns, &p2c];
    let together = Comparison::run(&scenario, &contenders, 3, &Control::new()).expect("reports");
    for (contender, reports) in contenders.iter().zip(&together.reports) {
        let alone = |seed| scenario.clone().seed(seed).run(*contender).expect("a report");
        assert!(*reports == [alone(1), alone(2), alone(3)], "{}", contender.label());
    }
}

#[test]
fn a_report_survives_serialization() {
    let report = mixed().run(&strategy("p2c")).expect("a report");
    let text = serde_json::to_string(&report).expect("data");
    let read: Report = serde_json::from_str(&text).expect("a report");
    assert!(read == report);
    assert_eq!(read.latency.p999(), report.latency.p999());
}

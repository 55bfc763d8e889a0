use equipoise_sim::{Fault, Scenario, Server, Work};

use crate::common::{about, at_random, by_turns, ms, secs, tens};

#[test]
fn a_refused_request_is_retried_at_another_server() {
    let report = by_turns(&tens(3).fault(Fault::refuses(0)).max_retries(1));
    assert_eq!(report.ends.answered, report.ends.total());
    // Retries take no turns, so a third of the first attempts goes to the refusing server.
    let more = report.attempts as f64 / report.ends.total() as f64;
    assert!((more - 4.0 / 3.0).abs() < 0.02, "{more}");
}

#[test]
fn without_another_server_retries_go_to_the_same_one() {
    let report = by_turns(&tens(1).fault(Fault::refuses(0)).max_retries(3));
    assert_eq!(report.attempts, 4 * report.ends.total());
    assert_eq!(report.ends.refused, report.ends.total());
}

#[test]
fn a_budget_limits_retries_to_a_share_of_the_requests() {
    let report = at_random(&tens(1).fault(Fault::refuses(0)).max_retries(3).retry_budget(0.2));
    // The budget allows a burst of ten.
    let budget = report.ends.total() / 5 + 10;
    let more = report.attempts - report.ends.total();
    assert!(more <= budget && more + 2 >= budget, "{more} of {budget}");
}

#[test]
fn a_hedge_goes_elsewhere_and_the_first_answer_counts() {
    // Half of the first attempts would take 100 ms.
    let report = by_turns(&tens(2).fault(Fault::slow(0, 10.0)).hedge(ms(20)));
    assert_eq!(report.ends.answered, report.ends.total());
    assert!(about(report.latency.max(), ms(30)) && about(report.latency.quantile(0.4), ms(10)), "{report}");
    let more = report.attempts as f64 / report.ends.total() as f64;
    assert!((more - 1.5).abs() < 0.01, "{more}");
}

#[test]
fn the_attempt_that_loses_against_a_hedge_is_cancelled() {
    let scenario = Scenario::of(2, Server::fifo(100)).rate(10.0).work(Work::constant(ms(10))).lasting(secs(100));
    let slow = scenario.fault(Fault::slow(0, 50.0)).hedge(ms(20));
    let used = |scenario: &Scenario| by_turns(scenario).utilisation[0] * 100.0;
    // Half of the requests, plus hedges of others: 30 ms each, or the full 500 ms.
    assert!((used(&slow) - 5.0 * 0.030).abs() < 0.02, "{}", used(&slow));
    assert!((used(&slow.clone().without_cancelling()) - 5.0 * 0.5).abs() < 0.3, "{}", used(&slow.without_cancelling()));
}

/// A server with one worker that needs 100 ms for each request. Clients give up after 10 ms.
fn hopeless() -> Scenario {
    Scenario::of(1, Server::fifo(1)).rate(5.0).work(Work::constant(ms(100))).timeout(ms(10)).lasting(secs(200))
}

#[test]
fn a_server_drops_cancelled_requests() {
    let report = by_turns(&hopeless());
    assert_eq!(report.ends.timed_out, report.ends.total());
    assert!(about(report.latency.max(), ms(10)) && about(report.latency.p50(), ms(10)), "{report}");
    assert!((report.utilisation[0] - 0.05).abs() < 0.01, "{:?}", report.utilisation);
}

#[test]
fn without_cancelling_a_server_finishes_cancelled_requests() {
    let report = by_turns(&hopeless().without_cancelling());
    assert_eq!(report.ends.timed_out, report.ends.total());
    assert!((report.utilisation[0] - 0.5).abs() < 0.05, "{:?}", report.utilisation);
}

#[test]
fn a_request_given_up_on_its_way_is_worked_on_unless_it_is_cancelled() {
    let far = |scenario: Scenario| scenario.network(equipoise_sim::Network::new(ms(50), ms(0)));
    assert_eq!(by_turns(&far(hopeless())).utilisation, [0.0]);
    let used = by_turns(&far(hopeless()).without_cancelling()).utilisation[0];
    assert!((used - 0.5).abs() < 0.05, "{used}");
}

#[test]
fn queued_requests_time_out_too() {
    // 20 requests per second at a server that does 10: without timeouts the queue would grow without bound.
    let scenario = Scenario::of(1, Server::fifo(1)).rate(20.0).work(Work::constant(ms(100))).timeout(ms(500));
    let report = by_turns(&scenario.lasting(secs(100)));
    assert!(report.utilisation[0] > 0.99 && report.in_flight.max() < 30, "{report}");
    // First come, first served: most start shortly before their timeout and time out in service.
    let answered = report.ends.answered as f64 / report.ends.total() as f64;
    assert!((0.1..0.5).contains(&answered), "{:?}", report.ends);
}

#[test]
fn the_latency_of_a_request_covers_all_its_attempts() {
    let slow = tens(2).fault(Fault::slow(0, 100.0)).timeout(ms(40)).max_retries(1);
    let report = by_turns(&slow);
    assert_eq!(report.ends.answered, report.ends.total());
    assert!(about(report.latency.max(), ms(50)), "{report}");
}

#[test]
fn timers_of_open_attempts_survive_the_removal_of_old_ones() {
    // Far more requests end within the timeout than are open, so timers of ended attempts are removed.
    let scenario = Scenario::of(2, Server::delay()).rate(1_000.0).work(Work::constant(ms(10))).warm_up(0.0);
    let swallowed = Fault::blackhole(0).from(secs(5)).lasting(ms(100));
    let report = by_turns(&scenario.fault(swallowed).timeout(secs(9)).hedge(secs(8)).lasting(secs(20)));
    // Half of the requests of 100 ms, and those in service, are sent again after 8 s and answered.
    assert_eq!(report.ends.answered, report.ends.total());
    assert!(about(report.latency.max(), ms(8_010)), "{report}");
    let without_hedges = by_turns(&tens(2).rate(1_000.0).fault(swallowed).timeout(secs(9)).lasting(secs(20)));
    assert!(without_hedges.ends.timed_out.abs_diff(55) < 20, "{:?}", without_hedges.ends);
    assert!(about(without_hedges.latency.max(), secs(9)), "{without_hedges}");
}

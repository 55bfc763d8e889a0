//! Requests that wait in the queue of their pool.

use equipoise_sim::{Fault, Scenario, Server, Work};

use crate::common::{about, by_turns, ms, secs, tens};

/// One server with one worker, whose queue is in the client: M/M/1.
fn queued(load: f64) -> Scenario {
    Scenario::of(1, Server::fifo(1).max_in_flight(1)).load(load).queue_timeout(secs(1_000)).lasting(secs(2_000))
}

#[test]
fn a_queue_in_the_pool_is_one_in_the_server() {
    // M/M/1 at 0.5, first come, first served: the sojourn is exponential with a mean of 10 ms / (1 - 0.5).
    let report = by_turns(&queued(0.5));
    let (mean, p99) = (report.latency.mean().as_secs_f64(), report.latency.p99().as_secs_f64());
    assert!((mean / 0.02 - 1.0).abs() < 0.03, "{mean}");
    assert!((p99 / 0.092_1 - 1.0).abs() < 0.04, "in order: {p99}");
    assert_eq!((report.in_flight.max(), report.ends.errors()), (1, 0));
}

#[test]
fn several_servers_with_a_queue_in_the_pool_are_one_with_as_many_workers() {
    // M/M/4 at 0.8: the wait is C(4, 3.2) / (4 μ - λ) with Erlang's C = 0.5964, and the sojourn 10 ms more.
    let four = Scenario::of(4, Server::fifo(1).max_in_flight(1)).load(0.8).queue_timeout(secs(1_000));
    let mean = by_turns(&four.lasting(secs(500))).latency.mean().as_secs_f64();
    assert!((mean / 0.017_455 - 1.0).abs() < 0.03, "{mean}");
}

#[test]
fn a_request_waits_for_at_most_the_queue_timeout() {
    // Twice what the server can do: it does half of the requests, and each has waited for nearly the timeout.
    let scenario = Scenario::of(1, Server::fifo(1).max_in_flight(1)).rate(20.0).work(Work::constant(ms(100)));
    let report = by_turns(&scenario.queue_timeout(ms(500)).lasting(secs(100)));
    let unserved = report.ends.unserved as f64 / report.ends.total() as f64;
    assert!((unserved - 0.5).abs() < 0.07, "{:?}", report.ends);
    assert!(report.latency.max() <= ms(601) && report.latency.max() > ms(590), "{report}");
    assert_eq!(report.ends.errors(), report.ends.unserved);
}

#[test]
fn without_a_queue_timeout_nothing_waits() {
    let full = Scenario::of(1, Server::fifo(1).max_in_flight(1)).load(0.5).lasting(secs(1_000));
    let report = by_turns(&full);
    // Erlang's loss formula for one place: 0.5 / 1.5.
    let unserved = report.ends.unserved as f64 / report.ends.total() as f64;
    assert!((unserved - 1.0 / 3.0).abs() < 0.01, "{unserved}");
}

#[test]
fn requests_wait_for_a_server_to_come_back() {
    let away = Fault::removed(0).from(secs(5)).lasting(secs(1));
    let report = by_turns(&tens(1).fault(away).queue_timeout(secs(2)));
    assert_eq!(report.ends.errors(), 0);
    assert!(report.latency.max() > ms(950) && report.latency.max() < ms(1_011), "{report}");
}

#[test]
fn retries_wait_too() {
    // The first server refuses, so each request that gets to it waits for the second one.
    let scenario = Scenario::of(2, Server::fifo(1).max_in_flight(1)).rate(50.0).work(Work::constant(ms(10)));
    let scenario = scenario.fault(Fault::refuses(0)).max_retries(1).queue_timeout(secs(10)).lasting(secs(100));
    let report = by_turns(&scenario);
    assert_eq!(report.ends.answered, report.ends.total());
    assert!(about(report.latency.quantile(0.1), ms(10)) && report.latency.p99() > ms(20), "{report}");
}

#[test]
fn a_hedge_does_not_wait_and_its_request_goes_on() {
    let scenario = Scenario::of(1, Server::fifo(1).max_in_flight(1)).rate(2.0).work(Work::constant(ms(100)));
    let report = by_turns(&scenario.hedge(ms(20)).queue_timeout(ms(30)).lasting(secs(100)));
    // Only requests that wait for more than 30 ms are unserved: those that come within 70 ms after another.
    let unserved = report.ends.unserved as f64 / report.ends.total() as f64;
    assert!((0.05..0.2).contains(&unserved), "{unserved}");
    assert!(report.latency.max() <= ms(131) && report.attempts == report.ends.answered, "{report}");
}

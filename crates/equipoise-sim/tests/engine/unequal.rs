//! Distances, sizes of requests, servers that shed or fail some requests, and traces.

use std::time::Duration;

use equipoise_sim::{Fault, Network, Scenario, Server, Trace, Work};

use crate::common::{about, at_random, by_turns, ms, secs, tens};

#[test]
fn a_distance_is_added_to_each_round_trip() {
    let far = |at: usize| if at == 0 { ms(0) } else { ms(30) };
    let half = tens(2).each(|at, server| server.distance(far(at)));
    let report = by_turns(&half);
    assert!(about(report.latency.quantile(0.49), ms(10)) && about(report.latency.quantile(0.51), ms(40)), "{report}");
    // Half of it is before the work: a timeout of that length leaves nothing to do.
    let report = by_turns(&tens(1).each(|_, server| server.distance(ms(30))).timeout(ms(14)));
    assert_eq!((report.ends.timed_out, report.in_flight.max()), (report.ends.total(), 0));
    let report = by_turns(&half.network(Network::new(ms(5), ms(0))));
    assert!(about(report.latency.quantile(0.49), ms(20)) && about(report.latency.quantile(0.51), ms(50)), "{report}");
}

#[test]
fn a_share_of_bimodal_requests_is_large() {
    let report = by_turns(&tens(1).lasting(secs(200)).work(Work::bimodal(ms(10), ms(100), 0.1)));
    let small = report.latency.count_within(ms(11)) as f64 / report.latency.count() as f64;
    assert!((small - 0.9).abs() < 0.01 && about(report.latency.max(), ms(100)), "{small}, {report}");
}

#[test]
fn a_queue_of_bimodal_requests_is_as_long_as_pollaczek_and_khinchine_say() {
    // λ E[S²] / 2 (1 - ρ) = 14.34 ms of waiting, and 9.5 ms of work.
    let work = Work::bimodal(ms(5), ms(50), 0.1);
    let report = by_turns(&Scenario::of(1, Server::fifo(1)).work(work).load(0.5).lasting(secs(3_000)));
    let mean = report.latency.mean().as_secs_f64();
    assert!((mean / 0.023_84 - 1.0).abs() < 0.03, "{mean}");
}

#[test]
fn a_server_sheds_what_erlang_says() {
    // M/M/1/4 at 0.8: (1 - ρ) ρ⁴ / (1 - ρ⁵) of the requests find four at the server.
    let scenario = Scenario::of(1, Server::fifo(1).sheds_beyond(4, None)).load(0.8).lasting(secs(1_000));
    let report = by_turns(&scenario);
    let shed = report.ends.shed as f64 / report.ends.total() as f64;
    assert!((shed / 0.121_85 - 1.0).abs() < 0.03, "{shed}");
    assert_eq!((report.in_flight.max(), report.ends.errors()), (4, report.ends.shed));
    // With `Retry-After` the answers are the same; only their verdict differs.
    let scenario = scenario.each(|_, server| server.sheds_beyond(4, Some(secs(1))));
    assert_eq!(by_turns(&scenario).ends, report.ends);
}

#[test]
fn flaky_servers_fail_their_share_after_the_work_or_instead_of_it() {
    let busy = Scenario::of(2, Server::fifo(1)).rate(80.0).work(Work::constant(ms(10))).lasting(secs(200)).warm_up(0.0);
    let after = by_turns(&busy.clone().fault(Fault::flaky(0, 0.2)));
    let share = after.ends.failed as f64 / after.ends.total() as f64;
    assert!((share - 0.1).abs() < 0.01 && after.ends.errors() == after.ends.failed, "{:?}", after.ends);
    assert!((after.utilisation[0] / after.utilisation[1] - 1.0).abs() < 0.01, "{:?}", after.utilisation);
    let instead = by_turns(&busy.fault(Fault::flaky_after(0, 0.2, ms(1))));
    assert_eq!(instead.ends, after.ends, "the same requests fail");
    assert!((instead.utilisation[0] / instead.utilisation[1] - 0.8).abs() < 0.03, "{:?}", instead.utilisation);
}

#[test]
fn which_requests_fail_does_not_depend_on_the_strategy() {
    let everywhere = (0..3).fold(tens(3), |scenario, server| scenario.fault(Fault::flaky(server, 0.3)));
    let (turns, random) = (by_turns(&everywhere), at_random(&everywhere));
    assert!(turns.ends.failed > 250 && turns.ends == random.ends, "{:?} {:?}", turns.ends, random.ends);
}

#[test]
fn flaky_faults_begin_and_end() {
    let report = by_turns(&tens(1).fault(Fault::flaky(0, 1.0).from(secs(4)).lasting(secs(1))));
    assert!(report.ends.failed.abs_diff(100) < 30, "{:?}", report.ends);
}

/// A list of arrival times and works from a linear congruential generator.
fn listed() -> Vec<(Duration, Duration)> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 44
    };
    let mut at = 0;
    let mut pair = || {
        at += next();
        (Duration::from_micros(at), Duration::from_micros(next()))
    };
    (0..500).map(|_| pair()).collect()
}

#[test]
fn a_trace_is_worked_off_as_lindley_says() {
    let requests = listed();
    let mut free = Duration::ZERO;
    let mut latencies: Vec<Duration> = Vec::new();
    for &(at, work) in &requests {
        free = free.max(at) + work;
        latencies.push(free - at);
    }
    let trace = Trace::new(requests);
    for clients in [1, 3] {
        let scenario = Scenario::of(1, Server::fifo(1)).clients(clients).trace(trace.clone());
        let scenario = scenario.sample_interval(secs(10));
        let report = by_turns(&scenario);
        assert_eq!(report.ends.answered, 500);
        let mean = latencies.iter().sum::<Duration>() / 500;
        assert!(
            report.latency.mean().abs_diff(mean) < Duration::from_micros(1),
            "{:?} {mean:?}",
            report.latency.mean()
        );
        assert!(about(report.latency.max(), latencies.iter().copied().max().expect("500")), "{report}");
    }
}

#[test]
fn clients_get_the_requests_of_a_trace_by_turns_and_retries_are_as_much_work() {
    // The second client sends the second request only.
    let trace = Trace::new([(ms(0), ms(10)), (ms(100), ms(20)), (ms(200), ms(30))]);
    let scenario = Scenario::of(2, Server::fifo(1)).trace(trace).lasting(secs(1));
    let report = by_turns(&scenario.clone().clients(2));
    // Each client begins with the first server.
    assert_eq!(report.shares, [2.0 / 3.0, 1.0 / 3.0]);
    let again = by_turns(&scenario.fault(Fault::flaky(0, 1.0)).max_retries(1));
    assert_eq!(again.ends.answered, 3);
    // The first and the third begin at the failing server, and take twice their work.
    assert!(about(again.latency.p50(), ms(20)) && about(again.latency.max(), ms(60)), "{again}");
}

#[test]
fn a_shorter_run_leaves_out_the_rest_of_a_trace() {
    let trace = Trace::new((0..10).map(|at| (ms(100 * at), ms(1))));
    let scenario = Scenario::of(1, Server::fifo(1)).trace(trace);
    assert_eq!(by_turns(&scenario).ends.total(), 10);
    assert_eq!(by_turns(&scenario.lasting(ms(450))).ends.total(), 5);
}

use std::time::Duration;

use equipoise_sim::{Fault, Scenario, Server, Work};

use crate::common::{about, by_turns, ms, secs, tens};

/// Two servers that take turns; the first has the fault.
fn half(fault: Fault) -> Scenario {
    tens(2).fault(fault)
}

#[test]
fn a_sinkhole_answers_after_a_millisecond_with_errors() {
    let report = by_turns(&half(Fault::sinkhole(0)));
    let half = report.ends.total() / 2;
    assert!(report.ends.failed.abs_diff(half) <= 1 && report.ends.errors() == report.ends.failed);
    // Errors do not count as fast answers.
    assert_eq!(report.latency.count(), report.ends.answered);
    assert_eq!(report.utilisation, [0.0; 2]);
    // A retry comes one millisecond later.
    let again = by_turns(&self::half(Fault::sinkhole(0)).max_retries(1));
    assert_eq!(again.ends.errors(), 0);
    assert!(about(again.latency.max(), ms(11)) && about(again.latency.quantile(0.4), ms(10)), "{again}");
}

#[test]
fn a_slow_server_takes_longer_by_its_factor() {
    let report = by_turns(&half(Fault::slow(0, 3.0)));
    assert!(about(report.latency.quantile(0.49), ms(10)) && about(report.latency.quantile(0.51), ms(30)), "{report}");
}

#[test]
fn factors_of_two_slow_faults_multiply_and_each_ends_on_its_own() {
    let both = by_turns(&tens(1).fault(Fault::slow(0, 3.0)).fault(Fault::slow(0, 2.0).lasting(secs(5))));
    assert!(about(both.latency.quantile(0.4), ms(30)) && about(both.latency.quantile(0.6), ms(60)), "{both}");
}

#[test]
fn a_stalled_server_accepts_requests_and_makes_no_progress() {
    let report = by_turns(&tens(1).fault(Fault::stall(0).from(secs(4)).lasting(secs(1))));
    assert_eq!(report.ends.errors(), 0);
    // A request that had just started waits for the end of the stall.
    assert!(report.latency.max() > ms(960) && report.latency.max() <= ms(1_011), "{report}");
    // A tenth of the requests waited for the rest of the stall: half a second on average.
    let mean = report.latency.mean().as_secs_f64();
    assert!((mean - 0.06).abs() < 0.02, "{mean}");
}

#[test]
fn recurring_faults_recur() {
    let once = by_turns(&tens(1).fault(Fault::stall(0).lasting(ms(500))));
    let often = by_turns(&tens(1).fault(Fault::stall(0).lasting(ms(500)).every(secs(1))));
    assert!(once.latency.quantile(0.9) < ms(11), "{once}");
    assert!(often.latency.quantile(0.9) > ms(300) && often.latency.quantile(0.4) < ms(11), "{often}");
}

#[test]
fn a_refusing_server_breaks_off_its_requests() {
    let all = by_turns(&half(Fault::refuses(0)));
    assert!(all.ends.refused.abs_diff(all.ends.total() / 2) <= 1 && all.ends.broken == 0);

    let from_the_middle = by_turns(&half(Fault::refuses(0).from(secs(5))).work(Work::constant(secs(1))));
    // The requests of one second were in service there.
    assert!(from_the_middle.ends.broken.abs_diff(50) < 20, "{:?}", from_the_middle.ends);
    assert!(from_the_middle.ends.refused.abs_diff(250) < 50, "{:?}", from_the_middle.ends);
}

#[test]
fn a_black_hole_never_answers() {
    let scenario = half(Fault::blackhole(0).from(secs(5))).work(Work::constant(secs(1))).timeout(secs(2));
    for scenario in [scenario.clone(), scenario.without_cancelling()] {
        let report = by_turns(&scenario);
        assert!(report.ends.timed_out.abs_diff(300) < 60, "{:?}", report.ends);
        assert_eq!(report.ends.errors(), report.ends.timed_out);
        assert!(about(report.latency.max(), secs(2)), "{report}");
    }
}

#[test]
fn requests_in_a_black_hole_do_not_pile_up() {
    let scenario = half(Fault::blackhole(0)).timeout(ms(100)).without_cancelling().max_open_attempts(60);
    assert_eq!(by_turns(&scenario).ends.total(), by_turns(&tens(2)).ends.total());
}

#[test]
fn a_cold_start_is_three_times_the_work_and_wears_off_over_30_s() {
    let report = by_turns(&tens(1).fault(Fault::cold_start(0)).lasting(secs(60)));
    assert!(report.latency.max() > ms(29) && report.latency.max() <= ms(31), "{report}");
    assert!(about(report.latency.quantile(0.45), ms(10)), "{report}");
    // The factor has fallen to 2 at 15 s.
    assert!(report.latency.quantile(0.75).abs_diff(ms(20)) < ms(2), "{report}");
}

#[test]
fn a_removed_server_gets_no_new_requests_and_finishes_old_ones() {
    let away = Fault::removed(0).from(secs(4)).lasting(secs(2));
    let report = by_turns(&half(away).work(Work::constant(secs(1))));
    assert_eq!(report.ends.errors(), 0);
    let sent = |second: usize| report.series.samples[second].sent[0];
    assert!(sent(3) > 20 && sent(4) == 0 && sent(5) == 0 && sent(6) > 20);
    assert!(report.series.samples[4].in_flight[0] <= 3, "it has finished its requests");
}

#[test]
fn without_servers_requests_are_unserved() {
    let report = by_turns(&tens(1).fault(Fault::removed(0).from(secs(5))));
    assert!(
        report.ends.unserved.abs_diff(500) < 80 && report.ends.answered + report.ends.unserved == report.ends.total()
    );
}

#[test]
fn a_server_works_off_its_queue_in_order() {
    // Ten requests per burst, for two workers of 10 ms each.
    let scenario = Scenario::of(1, Server::fifo(2)).rate(1_000.0).work(Work::constant(ms(10)));
    let report = by_turns(&scenario.lasting(ms(100)).warm_up(0.0).sample_interval(ms(10)));
    assert!(report.utilisation[0] > 0.9 && report.utilisation[0] <= 1.0 + 1e-9, "{:?}", report.utilisation);
    assert!(report.latency.max() > Duration::from_millis(300), "a hundred arrive, and two end every 10 ms: {report}");
}

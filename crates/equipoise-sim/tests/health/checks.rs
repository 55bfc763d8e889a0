//! Effects of health checks.

use equipoise_core::Availability::{Unhealthy, Up};
use equipoise_sim::Fault;

use crate::common::{both, changes, checks, ms, requests, run, secs, tens};

/// Longest time to the first check that can fail, and on to the third.
const REFUSED: u64 = 2_000 + 2 * 500;
/// Each of the three checks times out.
const SILENT: u64 = 2_000 + 3 * 1_000;
/// Network delay, both directions.
const WAY: u64 = 5;

#[test]
fn a_refusing_server_is_unhealthy_within_an_interval_and_two_fast_ones() {
    let scenario = tens().fault(Fault::refuses(0).from(secs(10)).lasting(secs(20))).health(checks());
    for seed in 1..10 {
        let (report, health) = run(&scenario.clone().seed(seed), "p2c");
        let [(out, Unhealthy), (back, Up)] = changes(&health, 0)[..] else { panic!("{:?}", health.changes) };
        assert!(out > secs(11) && out <= ms(10_000 + REFUSED + WAY), "{out:?}");
        // While it is down it is checked every 2 s, and again soon after the first check that passes.
        assert!(back > secs(30) && back <= ms(30_000 + 2_000 + 500 + WAY), "{back:?}");
        assert_eq!(
            (health.sent_while_unhealthy[0], health.failed_while_unhealthy[0]),
            (0, 0),
            "the network delay is short"
        );
        assert_eq!(report.ends.errors(), report.ends.refused + report.ends.broken);
        assert_eq!(health.changes[0].reason, "checks: tcp: no connection: refused");
    }
}

#[test]
fn a_black_hole_is_unhealthy_after_three_timeouts() {
    let scenario = tens().fault(Fault::blackhole(0).from(secs(10))).health(checks()).lasting(secs(30));
    for seed in 1..10 {
        let (report, health) = run(&scenario.clone().seed(seed), "p2c");
        let [(out, Unhealthy)] = changes(&health, 0)[..] else { panic!("{:?}", health.changes) };
        assert!(out > secs(12) && out <= ms(10_000 + SILENT + WAY), "{out:?}");
        assert_eq!(health.sent_while_unhealthy[0], 0);
        assert!(health.failed_while_unhealthy[0] > 0, "requests in flight get no answer");
        assert_eq!(report.ends.errors(), report.ends.timed_out);
    }
}

#[test]
fn a_sinkhole_passes_checks_unless_it_is_honest() {
    let run = |fault: Fault, policy| run(&tens().fault(fault.from(secs(10))).health(policy).lasting(secs(35)), "p2c").1;
    assert_eq!(run(Fault::sinkhole(0), checks()).changes, []);
    assert_eq!(run(Fault::honest_sinkhole(0), checks()).times_to_unhealthy(0, secs(10)).len(), 1);
    // Requests eject it in either case.
    for fault in [Fault::sinkhole(0), Fault::honest_sinkhole(0)] {
        assert!(run(fault, both()).times_to_unhealthy(0, secs(10))[0] < ms(200));
    }
}

#[test]
fn a_slow_server_passes_if_it_answers_in_time() {
    let run = |factor| run(&tens().fault(Fault::slow(0, factor)).health(checks()).lasting(secs(10)), "p2c").1;
    assert_eq!(run(900.0).changes, []);
    assert_eq!(run(1_100.0).times_to_unhealthy(0, secs(0)).len(), 1);
}

#[test]
fn when_most_servers_fail_their_checks_all_are_used() {
    let mut scenario = tens().health(checks()).lasting(secs(40));
    for server in 0..6 {
        scenario = scenario.fault(Fault::stall(server).from(secs(10)).lasting(secs(10)));
    }
    let (report, health) = run(&scenario, "round-robin");
    assert_eq!(health.changes.iter().filter(|change| change.to == Unhealthy).count(), 6);
    // All stalled at the same time, so all are unhealthy by second 15 and up again some seconds after second 20.
    let fair = |second: usize| {
        let sent = &report.series.samples[second].sent;
        sent.iter().max().zip(sent.iter().min()).is_some_and(|(most, least)| most - least <= 1)
    };
    assert!((0..10).all(fair) && (15..20).all(fair) && (25..40).all(fair));
    assert!(health.sent_while_unhealthy[..6].iter().all(|&sent| sent > 5 * 110), "{:?}", health.sent_while_unhealthy);
    assert_eq!(report.ends.unserved, 0);
}

#[test]
fn removed_servers_are_forgotten_and_new_ones_are_checked() {
    let removed = Fault::removed(0).from(secs(20)).lasting(secs(10));
    let scenario = tens().fault(Fault::refuses(0).from(secs(10)).lasting(secs(25))).fault(removed).health(both());
    let (report, health) = run(&scenario, "p2c");
    let states: Vec<_> = changes(&health, 0).into_iter().map(|(_, to)| to).collect();
    // Requests eject it before checks do. It joins again as a new server and is ejected again. Later a probation
    // decides.
    assert!(
        states.starts_with(&[Unhealthy]) && states.iter().filter(|&&to| to == Unhealthy).count() >= 2,
        "{:?}",
        health.changes
    );
    assert!(health.times_to_unhealthy(0, secs(30))[0] < ms(300));
    assert_eq!(report.ends.unserved, 0);
}

#[test]
fn without_faults_no_server_changes() {
    for policy in [requests(), checks(), both()] {
        let (report, health) = run(&tens().health(policy), "p2c");
        assert_eq!(health.changes, []);
        assert_eq!(report.ends.errors(), 0);
        let without =
            tens().run(&"p2c".parse::<equipoise_core::StrategySpec>().expect("a strategy")).expect("a report");
        assert_eq!((report.latency, report.shares), (without.latency, without.shares), "it changes nothing");
    }
}

//! Effects of outlier detection.

use equipoise_core::Availability::{Probation, Unhealthy, Up};
use equipoise_sim::{Fault, Work};

use crate::common::{changes, ms, requests, run, secs, tens};

const STRATEGIES: [&str; 3] = ["round-robin", "p2c", "peak-ewma"];

#[test]
fn a_sinkhole_is_ejected_after_five_failures_and_those_in_flight() {
    // From the start, so that no earlier success interrupts the row. Shorter than an ejection, so without probation.
    let scenario = tens().fault(Fault::sinkhole(0)).health(requests()).lasting(secs(25));
    for strategy in STRATEGIES {
        let (report, health) = run(&scenario, strategy);
        assert_eq!(report.ends.errors(), report.ends.failed, "{strategy}");
        assert_eq!(report.ends.failed, 5 + health.failed_while_unhealthy[0], "{strategy}");
        assert_eq!(health.sent_while_unhealthy, [0; 10], "{strategy}");
        // A request takes about 1.3 ms, and about 120 to 240 per second go there.
        assert!(health.failed_while_unhealthy[0] <= 3, "{strategy}: {}", health.failed_while_unhealthy[0]);
        let [(at, Unhealthy)] = changes(&health, 0)[..] else { panic!("{strategy}: {:?}", health.changes) };
        // Peak-EWMA sends it very few requests after the first failure.
        assert!(at < if strategy == "peak-ewma" { secs(25) } else { ms(200) }, "{strategy}: {at:?}");
        assert_eq!(health.changes[0].reason, "requests: 5 failures in a row", "{strategy}");
    }
}

#[test]
fn each_client_ejects_on_its_own() {
    let scenario = tens().clients(3).fault(Fault::sinkhole(0)).health(requests()).lasting(secs(25));
    let (report, health) = run(&scenario, "p2c");
    assert_eq!(health.times_to_unhealthy(0, secs(0)).len(), 3);
    assert_eq!(report.ends.failed, 3 * 5 + health.failed_while_unhealthy[0]);
}

#[test]
fn a_recovered_server_gets_one_request_and_then_its_share() {
    let scenario =
        tens().fault(Fault::sinkhole(0).from(secs(10)).lasting(secs(20))).health(requests()).lasting(secs(90));
    for strategy in STRATEGIES {
        let (report, health) = run(&scenario.clone().sample_interval(ms(100)), strategy);
        let [(out, Unhealthy), (tried, Probation), (back, Up)] = changes(&health, 0)[..] else {
            panic!("{strategy}: {:?}", health.changes)
        };
        // An ejection of 30 s, plus jitter of up to a tenth.
        assert!(tried - out >= secs(30) && tried - out <= secs(33), "{strategy}: {:?}", tried - out);
        let sent = |from: usize, to: usize| -> u32 {
            report.series.samples[from..to].iter().map(|sample| sample.sent[0]).sum()
        };
        let tenth = |at: std::time::Duration| (at.as_millis() / 100) as usize;
        assert_eq!(sent(tenth(out) + 1, tenth(tried)), 0, "{strategy}");
        // A fair share is 120 requests per second; at most twice as much in any second.
        let most = (tenth(back)..890).map(|from| sent(from, from + 10)).max().expect("seconds");
        assert!((120..240).contains(&most), "{strategy}: {most}");
    }
}

#[test]
fn on_probation_a_server_gets_a_single_request() {
    // Answers take three samples of the series.
    let fault = Fault::sinkhole(0).from(secs(10)).lasting(secs(20));
    let slow = tens().work(Work::constant(ms(300))).rate(60.0).fault(fault).health(requests());
    let (report, health) = run(&slow.sample_interval(ms(100)), "round-robin");
    let [(_, Unhealthy), (tried, Probation), (back, Up)] = changes(&health, 0)[..] else {
        panic!("{:?}", health.changes)
    };
    let tenth = |at: std::time::Duration| (at.as_millis() / 100) as usize;
    // From the first to the last complete tenth of a second, while the other servers get many requests.
    let during = &report.series.samples[tenth(tried)..tenth(back)];
    assert!(during.len() >= 3 && during.iter().map(|sample| sample.sent[0]).sum::<u32>() == 1);
    assert!(during.iter().map(|sample| sample.sent[1]).sum::<u32>() >= 1);
}

#[test]
fn a_server_that_has_not_recovered_costs_one_request_per_probation() {
    let scenario = tens().fault(Fault::sinkhole(0).from(secs(10))).health(requests()).lasting(secs(100));
    let (report, health) = run(&scenario, "p2c");
    // Unhealthy for 30 s, then for 60 s.
    let [(_, Unhealthy), (_, Probation), (_, Unhealthy)] = changes(&health, 0)[..] else {
        panic!("{:?}", health.changes)
    };
    assert_eq!(report.ends.failed, 5 + health.failed_while_unhealthy[0] + 1);
}

#[test]
fn at_most_half_of_the_servers_are_ejected() {
    let mut scenario = tens().health(requests()).lasting(secs(30));
    for server in 0..7 {
        scenario = scenario.fault(Fault::sinkhole(server).from(secs(10)));
    }
    let (_, health) = run(&scenario, "round-robin");
    assert_eq!(health.changes.iter().filter(|change| change.to == Unhealthy).count(), 5);
}

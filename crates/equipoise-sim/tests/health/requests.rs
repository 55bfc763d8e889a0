//! What requests bring about.

use equipoise_sim::Fitness::{In, OnTrial, Out};
use equipoise_sim::{Fault, Work};

use crate::common::{changes, ms, requests, run, secs, tens};

const STRATEGIES: [&str; 3] = ["round-robin", "p2c", "peak-ewma"];

#[test]
fn a_sinkhole_is_out_after_five_failures_and_what_was_in_flight() {
    // From the start, so that no answer to what came before interrupts the row. Less than an ejection long: no trial.
    let scenario = tens().fault(Fault::sinkhole(0)).health(requests()).lasting(secs(25));
    for strategy in STRATEGIES {
        let (report, health) = run(&scenario, strategy);
        assert_eq!(report.ends.errors(), report.ends.failed, "{strategy}");
        assert_eq!(report.ends.failed, 5 + health.failed_while_out[0], "{strategy}");
        assert_eq!(health.sent_while_out, [0; 10], "{strategy}");
        // Each takes some 1.3 ms, and some 120 to 240 a second go there.
        assert!(health.failed_while_out[0] <= 3, "{strategy}: {}", health.failed_while_out[0]);
        let [(at, Out)] = changes(&health, 0)[..] else { panic!("{strategy}: {:?}", health.changes) };
        // Peak-EWMA has had enough after the first, and hardly sends it any others.
        assert!(at < if strategy == "peak-ewma" { secs(25) } else { ms(200) }, "{strategy}: {at:?}");
        assert_eq!(health.changes[0].reason, "requests: 5 failures in a row", "{strategy}");
    }
}

#[test]
fn each_client_finds_out_for_itself() {
    let scenario = tens().clients(3).fault(Fault::sinkhole(0)).health(requests()).lasting(secs(25));
    let (report, health) = run(&scenario, "p2c");
    assert_eq!(health.times_to_out(0, secs(0)).len(), 3);
    assert_eq!(report.ends.failed, 3 * 5 + health.failed_while_out[0]);
}

#[test]
fn one_who_recovers_is_tried_with_one_request_and_then_gets_its_share() {
    let scenario =
        tens().fault(Fault::sinkhole(0).from(secs(10)).lasting(secs(20))).health(requests()).lasting(secs(90));
    for strategy in STRATEGIES {
        let (report, health) = run(&scenario.clone().sample_every(ms(100)), strategy);
        let [(out, Out), (tried, OnTrial), (back, In)] = changes(&health, 0)[..] else {
            panic!("{strategy}: {:?}", health.changes)
        };
        // An ejection of 30 s, longer by up to a tenth.
        assert!(tried - out >= secs(30) && tried - out <= secs(33), "{strategy}: {:?}", tried - out);
        let sent = |from: usize, to: usize| -> u32 {
            report.series.samples[from..to].iter().map(|sample| sample.sent[0]).sum()
        };
        let tenth = |at: std::time::Duration| (at.as_millis() / 100) as usize;
        assert_eq!(sent(tenth(out) + 1, tenth(tried)), 0, "{strategy}");
        // A fair share is 120 a second. No stampede: at most twice as much in any second.
        let most = (tenth(back)..890).map(|from| sent(from, from + 10)).max().expect("seconds");
        assert!((120..240).contains(&most), "{strategy}: {most}");
    }
}

#[test]
fn while_one_is_on_trial_nobody_else_gets_there() {
    // Answers take three samples of the series.
    let fault = Fault::sinkhole(0).from(secs(10)).lasting(secs(20));
    let slow = tens().work(Work::constant(ms(300))).rate(60.0).fault(fault).health(requests());
    let (report, health) = run(&slow.sample_every(ms(100)), "round-robin");
    let [(_, Out), (tried, OnTrial), (back, In)] = changes(&health, 0)[..] else { panic!("{:?}", health.changes) };
    let tenth = |at: std::time::Duration| (at.as_millis() / 100) as usize;
    // From the first whole tenth on to the last, in which many requests come to the others.
    let during = &report.series.samples[tenth(tried)..tenth(back)];
    assert!(during.len() >= 3 && during.iter().map(|sample| sample.sent[0]).sum::<u32>() == 1);
    assert!(during.iter().map(|sample| sample.sent[1]).sum::<u32>() >= 1);
}

#[test]
fn one_who_has_not_recovered_costs_one_request_a_trial() {
    let scenario = tens().fault(Fault::sinkhole(0).from(secs(10))).health(requests()).lasting(secs(100));
    let (report, health) = run(&scenario, "p2c");
    // Out for 30 s, then for 60 s.
    let [(_, Out), (_, OnTrial), (_, Out)] = changes(&health, 0)[..] else { panic!("{:?}", health.changes) };
    assert_eq!(report.ends.failed, 5 + health.failed_while_out[0] + 1);
}

#[test]
fn half_of_all_may_be_out_and_no_more() {
    let mut scenario = tens().health(requests()).lasting(secs(30));
    for server in 0..7 {
        scenario = scenario.fault(Fault::sinkhole(server).from(secs(10)));
    }
    let (_, health) = run(&scenario, "round-robin");
    assert_eq!(health.changes.iter().filter(|change| change.to == Out).count(), 5);
}

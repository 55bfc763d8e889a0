//! Settings that cannot be: each is refused by name, before anything is checked, and what is accepted never panics.

use std::time::Duration;

use equipoise_core::Timestamp;
use equipoise_health::{
    Action, CheckPolicy, Event, FailurePercentage, InvalidHealth, LatencyOutlier, Machine, Outliers, Policy, Schedule,
    Signal, SuccessRate, Trip,
};

fn check(schedule: Schedule) -> Policy {
    Policy { checks: vec![CheckPolicy::new("check", schedule)], ..Policy::new() }
}

fn outliers(outliers: Outliers) -> Policy {
    Policy { outliers: Some(outliers), ..Policy::new() }
}

fn refused(policy: Policy) -> InvalidHealth {
    match Machine::new(policy.clone(), 1) {
        Ok(_) => panic!("it was accepted: {policy:?}"),
        Err(error) => error,
    }
}

#[test]
fn impossible_schedules_are_refused_by_name() {
    let (zero, new) = (Duration::ZERO, Schedule::new());
    for (setting, schedule) in [
        ("interval", new.interval(zero)),
        ("interval", new.interval(Duration::MAX)),
        ("fast", new.fast(zero)),
        ("down", new.down(zero)),
        ("timeout", new.timeout(zero)),
        ("timeout", new.timeout(Duration::MAX)),
        ("rise", new.rise(0)),
        ("fall", new.fall(0)),
        ("port", new.port(0)),
        ("jitter", new.jitter(-0.1)),
        ("jitter", new.jitter(0.6)),
        ("jitter", new.jitter(f64::NAN)),
    ] {
        assert_eq!(refused(check(schedule)).setting, setting, "{schedule:?}");
    }
    assert_eq!(refused(Policy { most_probes: 0, ..Policy::new() }).setting, "most_probes");
    let error = refused(check(new.interval(zero)));
    assert_eq!(error.to_string(), r#"check "check": interval cannot be 0ns: use from 1 ms to 365 days"#);
    assert_eq!(error.check.as_deref(), Some("check"));
    let error = new.interval(zero).check().unwrap_err();
    assert_eq!(error.to_string(), "interval cannot be 0ns: use from 1 ms to 365 days");
}

#[test]
fn impossible_outlier_rules_are_refused_by_name() {
    let (zero, second, new) = (Duration::ZERO, Duration::from_secs(1), Outliers::new());
    let rate = |deviations| SuccessRate { deviations, hosts: 0, volume: 0 };
    let percentage = |percent| FailurePercentage { percent, hosts: 0, volume: 0 };
    let latency = |factor| LatencyOutlier { factor, hosts: 0, volume: 0 };
    for (setting, outliers_) in [
        ("consecutive_failures", new.consecutive_failures(0)),
        ("consecutive_gateway", new.consecutive_gateway(0)),
        ("consecutive_connection", new.consecutive_connection(0)),
        ("abandoned", new.abandoned(Some(0.9))),
        ("abandoned", new.abandoned(Some(f64::NAN))),
        ("abandoned", new.abandoned(Some(f64::INFINITY))),
        ("failures_within", new.failures_within(0, second)),
        ("failures_within", new.failures_within(1, zero)),
        ("failures_within", new.failures_within(1, Duration::MAX)),
        ("interval", new.interval(zero)),
        ("interval", new.interval(Duration::MAX)),
        ("ejection", new.ejection(zero, second)),
        ("ejection", new.ejection(second, zero)),
        ("ejection", new.ejection(2 * second, second)),
        ("ejection", new.ejection(second, Duration::MAX)),
        ("jitter", new.jitter(1.1)),
        ("jitter", new.jitter(f64::NAN)),
        ("most_percent", new.most_percent(101)),
        ("success_rate", new.success_rate(rate(0.0))),
        ("success_rate", new.success_rate(rate(f64::INFINITY))),
        ("failure_percentage", new.failure_percentage(percentage(0))),
        ("failure_percentage", new.failure_percentage(percentage(101))),
        ("latency", new.latency(latency(1.0))),
        ("latency", new.latency(latency(f64::NAN))),
    ] {
        assert_eq!(refused(outliers(outliers_)).setting, setting, "{outliers_:?}");
    }
}

#[test]
fn the_longest_times_that_are_accepted_are_gone_by() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let rules = Outliers::new()
        .consecutive_failures(1)
        .ejection(year, year)
        .jitter(1.0)
        .interval(year)
        .longest_pause(Some(Duration::MAX));
    let schedule = Schedule::new().interval(year).timeout(year).jitter(0.5);
    let policy = Policy { outliers: Some(rules), ..check(schedule) };
    let mut machine = Machine::new(policy, 1).expect("these are accepted");
    let mut now = Timestamp::from_nanos(1);
    let id = || equipoise_core::EndpointId::from("a:1");
    let other = || equipoise_core::EndpointId::from("b:1");
    machine.handle(now, Event::Joined(id()));
    machine.handle(now, Event::Joined(other()));
    let endless = equipoise_health::Order::Drain { deadline: Some(Duration::MAX) };
    for event in [
        Event::Signalled { id: id(), signal: Signal::Pause(Duration::MAX) },
        Event::Signalled { id: other(), signal: Signal::Tripped(Trip::Failures(1)) },
        Event::Ordered { id: id(), order: endless },
    ] {
        machine.handle(now, event);
        while machine.poll_action().is_some() {}
    }
    for _ in 0..100 {
        let Some(next) = machine.poll_timeout() else { return };
        now = next;
        machine.handle_timeout(now);
        while let Some(action) = machine.poll_action() {
            if action == Action::Count {
                machine.handle(now, Event::Counted(Vec::new()));
            }
        }
        if now == Timestamp::from_nanos(u64::MAX) {
            return;
        }
    }
}

//! Invalid settings are refused by name when the machine is built, and accepted ones never panic.

use std::time::Duration;

use equipoise_core::Timestamp;
use equipoise_health::{
    CheckPolicy, FailurePercentage, HealthPolicy, InvalidHealth, LatencyOutlier, Outliers, Schedule, SuccessRate,
    machine::{Action, Event, FailureLimit, Machine, Signal},
};

fn check(schedule: Schedule) -> HealthPolicy {
    HealthPolicy::new().check(CheckPolicy::new("check", schedule))
}

fn outliers(outliers: Outliers) -> HealthPolicy {
    HealthPolicy::new().outliers(outliers)
}

fn refused(policy: HealthPolicy) -> InvalidHealth {
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
        ("fast_interval", new.fast_interval(zero)),
        ("down_interval", new.down_interval(zero)),
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
    assert_eq!(refused(HealthPolicy::new().max_concurrent_probes(0)).setting, "max_concurrent_probes");
    let error = refused(check(new.interval(zero)));
    assert_eq!(error.to_string(), r#"check "check": interval cannot be 0ns: use from 1 ms to 365 days"#);
    assert_eq!(error.check.as_deref(), Some("check"));
    let error = new.interval(zero).validate().unwrap_err();
    assert_eq!(error.to_string(), "interval cannot be 0ns: use from 1 ms to 365 days");
}

#[test]
fn impossible_outlier_rules_are_refused_by_name() {
    let (zero, second, new) = (Duration::ZERO, Duration::from_secs(1), Outliers::new());
    let rate = |deviations| SuccessRate::new(deviations).min_hosts(0).min_requests(0);
    let percentage = |percent| FailurePercentage::new(percent).min_hosts(0).min_requests(0);
    let latency = |factor| LatencyOutlier::new(factor).min_hosts(0).min_requests(0);
    for (setting, outliers_) in [
        ("consecutive_failures", new.consecutive_failures(0)),
        ("consecutive_gateway_failures", new.consecutive_gateway_failures(0)),
        ("consecutive_connection_failures", new.consecutive_connection_failures(0)),
        ("abandon_factor", new.abandon_factor(Some(0.9))),
        ("abandon_factor", new.abandon_factor(Some(f64::NAN))),
        ("abandon_factor", new.abandon_factor(Some(f64::INFINITY))),
        ("failures_within", new.failures_within(0, second)),
        ("failures_within", new.failures_within(1, zero)),
        ("failures_within", new.failures_within(1, Duration::MAX)),
        ("interval", new.interval(zero)),
        ("interval", new.interval(Duration::MAX)),
        ("base_ejection", new.base_ejection(zero).max_ejection(second)),
        ("max_ejection", new.base_ejection(second).max_ejection(zero)),
        ("max_ejection", new.base_ejection(2 * second).max_ejection(second)),
        ("max_ejection", new.base_ejection(second).max_ejection(Duration::MAX)),
        ("jitter", new.jitter(1.1)),
        ("jitter", new.jitter(f64::NAN)),
        ("max_ejection_percent", new.max_ejection_percent(101)),
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
        .base_ejection(year)
        .max_ejection(year)
        .jitter(1.0)
        .interval(year)
        .max_retry_after(Some(Duration::MAX));
    let schedule = Schedule::new().interval(year).timeout(year).jitter(0.5);
    let policy = check(schedule).outliers(rules);
    let mut machine = Machine::new(policy, 1).expect("these are accepted");
    let mut now = Timestamp::from_nanos(1);
    let id = || equipoise_core::EndpointId::from("a:1");
    let other = || equipoise_core::EndpointId::from("b:1");
    machine.handle(now, Event::Joined(id()));
    machine.handle(now, Event::Joined(other()));
    let endless = equipoise_health::AdminState::Drain { deadline: Some(Duration::MAX) };
    for event in [
        Event::Signalled { id: id(), signal: Signal::RetryAfter(Duration::MAX) },
        Event::Signalled { id: other(), signal: Signal::FailureLimitReached(FailureLimit::Consecutive(1)) },
        Event::AdminStateSet { id: id(), state: endless },
    ] {
        machine.handle(now, event);
        while machine.poll_action().is_some() {}
    }
    for _ in 0..100 {
        let Some(next) = machine.poll_timeout() else { return };
        now = next;
        machine.handle_timeout(now);
        while let Some(action) = machine.poll_action() {
            if action == Action::CollectCounts {
                machine.handle(now, Event::Counted(Vec::new()));
            }
        }
        if now == Timestamp::from_nanos(u64::MAX) {
            return;
        }
    }
}

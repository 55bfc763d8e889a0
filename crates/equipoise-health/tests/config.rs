//! Settings in configuration files, and status as data.
#![cfg(feature = "serde")]

use std::time::Duration;

use equipoise_core::{EndpointId, Timestamp};
use equipoise_health::{
    AdminState, CheckPolicy, EjectionGrowth, FailurePercentage, HealthPolicy, InitialState, LatencyOutlier,
    OnFailureLimit, Outliers, Schedule, SuccessRate,
    machine::{Event, Machine},
    probe::OnTimeout,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn refused<T: DeserializeOwned + std::fmt::Debug>(value: Value) -> String {
    serde_json::from_value::<T>(value).expect_err("it is wrong").to_string()
}

fn keeps<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("it can be written");
    assert_eq!(serde_json::from_str::<T>(&text).expect("it can be read"), *value, "{text}");
}

fn every_rule() -> Outliers {
    Outliers::new()
        .consecutive_failures(1)
        .consecutive_gateway_failures(2)
        .consecutive_connection_failures(3)
        .failures_within(4, Duration::from_millis(1500))
        .success_rate(SuccessRate::new(1.5).min_hosts(2).min_requests(3))
        .failure_percentage(FailurePercentage::new(50).min_hosts(2).min_requests(3))
        .latency(LatencyOutlier::new(2.5).min_hosts(2).min_requests(3))
        .on_failure_limit(OnFailureLimit::SuddenDeath)
        .interval(Duration::from_secs(7))
        .base_ejection(Duration::from_secs(8))
        .max_ejection(Duration::from_secs(9))
        .growth(EjectionGrowth::Doubling)
        .jitter(0.25)
        .max_ejection_percent(33)
        .max_retry_after(Some(Duration::from_secs(11)))
}

#[test]
fn outlier_rules_are_presets_by_name_or_tables_over_them() {
    assert_eq!(read::<Outliers>(json!("linkerd")), Outliers::linkerd());
    assert_eq!(read::<Outliers>(json!({})), Outliers::new());
    assert_eq!(read::<Outliers>(json!({ "preset": "grpc" })), Outliers::grpc());
    let changed =
        json!({ "preset": "nginx", "failures_within": "off", "consecutive_failures": 3, "growth": "doubling" });
    let ten = Duration::from_secs(10);
    let same = Outliers::new()
        .consecutive_failures(3)
        .base_ejection(ten)
        .max_ejection(ten)
        .jitter(0.0)
        .max_ejection_percent(100);
    assert_eq!(read::<Outliers>(changed), same.growth(EjectionGrowth::Doubling).max_retry_after(None));
    assert_eq!(
        read::<Outliers>(json!({
            "consecutive_failures": 1, "consecutive_gateway_failures": 2, "consecutive_connection_failures": 3,
            "failures_within": { "failures": 4, "time": "1.5s" },
            "success_rate": { "deviations": 1.5, "min_hosts": 2, "min_requests": 3 },
            "failure_percentage": { "percent": 50, "min_hosts": 2, "min_requests": 3 },
            "latency": { "factor": 2.5, "min_hosts": 2, "min_requests": 3 },
            "on_failure_limit": "sudden-death", "interval": "7s", "base_ejection": "8s", "max_ejection": "9s",
            "growth": "doubling", "jitter": 0.25, "max_ejection_percent": 33, "max_retry_after": "11s",
        })),
        every_rule()
    );
}

#[test]
fn schedules_and_policies_are_tables() {
    assert_eq!(read::<Schedule>(json!("haproxy")), Schedule::haproxy());
    let all = json!({
        "interval": "4s", "fast_interval": "500ms", "down_interval": "1m", "timeout": "3s", "rise": 4, "fall": 5, "jitter": 0.5,
        "initial_state": "must-pass", "port": 8080,
    });
    let second = Duration::from_secs(1);
    let same =
        Schedule::new().interval(4 * second).fast_interval(second / 2).down_interval(60 * second).timeout(3 * second);
    assert_eq!(
        read::<Schedule>(all),
        same.rise(4).fall(5).jitter(0.5).initial_state(InitialState::MustPass).port(8080)
    );
    let slower = json!({ "preset": "haproxy", "interval": "20s" });
    assert_eq!(read::<Schedule>(slower), Schedule::haproxy().interval(20 * second));
    assert_eq!(read::<HealthPolicy>(json!({})), HealthPolicy::new());
    let policy = json!({
        "checks": [{ "name": "tcp" }, { "name": "agent", "schedule": "haproxy", "on_timeout": "ignore" }],
        "outliers": "envoy", "max_concurrent_probes": 7,
    });
    let agent = CheckPolicy::new("agent", Schedule::haproxy()).on_timeout(OnTimeout::Ignore);
    let checks = vec![CheckPolicy::new("tcp", Schedule::new()), agent];
    assert_eq!(
        read::<HealthPolicy>(policy),
        checks
            .into_iter()
            .fold(HealthPolicy::new(), HealthPolicy::check)
            .outliers(Outliers::envoy())
            .max_concurrent_probes(7)
    );
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    let endless = every_rule().max_retry_after(Some(Duration::from_nanos(u64::MAX)));
    for outliers in [Outliers::new(), Outliers::envoy(), Outliers::linkerd(), every_rule(), endless] {
        keeps(&outliers);
    }
    let schedules =
        [Schedule::new(), Schedule::haproxy(), Schedule::new().down_interval(Duration::from_secs(9)).port(1)];
    schedules.iter().for_each(keeps);
    let checks = schedules.map(|schedule| CheckPolicy::new("check", schedule));
    keeps(
        &checks
            .into_iter()
            .fold(HealthPolicy::new(), HealthPolicy::check)
            .outliers(every_rule())
            .max_concurrent_probes(1),
    );
    keeps(&HealthPolicy::new());
    serde_json::to_string(&Outliers::new().max_retry_after(Some(Duration::MAX))).expect("it can be written");
}

#[test]
fn what_is_wrong_is_refused_and_said_what_would_be_right() {
    for (value, said) in [
        (
            json!("envoi"),
            r#"there is no preset "envoi" for outlier detection: there are envoy, grpc, linkerd and nginx"#,
        ),
        (json!({ "preset": "envoi" }), "there are envoy, grpc, linkerd and nginx"),
        (json!({ "consecutive": 5 }), "unknown field `consecutive`, expected one of `preset`, `consecutive_failures`"),
        (json!({ "success_rate": { "deviation": 1.9 } }), "unknown field `deviation`"),
        (json!({ "interval": 10 }), r#"expected a time with its unit, such as "10s" or "250ms""#),
        (json!({ "interval": "10" }), r#"invalid value: string "10", expected a time with its unit"#),
        (json!({ "interval": "0s" }), "interval cannot be 0ns"),
        (json!({ "consecutive_failures": "on" }), r#"invalid type: string "on", expected u32"#),
        (json!({ "consecutive_failures": -1 }), "expected u32"),
        (json!({ "consecutive_failures": 0 }), "consecutive_failures cannot be 0: it takes at least one failure"),
        (json!({ "jitter": 1.5 }), "jitter cannot be 1.5"),
        (json!({ "on_failure_limit": "explode" }), "unknown variant `explode`"),
        (json!(5), r#"expected the name of a preset, such as "envoy", or a table of outlier detection"#),
    ] {
        let error = refused::<Outliers>(value.clone());
        assert!(error.contains(said), "{value}: {error}");
    }
    for (value, said) in [
        (json!("nginx"), r#"there is no preset "nginx" for schedules: there is haproxy"#),
        (json!({ "intervall": "1s" }), "unknown field `intervall`"),
        (json!({ "rise": 0 }), "rise cannot be 0"),
    ] {
        let error = refused::<Schedule>(value.clone());
        assert!(error.contains(said), "{value}: {error}");
    }
    for (value, said) in [
        (json!({ "checks": [{ "name": "tcp", "schedule": { "rise": 0 } }] }), r#"check "tcp": rise cannot be 0"#),
        (json!({ "checks": [{ "schedule": {} }] }), "missing field `name`"),
        (json!({ "checks": [{ "name": "tcp", "probe": {} }] }), "unknown field `probe`"),
        (json!({ "max_concurrent_probes": 0 }), "max_concurrent_probes cannot be 0"),
        (json!({ "outlier": "envoy" }), "unknown field `outlier`"),
    ] {
        let error = refused::<HealthPolicy>(value.clone());
        assert!(error.contains(said), "{value}: {error}");
    }
}

#[test]
fn statuses_and_changes_can_be_serialized() {
    let mut machine =
        Machine::new(HealthPolicy::new().check(CheckPolicy::new("tcp", Schedule::new())), 1).expect("a valid policy");
    let (now, id) = (Timestamp::from_nanos(5), EndpointId::from("a:80"));
    machine.handle(now, Event::Joined(id.clone()));
    machine.handle(now, Event::AdminStateSet { id: id.clone(), state: AdminState::Drain { deadline: None } });
    let status = serde_json::to_value(machine.status(&id).expect("it has joined")).expect("data");
    assert_eq!(
        status,
        json!({
            "id": "a:80", "availability": "draining",
            "conditions": [{ "source": "operator", "availability": "draining", "reason": "drain", "since": 5 }],
            "checks": [{ "name": "tcp", "up": true, "since": 5, "last_error": null }],
        })
    );
    let change = std::iter::from_fn(|| machine.poll_action()).find_map(|action| match action {
        equipoise_health::machine::Action::Notify(change) => Some(serde_json::to_value(change).expect("data")),
        _ => None,
    });
    let expected = json!({
        "id": "a:80", "from": "up", "to": "draining", "source": "operator", "reason": "drain", "at": 5,
    });
    assert_eq!(change, Some(expected));
}

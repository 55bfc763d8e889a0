//! No memory is kept of endpoints that have left.
#![cfg(not(miri))]

use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool, Verdict};
use equipoise_health::{
    AdminState, HealthPolicy, Outliers, ResultCollector,
    machine::{Event, Machine},
};
use std::time::Duration;

use equipoise_core::{EndpointId, Failure, Timestamp};

/// The bytes that remain allocated after `times` rounds.
fn left(times: usize, mut round: impl FnMut(usize)) -> i64 {
    allocation_counter::measure(|| (0..times).for_each(&mut round)).bytes_current
}

#[test]
fn a_collector_keeps_nothing_of_endpoints_that_have_left_under_any_rule() {
    let new = Outliers::new();
    for rules in [
        new.consecutive_failures(5),
        new.failures_within(1, Duration::from_secs(10)),
        Outliers::linkerd(),
        Outliers::nginx(1, Duration::from_secs(10)),
        Outliers::envoy(),
        Outliers::grpc(),
    ] {
        let collector = ResultCollector::new(rules);
        let pool: Pool<()> = Pool::new(collector.watch(P2c::new()));
        let replace = |round: usize| {
            let id = format!("e{round:08}");
            pool.update([EndpointSpec::new(&*id)], |_| ()).expect("a valid endpoint");
            // The last signal of an endpoint is never taken.
            pool.pick(&PickRequest::new()).expect("an endpoint").finish(Verdict::Failure(Failure::Server));
        };
        // A first round, for what is allocated only once.
        (0..1000).for_each(replace);
        assert!(left(1000, replace) < 2000, "{rules:?}: {} bytes an endpoint", left(1000, replace) / 1000);
        let replace_under_one_id = |round: usize| {
            let spec = EndpointSpec::new(format!("e{round:08}")).with_id("one");
            pool.update([spec], |_| ()).expect("a valid endpoint");
        };
        assert!(left(1000, replace_under_one_id) < 2000, "{rules:?}");
    }
}

#[test]
fn states_of_endpoints_that_never_join_are_dropped_oldest_first() {
    let mut machine = Machine::new(HealthPolicy::new(), 1).expect("a valid policy");
    let now = Timestamp::from_nanos(1);
    let mut order = |number: usize| {
        let id = EndpointId::from(format!("e{number:08}"));
        machine.handle(now, Event::AdminStateSet { id, state: AdminState::Maintenance });
    };
    (0..10_000).for_each(&mut order);
    assert!(left(10_000, |round| order(round + 10_000)) < 100_000);
    let mut in_maintenance = |number: usize| {
        let id = EndpointId::from(format!("e{number:08}"));
        machine.handle(now, Event::Joined(id.clone()));
        !machine.status(&id).expect("it has joined").conditions.is_empty()
    };
    assert!(in_maintenance(19_999) && in_maintenance(19_999 - 1_000), "the last thousand are kept");
    assert!(!in_maintenance(0), "the first are not");
}

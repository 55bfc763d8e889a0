//! What the machine counts.

use std::time::Duration;

use equipoise_core::Availability;
use equipoise_health::{
    AdminState, CheckPolicy, HealthPolicy, HealthStats, Outliers, Schedule, Source,
    machine::{Event, FailureLimit, ProbeId, Signal},
    probe::{ProbeError, ProbeOutcome},
};

use crate::world::{World, checks, failed, id, seconds};

fn schedule() -> Schedule {
    Schedule::new().jitter(0.0)
}

/// Passed, failed and inconclusive probes by the name of the check.
fn probes(stats: &HealthStats) -> Vec<(&str, u64, u64, u64)> {
    stats.probes.iter().map(|probes| (&*probes.check, probes.passed, probes.failed, probes.inconclusive)).collect()
}

fn changes(stats: &HealthStats) -> Vec<(Source, Availability, u64)> {
    stats.changes.iter().map(|change| (change.source, change.to, change.count)).collect()
}

/// Waits until a probe runs, and takes it.
fn next_probe(world: &mut World) -> ProbeId {
    while world.probes.is_empty() {
        world.pass(seconds(0.1), |_, _| None);
    }
    world.probes.pop_first().expect("one is running").0
}

#[test]
fn probes_are_counted_by_result_and_cancelled_ones_are_not() {
    let mut world = World::new(checks(schedule().fall(9)), 1);
    let forbidden = Err(ProbeError::Forbidden("no raw sockets".into()));
    for result in [Ok(ProbeOutcome::Passed), failed(), failed(), forbidden] {
        let probe = next_probe(&mut world);
        world.tell(Event::Probed { probe, result: result.clone() });
        // A second result of the same probe says nothing.
        world.tell(Event::Probed { probe, result });
    }
    assert_eq!(probes(world.machine.stats()), [("http", 1, 2, 1)]);
    next_probe(&mut world);
    world.tell(Event::Left(id(0)));
    assert_eq!(probes(world.machine.stats()), [("http", 1, 2, 1)], "the last probe was cancelled");
}

#[test]
fn a_probe_without_an_answer_in_time_has_failed() {
    let mut world = World::new(checks(schedule().interval(seconds(2.0)).timeout(seconds(1.0))), 1);
    world.pass(seconds(4.5), |_, _| None);
    let stats = world.machine.stats();
    assert_eq!(probes(stats), [("http", 0, 2, 0)]);
}

#[test]
fn changes_are_counted_by_source_and_new_availability() {
    let mut world = World::new(checks(schedule()), 2);
    for _ in 0..2 {
        world.order(0, AdminState::Maintenance);
        world.order(0, AdminState::Ready);
    }
    world.order(1, AdminState::Drain { deadline: None });
    world.tell(Event::Left(id(1)));
    assert_eq!(
        changes(world.machine.stats()),
        [
            (Source::Operator, Availability::Maintenance, 2),
            (Source::Operator, Availability::Up, 2),
            (Source::Operator, Availability::Draining, 1),
        ]
    );
    let counted: u64 = world.machine.stats().changes.iter().map(|change| change.count).sum();
    assert_eq!(counted, world.changes.len() as u64);
}

#[test]
fn ejections_pauses_and_prevented_ejections_are_counted() {
    let outliers = Outliers::envoy().max_ejection_percent(50).max_retry_after(Some(seconds(60.0)));
    let mut world = World::new(HealthPolicy::new().outliers(outliers), 4);
    world.signal(0, Signal::FailureLimitReached(FailureLimit::Consecutive(5)));
    world.signal(1, Signal::RetryAfter(Duration::from_secs(5)));
    let count = |world: &World| {
        let stats = world.machine.stats();
        (stats.ejections, stats.pauses, stats.prevented)
    };
    assert_eq!(count(&world), (1, 1, 0));
    world.signal(2, Signal::FailureLimitReached(FailureLimit::Consecutive(5)));
    assert_eq!(count(&world), (1, 1, 1), "two of four endpoints are out");
}

#[test]
fn numbers_of_a_check_go_on_when_it_is_replaced_by_one_of_the_same_name() {
    let mut world = World::new(checks(schedule()), 1);
    world.pass(seconds(60.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    world.order(0, AdminState::Maintenance);
    let before = world.machine.stats().clone();
    let passed = before.probes[0].passed;
    assert!(passed > 0);

    let new = ["tcp", "http", "tcp"].map(|name| CheckPolicy::new(name, schedule()));
    world.machine.replace_checks(world.now, new.into()).expect("valid settings");
    assert_eq!(probes(world.machine.stats()), [("tcp", 0, 0, 0), ("http", passed, 0, 0)]);
    assert_eq!(world.machine.stats().changes, before.changes);

    world.machine.replace_checks(world.now, Vec::new()).expect("valid settings");
    assert_eq!(probes(world.machine.stats()), []);
}

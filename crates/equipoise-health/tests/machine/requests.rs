//! Outlier detection: ejections, probation and pauses.

use std::time::Duration;

use equipoise_core::Availability;
use equipoise_health::{
    AdminState, FailurePercentage, HealthPolicy, LatencyOutlier, OnFailureLimit, Outliers, Schedule, Source,
    SuccessRate,
    machine::{Action, Event, FailureLimit, IntervalCounts, Signal},
    probe::ProbeOutcome,
};
use serde::Deserialize;

use crate::world::{World, checks, failed, id, seconds};

fn world(outliers: Outliers, endpoints: usize) -> World {
    World::new(HealthPolicy::new().outliers(outliers), endpoints)
}

fn plain() -> Outliers {
    Outliers::envoy().jitter(0.0).max_ejection_percent(100)
}

fn trip(world: &mut World, at: usize) {
    world.signal(at, Signal::FailureLimitReached(FailureLimit::Consecutive(5)));
}

fn wait(world: &mut World, time: f64) {
    world.pass(seconds(time), |_, _| None);
}

#[test]
fn an_ejected_endpoint_comes_back_through_one_request() {
    let mut world = world(plain(), 3);
    trip(&mut world, 0);
    assert_eq!(world.of(0), Availability::Unhealthy);
    wait(&mut world, 29.9);
    assert_eq!(world.of(0), Availability::Unhealthy);
    wait(&mut world, 0.2);
    assert_eq!(world.of(0), Availability::Probation);
    world.signal(0, Signal::ProbationPassed);
    assert_eq!(world.of(0), Availability::Up);
}

#[test]
fn each_ejection_that_follows_another_is_longer_up_to_the_longest() {
    let mut world = world(plain(), 3);
    trip(&mut world, 0);
    for times in 1..15u32 {
        let due = f64::from((30 * times).min(300));
        wait(&mut world, due - 0.1);
        assert_eq!(world.of(0), Availability::Unhealthy, "the {times}th lasts {due} s");
        wait(&mut world, 0.2);
        assert_eq!(world.of(0), Availability::Probation);
        world.signal(0, Signal::ProbationFailed);
    }
}

#[test]
fn doubling_is_linkerd_s() {
    let mut world = world(Outliers::linkerd().jitter(0.0), 3);
    trip(&mut world, 0);
    for time in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
        wait(&mut world, time - 0.1);
        assert_eq!(world.of(0), Availability::Unhealthy, "lasts {time} s");
        wait(&mut world, 0.1 + 1e-6);
        assert_eq!(world.of(0), Availability::Probation);
        world.signal(0, Signal::ProbationFailed);
    }
}

#[test]
fn good_windows_make_ejections_short_again() {
    let mut world = world(plain(), 3);
    trip(&mut world, 0);
    wait(&mut world, 30.1);
    world.signal(0, Signal::ProbationPassed);
    wait(&mut world, 11.0);
    trip(&mut world, 0);
    wait(&mut world, 30.1);
    assert_eq!(world.of(0), Availability::Probation, "the first was forgiven");
}

/// Advances the time until e0 is on probation, with these counts in each interval. Returns the seconds that it took.
fn until_probation(world: &mut World, of: &[IntervalCounts]) -> f64 {
    let begun = world.now;
    for _ in 0..10_000 {
        world.step(begun + seconds(1000.0));
        if world.others.drain(..).any(|action| action == Action::CollectCounts) {
            let counts = of.iter().enumerate().map(|(at, counts)| (id(at), *counts)).collect();
            world.tell(Event::Counted(counts));
        }
        if world.of(0) == Availability::Probation {
            return world.now.since(begun).as_secs_f64();
        }
    }
    panic!("e0 is {}", world.of(0));
}

#[test]
fn ejections_by_each_rule_grow_while_all_intervals_are_bad_even_if_probation_passes() {
    let good = IntervalCounts::new(100, 0).with_latency(100, Duration::from_secs(1));
    let failing = IntervalCounts::new(8, 92).with_latency(100, Duration::from_secs(1));
    let slow = good.with_latency(100, Duration::from_secs(100));
    let latency = LatencyOutlier::new(3.0).min_hosts(5).min_requests(100);
    let percentage = FailurePercentage::new(85).min_hosts(5).min_requests(50);
    let rate = SuccessRate::new(1.9);
    for (rules, bad) in [
        (Outliers::grpc(), failing),
        (Outliers::envoy(), failing),
        (Outliers::new().success_rate(rate), failing),
        (Outliers::new().failure_percentage(percentage), failing),
        (Outliers::new().latency(latency), slow),
    ] {
        let mut world = world(rules.jitter(0.0), 10);
        let mut of = [good; 10];
        of[0] = bad;
        for times in 1..=12u32 {
            let changes = world.changes.len();
            until_probation(&mut world, &of);
            let ejected = world.changes[changes..].iter().find(|change| change.to == Availability::Unhealthy);
            let time = world.now.since(ejected.expect("it was ejected").at).as_secs_f64();
            assert_eq!(time, f64::from((30 * times).min(300)), "the {times}th by {rules:?}");
            world.signal(0, Signal::ProbationPassed);
        }
        // Each good interval subtracts one ejection.
        of[0] = good;
        let left = world.now + seconds(95.0);
        while world.now < left {
            world.step(left);
            if world.others.drain(..).any(|action| action == Action::CollectCounts) {
                world.tell(Event::Counted(of.iter().enumerate().map(|(at, counts)| (id(at), *counts)).collect()));
            }
        }
        of[0] = bad;
        let changes = world.changes.len();
        until_probation(&mut world, &of);
        let ejected = &world.changes[changes];
        assert_eq!(world.now.since(ejected.at), seconds(30.0 * 4.0), "the 13th less ten forgiven, and itself");
    }
}

#[test]
fn a_window_that_is_not_counted_forgives_before_the_next_ejection() {
    let mut world = world(plain(), 3);
    for _ in 0..3 {
        trip(&mut world, 0);
        let ejected = world.now;
        while world.of(0) != Availability::Probation {
            world.step(ejected + seconds(1000.0));
        }
        assert_eq!(world.now.since(ejected), seconds(30.0), "the last one was forgiven");
        world.signal(0, Signal::ProbationPassed);
        wait(&mut world, 10.0);
    }
}

#[test]
fn probation_fails_even_if_another_response_asks_for_a_pause() {
    let mut world = world(Outliers::new().jitter(0.0), 3);
    trip(&mut world, 0);
    wait(&mut world, 30.1);
    world.signal(0, Signal::RetryAfter(seconds(5.0)));
    assert_eq!(world.of(0), Availability::Unhealthy);
    world.signal(0, Signal::ProbationFailed);
    wait(&mut world, 59.9);
    assert_eq!(world.of(0), Availability::Unhealthy, "for 60 s");
    wait(&mut world, 0.2);
    assert_eq!(world.of(0), Availability::Probation);
}

#[test]
fn a_pause_does_not_end_a_probation() {
    let mut world = world(Outliers::new().jitter(0.0), 3);
    trip(&mut world, 0);
    wait(&mut world, 30.1);
    world.signal(0, Signal::RetryAfter(seconds(5.0)));
    wait(&mut world, 5.1);
    assert_eq!(world.of(0), Availability::Probation, "after the pause, one request decides");
    // The pause comes from the request on probation, whose result is reported later: the endpoint works.
    world.signal(0, Signal::RetryAfter(seconds(5.0)));
    world.signal(0, Signal::ProbationPassed);
    assert_eq!(world.of(0), Availability::Unhealthy);
    wait(&mut world, 5.1);
    assert_eq!(world.of(0), Availability::Up);
}

#[test]
fn no_more_are_out_than_allowed_but_one_always_may_be() {
    for (endpoints, percent, most) in [(1, 10, 1), (3, 10, 1), (10, 10, 1), (20, 10, 2), (20, 50, 10), (5, 0, 1)] {
        let mut world = world(plain().max_ejection_percent(percent), endpoints);
        (0..endpoints).for_each(|at| trip(&mut world, at));
        assert_eq!(world.out(), most, "{endpoints} endpoints, {percent} %");
        // Endpoints on probation count too.
        wait(&mut world, 30.1);
        (0..endpoints).for_each(|at| trip(&mut world, at));
        assert_eq!(world.out(), most);
    }
}

#[test]
fn a_failed_probation_is_followed_by_another_even_if_fewer_may_be_out_by_then() {
    let mut world = world(plain().max_ejection_percent(50), 4);
    (0..2).for_each(|at| trip(&mut world, at));
    wait(&mut world, 30.1);
    // Of two endpoints one may be out, and both are on probation.
    (2..4).for_each(|at| world.tell(Event::Left(id(at))));
    for at in 0..2 {
        world.signal(at, Signal::ProbationFailed);
        assert_eq!(world.of(at), Availability::Unhealthy);
    }
    wait(&mut world, 60.1);
    assert_eq!((world.of(0), world.of(1)), (Availability::Probation, Availability::Probation));
}

#[test]
fn probation_without_requests_goes_on() {
    let mut world = world(plain(), 3);
    trip(&mut world, 0);
    wait(&mut world, 100_000.0);
    assert_eq!(world.of(0), Availability::Probation);
}

#[test]
fn a_pause_ends_without_a_request() {
    let mut world = world(Outliers::new(), 3);
    world.signal(0, Signal::RetryAfter(Duration::from_secs(7)));
    assert_eq!(world.of(0), Availability::Unhealthy);
    wait(&mut world, 7.1);
    assert_eq!(world.of(0), Availability::Up);
    world.signal(0, Signal::RetryAfter(Duration::from_secs(1_000_000)));
    wait(&mut world, 30.1);
    assert_eq!(world.of(0), Availability::Up, "for at most 30 s");
}

fn counts(of: &[(u64, u64)]) -> Vec<(equipoise_core::EndpointId, IntervalCounts)> {
    let counts = |&(successes, failures): &(u64, u64)| IntervalCounts::new(successes, failures);
    of.iter().enumerate().map(|(at, of)| (id(at), counts(of))).collect()
}

#[test]
fn a_success_rate_far_below_the_others_is_an_outlier() {
    let rule = SuccessRate::new(1.9);
    let rules = Outliers::new().success_rate(rule).max_ejection_percent(100);
    let mut enough = world(rules, 10);
    let mut of = vec![(99, 1); 10];
    of[3] = (60, 40);
    enough.tell(Event::Counted(counts(&of)));
    assert_eq!((enough.out(), enough.of(3)), (1, Availability::Unhealthy));
    // The others have too few requests, there are too few others, or all are alike.
    for of in [vec![(9, 0), (9, 0), (9, 0), (9, 0), (0, 100)], vec![(100, 0), (0, 100)], vec![(50, 50); 10]] {
        let mut few = world(rules, of.len());
        few.tell(Event::Counted(counts(&of)));
        assert_eq!(few.out(), 0, "{of:?}");
    }
}

#[test]
fn the_worst_go_first_where_not_all_may() {
    let rule = FailurePercentage::new(50).min_hosts(2).min_requests(10);
    let mut world = world(Outliers::new().failure_percentage(rule).max_ejection_percent(10), 10);
    let mut of = vec![(10, 0); 10];
    (of[2], of[5], of[7]) = ((4, 6), (0, 10), (5, 5));
    world.tell(Event::Counted(counts(&of)));
    assert_eq!((world.out(), world.of(5)), (1, Availability::Unhealthy));
}

#[test]
fn the_choice_of_outliers_does_not_depend_on_the_order_of_the_counts() {
    let rule = FailurePercentage::new(50).min_hosts(2).min_requests(10);
    let mut of = vec![(10, 0); 10];
    (of[2], of[5], of[7]) = ((0, 10), (0, 10), (0, 10));
    for turn in 0..10 {
        let mut world = world(Outliers::new().failure_percentage(rule).max_ejection_percent(10), 10);
        let mut counts = counts(&of);
        counts.rotate_left(turn);
        world.tell(Event::Counted(counts));
        assert_eq!((world.out(), world.of(2)), (1, Availability::Unhealthy), "from {turn} on");
    }
}

#[test]
fn many_times_slower_than_the_median_is_an_outlier() {
    let rule = LatencyOutlier::new(3.0).min_hosts(3).min_requests(10);
    let mut world = world(Outliers::new().latency(rule).max_ejection_percent(100), 4);
    let of =
        [10, 12, 31, 11].map(|millis| IntervalCounts::default().with_latency(10, Duration::from_millis(10 * millis)));
    world.tell(Event::Counted(of.into_iter().enumerate().map(|(at, counts)| (id(at), counts)).collect()));
    assert_eq!((world.out(), world.of(2)), (0, Availability::Up), "31 is not 3 times 12");
    let of =
        [10, 12, 37, 11].map(|millis| IntervalCounts::default().with_latency(10, Duration::from_millis(10 * millis)));
    world.tell(Event::Counted(of.into_iter().enumerate().map(|(at, counts)| (id(at), counts)).collect()));
    assert_eq!((world.out(), world.of(2)), (1, Availability::Unhealthy));
}

#[derive(Deserialize)]
struct Golden {
    observe_layer7: Vec<Observed>,
}

#[derive(Deserialize)]
struct Observed {
    on_error: String,
    error_limit: usize,
    fall: u32,
    /// Before the first report, and after each.
    status_after_each_500_response: Vec<String>,
}

#[test]
fn requests_that_speak_through_checks_do_what_they_do_in_haproxy() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/agent_check.json")).expect("readable");
    assert_eq!(golden.observe_layer7.len(), 4);
    for Observed { on_error, error_limit, fall, status_after_each_500_response } in golden.observe_layer7 {
        let what = match &*on_error {
            "mark-down" => OnFailureLimit::MarkDown,
            "fail-check" => OnFailureLimit::FailCheck,
            "sudden-death" => OnFailureLimit::SuddenDeath,
            "fastinter" => OnFailureLimit::CheckSoon,
            other => panic!("{other:?} is not in the recording"),
        };
        let outliers = Outliers::new().consecutive_failures(3).on_failure_limit(what);
        let mut world = World::new(checks(Schedule::haproxy().fall(fall)).outliers(outliers), 1);
        world.pass(seconds(1.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
        for (responses, status) in status_after_each_500_response.iter().enumerate() {
            if responses > 0 && responses % error_limit == 0 {
                trip(&mut world, 0);
            }
            let up = if status.starts_with("UP") { Availability::Up } else { Availability::Unhealthy };
            assert_eq!(world.of(0), up, "{on_error}: after {responses} responses");
        }
    }
}

#[test]
fn check_soon_brings_the_next_probe_forward() {
    let outliers = Outliers::new().consecutive_failures(3).on_failure_limit(OnFailureLimit::CheckSoon);
    let schedule = Schedule::new().interval(seconds(60.0)).fast_interval(seconds(1.0)).jitter(0.0);
    let mut world = World::new(checks(schedule).outliers(outliers), 1);
    world.pass(seconds(10.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    assert_eq!(world.started[&id(0)], 1);
    trip(&mut world, 0);
    world.pass(seconds(1.1), |_, _| Some(Ok(ProbeOutcome::Passed)));
    assert_eq!(world.started[&id(0)], 2);
}

#[test]
fn without_a_check_to_speak_through_requests_eject() {
    let mut world = world(plain().on_failure_limit(OnFailureLimit::MarkDown), 2);
    trip(&mut world, 0);
    assert_eq!(world.of(0), Availability::Unhealthy);
    assert_eq!(world.changes[0].source, Source::Requests);
}

#[test]
fn probation_without_a_result_admits_another_request() {
    let mut world = world(plain(), 3);
    trip(&mut world, 0);
    wait(&mut world, 31.0);
    let probations = |world: &World| {
        world.sets.iter().filter(|(endpoint, to)| (endpoint, *to) == (&id(0), Availability::Probation)).count()
    };
    assert_eq!(probations(&world), 1);
    wait(&mut world, 25.0);
    assert_eq!(probations(&world), 3, "one more every ten seconds");
    world.signal(0, Signal::ProbationPassed);
    wait(&mut world, 60.0);
    assert_eq!((probations(&world), world.of(0)), (3, Availability::Up));
}

#[test]
fn an_endpoint_that_is_out_for_other_reasons_does_not_count_as_ejected() {
    for how in [AdminState::Maintenance, AdminState::Drain { deadline: None }] {
        let mut world = world(Outliers::envoy(), 3);
        trip(&mut world, 0);
        trip(&mut world, 1);
        assert_eq!(
            (world.of(0), world.of(1)),
            (Availability::Unhealthy, Availability::Up),
            "one of three, and no more"
        );
        world.order(0, how);
        trip(&mut world, 1);
        assert_eq!(world.of(1), Availability::Unhealthy, "{how:?}");
    }
    let rules = checks(Schedule::new()).outliers(Outliers::envoy());
    let mut world = World::new(rules, 3);
    trip(&mut world, 0);
    world.pass(seconds(60.0), |endpoint, _| Some(if *endpoint == id(0) { failed() } else { Ok(ProbeOutcome::Passed) }));
    trip(&mut world, 1);
    assert_eq!((world.of(0), world.of(1)), (Availability::Unhealthy, Availability::Unhealthy));
}

#[test]
fn pauses_are_not_granted_beyond_what_may_be_out() {
    let mut world = world(Outliers::new(), 3);
    for at in 0..3 {
        world.signal(at, Signal::RetryAfter(seconds(5.0)));
    }
    assert_eq!(world.out(), 1);
    wait(&mut world, 5.1);
    assert_eq!(world.out(), 0);
}

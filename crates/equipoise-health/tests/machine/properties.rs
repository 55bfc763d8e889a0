//! Properties that hold for all sequences of events.

use equipoise_core::{Availability, Timestamp};
use equipoise_health::{
    AdminState, CheckPolicy, HealthPolicy, Outliers, Schedule, Source,
    machine::{Event, FailureLimit, Signal},
    probe::{ProbeError, ProbeOutcome},
};
use proptest::prelude::*;

use crate::world::{World, id, seconds};

const ENDPOINTS: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Op {
    Pass(u16),
    FailureLimit(usize),
    Probation(usize, bool),
    Pause(usize, u16),
    AdminState(usize, u8),
    Leave(usize),
    Join(usize),
    /// Sets the answer to probes of this endpoint: 0 passes, 1 fails, 2 gives no answer.
    Answers(usize, u8),
    Back(u16),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let at = 0..ENDPOINTS;
    let op = prop_oneof![
        6 => (0..30_000u16).prop_map(Op::Pass),
        4 => at.clone().prop_map(Op::FailureLimit),
        2 => (at.clone(), any::<bool>()).prop_map(|(at, good)| Op::Probation(at, good)),
        1 => (at.clone(), 0..60u16).prop_map(|(at, time)| Op::Pause(at, time)),
        2 => (at.clone(), 0..4u8).prop_map(|(at, order)| Op::AdminState(at, order)),
        1 => at.clone().prop_map(Op::Leave),
        1 => at.clone().prop_map(Op::Join),
        3 => (at, 0..3u8).prop_map(|(at, how)| Op::Answers(at, how)),
        1 => (0..5_000u16).prop_map(Op::Back),
    ];
    proptest::collection::vec(op, 1..80)
}

fn policy(percent: u32) -> HealthPolicy {
    let check = CheckPolicy::new("tcp", Schedule::new());
    let outliers = Outliers::envoy().max_ejection_percent(percent);
    HealthPolicy::new().check(check).outliers(outliers).max_concurrent_probes(3)
}

/// Applies all operations, and checks the invariants after each.
fn play(ops: &[Op], percent: u32) -> World {
    let mut world = World::new(policy(percent), ENDPOINTS);
    let mut members = [true; ENDPOINTS];
    let mut answers = [0u8; ENDPOINTS];
    let (mut ejected, most) = ([false; ENDPOINTS], (ENDPOINTS * percent as usize / 100).max(1));
    for op in ops {
        match *op {
            Op::Pass(millis) => pass(&mut world, f64::from(millis) / 1e3, &answers),
            Op::FailureLimit(at) => world.signal(at, Signal::FailureLimitReached(FailureLimit::Consecutive(5))),
            Op::Probation(at, true) => world.signal(at, Signal::ProbationPassed),
            Op::Probation(at, false) => world.signal(at, Signal::ProbationFailed),
            Op::Pause(at, time) => world.signal(at, Signal::RetryAfter(seconds(time.into()))),
            Op::AdminState(at, 0) => world.order(at, AdminState::Ready),
            Op::AdminState(at, 1) => world.order(at, AdminState::Maintenance),
            Op::AdminState(at, 2) => world.order(at, AdminState::Drain { deadline: None }),
            Op::AdminState(at, _) => world.order(at, AdminState::Drain { deadline: Some(seconds(20.0)) }),
            Op::Leave(at) => {
                members[at] = false;
                world.tell(Event::Left(id(at)));
            }
            Op::Join(at) => {
                members[at] = true;
                world.availability.insert(id(at), Availability::Up);
                world.tell(Event::Joined(id(at)));
            }
            Op::Answers(at, how) => answers[at] = how,
            Op::Back(millis) => {
                let back = world.now.as_nanos().saturating_sub(u64::from(millis) * 1_000_000);
                world.set_clock(Timestamp::from_nanos(back));
            }
        }
        assert!(world.probes.len() <= 3, "no more probes than allowed");
        // One timer for each check (due or deadline), two more for each endpoint, and one for the interval.
        let there = members.iter().filter(|member| **member).count();
        assert!(world.machine.timers() <= 3 * there + 1, "{} timers", world.machine.timers());
        for (at, ejected) in ejected.iter_mut().enumerate() {
            let status = world.machine.status(id(at));
            assert_eq!(status.is_some(), members[at]);
            *ejected = status.is_some_and(|status| {
                assert_eq!(world.availability[&id(at)], status.availability, "the status is what was set");
                status.conditions.first().is_some_and(|first| first.source == Source::Requests)
            });
        }
        if there == ENDPOINTS {
            let out = ejected.iter().filter(|ejected| **ejected).count();
            // An endpoint that leaves lowers the maximum, but not the number of those that are out.
            if !ops.iter().any(|op| matches!(op, Op::Leave(_))) {
                assert!(out <= most, "{out} ejected of {ENDPOINTS}, {most} allowed");
            }
        }
    }
    world
}

fn pass(world: &mut World, time: f64, answers: &[u8; ENDPOINTS]) {
    let answers = *answers;
    world.pass(seconds(time), |endpoint, _| {
        let at = (0..ENDPOINTS).find(|&at| id(at) == *endpoint).expect("one of them");
        match answers[at] {
            0 => Some(Ok(ProbeOutcome::Passed)),
            1 => Some(Err(ProbeError::Connect("refused".to_owned()))),
            _ => None,
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn whatever_happens_the_bounds_hold(ops in ops(), percent in 0..=100u32) {
        play(&ops, percent);
    }

    #[test]
    fn a_ready_endpoint_that_passes_checks_and_probation_is_up_again(ops in ops()) {
        let mut world = play(&ops, 100);
        for at in 0..ENDPOINTS {
            world.order(at, AdminState::Ready);
        }
        // The longest ejection with its jitter, then `rise` probes, then a request for endpoints on probation.
        pass(&mut world, 330.0 + 60.0, &[0; ENDPOINTS]);
        for at in 0..ENDPOINTS {
            world.signal(at, Signal::ProbationPassed);
        }
        for status in world.machine.statuses() {
            prop_assert_eq!(status.availability, Availability::Up, "{:?}", status);
        }
    }

    #[test]
    fn the_same_events_at_the_same_times_give_the_same_changes(ops in ops()) {
        prop_assert_eq!(play(&ops, 50).changes, play(&ops, 50).changes);
    }
}

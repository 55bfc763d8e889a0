//! The times of probes, and the number of results that change a state: as recorded from HAProxy, and beyond it.

use std::time::Duration;

use equipoise_core::{Availability, EndpointId, Timestamp};
use equipoise_health::{
    CheckPolicy, HealthPolicy, InitialState, Outliers, Schedule,
    machine::Event,
    probe::{ProbeError, ProbeOutcome},
};
use serde::Deserialize;

use crate::world::{World, checks, failed, id, seconds};

#[derive(Deserialize)]
struct Golden {
    health_timing: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    options: String,
    /// The time, whether the check passed, and HAProxy's state of the server after it.
    probes: Vec<(f64, bool, String)>,
}

/// HAProxy's `check` options.
fn schedule(options: &str) -> Schedule {
    let time = |text: &str| match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().expect("a number")),
        None => Duration::from_secs(text.trim_end_matches('s').parse().expect("a number")),
    };
    let count = |text: &str| text.parse().expect("a number");
    let words: Vec<&str> = options.split_whitespace().filter(|word| *word != "check").collect();
    words.chunks(2).fold(Schedule::haproxy(), |schedule, pair| match pair {
        ["inter", value] => schedule.interval(time(value)).timeout(time(value)),
        ["fastinter", value] => schedule.fast_interval(time(value)),
        ["downinter", value] => schedule.down_interval(time(value)),
        ["rise", value] => schedule.rise(count(value)),
        ["fall", value] => schedule.fall(count(value)),
        other => panic!("{other:?} is not in the recording"),
    })
}

#[test]
fn probes_have_the_times_and_effects_of_haproxy_s_checks() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/agent_check.json")).expect("readable");
    assert!(!golden.health_timing.is_empty());
    for Case { name, options, probes } in golden.health_timing {
        let mut world = World::new(checks(schedule(&options)), 1);
        let mut looks = Vec::new();
        world.pass(seconds(60.0), |_, now| {
            let (_, passes, _) = probes.get(looks.len())?;
            looks.push(now);
            Some(if *passes { Ok(ProbeOutcome::Passed) } else { failed() })
        });
        // Now probe by probe.
        let mut slow = World::new(checks(schedule(&options)), 1);
        for (at, (recorded, passes, status)) in probes.iter().enumerate() {
            let since_first = looks[at].since(looks[0]).as_secs_f64();
            // Each check of HAProxy was some milliseconds late, and the next one counts from there.
            let late = 0.002 + 0.005 * at as f64;
            assert!(
                (since_first - recorded).abs() <= late.max(0.02),
                "{name}: probe {at} at {since_first}, not {recorded}"
            );
            let mut answered = false;
            while !answered {
                let until = slow.machine.poll_timeout().expect("a probe is scheduled");
                slow.pass(until.since(slow.now), |_, _| {
                    answered = true;
                    Some(if *passes { Ok(ProbeOutcome::Passed) } else { failed() })
                });
            }
            let up = if status.starts_with("UP") { Availability::Up } else { Availability::Unhealthy };
            assert_eq!(slow.of(0), up, "{name}: after probe {at}, HAProxy says {status}");
        }
    }
}

#[test]
fn the_first_probe_decides_whatever_fall_is() {
    let mut world = World::new(checks(Schedule::new().fall(3)), 1);
    world.pass(seconds(5.0), |_, _| Some(failed()));
    assert_eq!(world.changes.len(), 1);
    assert_eq!(world.changes[0].to, Availability::Unhealthy);
    assert_eq!(world.changes[0].reason, "http: unexpected answer: status 500");
}

#[test]
fn an_endpoint_that_must_pass_first_is_in_maintenance_until_its_first_probe_ends() {
    let must_pass = || World::new(checks(Schedule::new().initial_state(InitialState::MustPass)), 1);
    let mut world = must_pass();
    assert_eq!(world.of(0), Availability::Maintenance);
    world.pass(seconds(1.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    assert_eq!(world.of(0), Availability::Up);
    // Probed and down: unhealthy, so that it is used in a panic.
    let mut world = must_pass();
    world.pass(seconds(1.0), |_, _| Some(failed()));
    assert_eq!(world.of(0), Availability::Unhealthy);
    // An inconclusive probe ends the wait.
    let mut world = must_pass();
    world.pass(seconds(1.0), |_, _| Some(Err(ProbeError::Forbidden("no sockets".to_owned()))));
    assert_eq!(world.of(0), Availability::Up);
}

#[test]
fn those_that_hang_do_not_keep_the_others_from_being_seen() {
    let schedule = Schedule::new().interval(seconds(5.0)).timeout(seconds(2.0)).jitter(0.0);
    let mut world = World::new(checks(schedule).max_concurrent_probes(20), 200);
    let hangs = |endpoint: &EndpointId| (0..100).any(|at| id(at) == *endpoint);
    world.pass(seconds(60.0), |endpoint, _| (!hangs(endpoint)).then_some(Ok(ProbeOutcome::Passed)));
    // Now one of the others fails.
    let began = world.now;
    while world.of(150) == Availability::Up {
        world.pass(seconds(0.1), |endpoint, _| {
            (!hangs(endpoint)).then(|| if *endpoint == id(150) { failed() } else { Ok(ProbeOutcome::Passed) })
        });
    }
    let took = world.now.since(began);
    assert!(took <= seconds(5.0 + 1.0 * 2.0 + 0.2), "{took:?}");
}

#[test]
fn at_the_maximum_of_the_clock_no_timer_repeats_endlessly() {
    let mut world = World::new(checks(Schedule::new()).outliers(Outliers::envoy()), 2);
    world.set_clock(Timestamp::from_nanos(u64::MAX));
    world.set_clock(Timestamp::from_nanos(u64::MAX));
    assert!(world.machine.timers() < 10);
}

#[test]
fn a_probe_without_an_answer_is_cancelled_and_counts_as_failed() {
    let schedule = Schedule::new().interval(seconds(5.0)).timeout(seconds(2.0)).fast_interval(seconds(1.0)).jitter(0.0);
    let mut world = World::new(checks(schedule.fall(3)), 1);
    world.pass(seconds(1.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    let hangs_from = world.now;
    let mut hung = 0;
    while world.of(0) == Availability::Up {
        world.pass(seconds(0.1), |_, _| {
            hung += 1;
            None
        });
    }
    assert!(world.now.since(hangs_from) <= seconds(5.0 + 2.0 * 3.0 + 0.2), "interval + timeout × fall");
    assert!(world.probes.len() <= 1, "those given up are cancelled");
    assert_eq!(world.changes[0].reason, "http: no answer in time");
}

#[test]
fn probes_are_spread_and_limited_from_the_start() {
    let policy = checks(Schedule::new()).max_concurrent_probes(7);
    let mut world = World::new(policy, 1_000);
    let (mut most, mut first_second) = (0, 0);
    for tenth in 0..60 {
        // Each probe takes 100 ms.
        world.pass(seconds(0.1), |_, _| None);
        most = most.max(world.probes.len());
        if tenth < 10 {
            first_second = world.started.len();
        }
        for probe in std::mem::take(&mut world.probes).into_keys() {
            world.tell(Event::Probed { probe, result: Ok(ProbeOutcome::Passed) });
        }
    }
    assert!(most <= 7, "{most} at a time");
    assert!(first_second <= 100, "{first_second} in the first second");
    assert_eq!(world.changes, []);
}

#[test]
fn all_checks_have_to_pass() {
    let check = |name: &str| CheckPolicy::new(name, Schedule::new());
    let policy = HealthPolicy::new().check(check("one")).check(check("other"));
    let mut world = World::new(policy, 1);
    let until = world.now + seconds(60.0);
    while world.step(until) {
        for probe in std::mem::take(&mut world.probes).into_keys() {
            let result = if probe.check() == 0 { Ok(ProbeOutcome::Passed) } else { failed() };
            world.tell(Event::Probed { probe, result });
        }
    }
    assert_eq!(world.of(0), Availability::Unhealthy);
    assert!(world.changes[0].reason.starts_with("other: "), "{}", world.changes[0]);
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_checks() {
    let mut world = World::new(checks(Schedule::new()), 1);
    world.now = world.now + seconds(100_000.0);
    world.pass(seconds(10.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    let before = world.started[&id(0)];
    world.set_clock(Timestamp::from_nanos(5));
    world.pass(seconds(60.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    assert!(world.started[&id(0)] >= before + 9, "{} looks in a minute", world.started[&id(0)] - before);
}

#[test]
fn a_clock_that_leaps_forward_starts_at_most_one_probe_each() {
    let mut world = World::new(checks(Schedule::new()), 10);
    world.pass(seconds(10.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    let before = world.started[&id(0)];
    world.now = world.now + seconds(1e6);
    world.pass(seconds(0.0), |_, _| Some(Ok(ProbeOutcome::Passed)));
    assert_eq!(world.started[&id(0)], before + 1);
}

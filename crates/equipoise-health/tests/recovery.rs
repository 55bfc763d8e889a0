//! How an endpoint comes back: the machine, a pool and slow start together.

use std::{sync::Arc, time::Duration};

use equipoise_core::{
    Availability, EndpointId, EndpointSpec, ManualClock, PickRequest, Pool, Random, SeededEntropy, SlowStart, Timestamp,
};
use equipoise_health::{
    CheckPolicy, HealthPolicy, Schedule,
    machine::{Action, Event, Machine},
    probe::{ProbeError, ProbeOutcome},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    slowstart: Recorded,
}

#[derive(Deserialize)]
struct Recorded {
    /// Seconds since it came back, status, weight (of 100).
    weight_over_time: Vec<(f64, String, f64)>,
}

/// HAProxy counts weights in sixteenths, starts with one and reports rounded values. The recording was a little late.
const STEP: f64 = 1.0 / 16.0 + 0.01;

#[test]
fn the_share_of_one_that_comes_back_rises_as_haproxy_s_slowstart_raises_weights() {
    let golden: Golden = serde_json::from_str(include_str!("golden/agent_check.json")).expect("readable");
    let clock = Arc::new(ManualClock::new());
    let ramp = SlowStart::new(Random::new()).window(Duration::from_secs(5)).floor(1.0 / 16.0).expect("a valid floor");
    let pool: Pool<()> =
        Pool::<()>::builder(ramp).clock(clock.clone()).entropy(Arc::new(SeededEntropy::new(0x736c_6f77))).build();
    pool.update(["other:80", "back:80"].map(EndpointSpec::new), |_| ()).expect("a valid pool");
    let schedule = Schedule::new().interval(Duration::from_millis(300)).rise(1).fall(1).jitter(0.0);
    let policy = HealthPolicy::new().check(CheckPolicy::new("http", schedule));
    let mut machine = Machine::new(policy, 1).expect("a valid policy");
    let id = EndpointId::from("back:80");
    machine.handle(Timestamp::from_nanos(1), Event::Joined(id.clone()));
    clock.advance(Duration::from_secs(100));

    answer_next(&mut machine, &pool, Err(ProbeError::Timeout));
    assert_eq!(pool.endpoints()[1].availability, Availability::Unhealthy);
    answer_next(&mut machine, &pool, Ok(ProbeOutcome::Passed));
    assert_eq!(pool.endpoints()[1].availability, Availability::Up);

    let mut now = 0.0;
    let back = golden.slowstart.weight_over_time.iter().filter(|(at, ..)| *at >= 0.0);
    for (at, status, weight) in back {
        assert_eq!(status, "UP");
        clock.advance(Duration::from_secs_f64(at - now));
        now = *at;
        let picks = 40_000;
        let came =
            (0..picks).filter(|_| pool.pick(&PickRequest::new()).is_ok_and(|it| *it.endpoint().id() == id)).count();
        // Each of the two gets half of the picks at random, and the factor reduces only its own half.
        let factor = 2.0 * came as f64 / f64::from(picks);
        let error = (factor - weight / 100.0).abs();
        assert!(error <= STEP, "after {at} s: {factor:.3} of its share, HAProxy {weight} % of its weight");
    }
}

/// Answers the machine's next probe, and applies its actions to the pool.
fn answer_next(machine: &mut Machine, pool: &Pool<()>, result: Result<ProbeOutcome, ProbeError>) {
    let mut result = Some(result);
    while result.is_some() {
        let at = machine.poll_timeout().expect("a probe is scheduled");
        machine.handle_timeout(at);
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Probe { probe, .. } => {
                    let result = result.take().expect("one probe at a time");
                    machine.handle(at, Event::Probed { probe, result });
                }
                Action::SetAvailability { id, availability } => {
                    pool.set_availability(id, availability).map(drop).expect("a member");
                }
                _ => {}
            }
        }
    }
}

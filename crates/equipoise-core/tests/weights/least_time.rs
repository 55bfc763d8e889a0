//! Least time prefers fast endpoints, and still sends requests to slow ones.

use std::time::Duration;

use equipoise_core::{LeastTime, PickRequest, Verdict};

use crate::{
    common::{clocked, id},
    shares::share,
    sim::{Sim, after_a_stall, serve},
};

const SEED: u64 = 0x717e;

const FAST: Duration = Duration::from_millis(10);

#[test]
fn the_faster_of_two_gets_more() {
    for choices in [2, 5, 10] {
        let (pool, clock) = clocked(LeastTime::with_choices(choices).unwrap(), &[1; 10], SEED);
        let mut service = [0.01; 10];
        service[..5].fill(0.03);
        let sim = Sim { pool: &pool, clock: &clock, service: &service, gap: 0.0015, failing: None, seed: SEED };
        let counts = sim.run(40_000);
        let slow: f64 = (0..5).map(|at| share(&counts, at)).sum();
        assert!((0.01..0.35).contains(&slow), "{slow} with {choices} choices: {counts:?}");
    }
}

#[test]
fn one_slow_answer_moves_the_average_by_a_twentieth() {
    let (pool, clock) = clocked(LeastTime::new(), &[1; 2], SEED);
    let answer = |index: usize, time| {
        let bound = id(index);
        let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
        clock.advance(time);
        lease.finish(Verdict::Success);
    };
    for _ in 0..100 {
        answer(0, FAST);
        answer(1, FAST * 2);
    }
    // The average of the first endpoint is 10 ms. One response of 110 ms raises it to 15 ms, still below the 20 ms of
    // the other one. Three raise it above 20 ms.
    let first = || (0..20).filter(|_| serve(&pool, &clock, |index| FAST * (1 + index as u32)) == 0).count();
    answer(0, FAST * 11);
    assert_eq!(first(), 20);
    (0..10).for_each(|_| answer(0, FAST * 11));
    assert_eq!(first(), 0);
}

#[test]
fn an_endpoint_shunned_for_one_stall_is_tried_again_and_then_back() {
    for weights in [&[1, 1][..], &[1, 1, 1], &[2, 1], &[1; 10]] {
        let [soon, _, then] = after_a_stall(LeastTime::new(), weights, [120, 1500, 100], SEED);
        assert!(soon > 0.0, "not tried within twelve periods, weights {weights:?}");
        let due = f64::from(weights[0]) / f64::from(weights.iter().sum::<u32>());
        assert!(then > due * 0.5, "{then} where {due} is due, weights {weights:?}");
    }
}

#[test]
fn choices_beyond_ten_and_below_two_are_refused() {
    for choices in [0, 1, 11, usize::MAX] {
        let error = LeastTime::with_choices(choices).unwrap_err();
        assert_eq!(error.choices, choices);
        assert!(error.to_string().contains("2 to 10"), "{error}");
    }
}

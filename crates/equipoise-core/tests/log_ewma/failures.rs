//! Penalties for failures, and pauses that endpoints ask for with `Retry-After`.

use std::time::Duration;

use equipoise_core::{Failure, LogEwma, ManualClock, Pool, Verdict};

use crate::{SEED, answer, common::clocked, lease_on, ms, scores, share_of};

const FAILURE: Verdict = Verdict::Failure(Failure::Server);

fn fail(pool: &Pool<()>, at: usize, verdict: Verdict) {
    lease_on(pool, at).finish(verdict);
}

/// Creates a pool of two endpoints with this latency.
fn two(latency: Duration) -> (Pool<()>, std::sync::Arc<ManualClock>) {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..20 {
        (0..2).rev().for_each(|at| answer(&pool, &clock, at, latency));
    }
    (pool, clock)
}

#[test]
fn the_first_failure_costs_an_eighth_of_the_penalty_and_further_ones_all() {
    let (pool, _clock) = two(ms(20));
    let before = scores(&pool)[0];
    for (failures, due) in [(1, 62.5), (2, 187.5), (3, 437.5), (4, 500.0), (5, 500.0)] {
        fail(&pool, 0, FAILURE);
        let cost = scores(&pool)[0] - before;
        assert!((cost - due).abs() < 1.0, "{cost} after {failures} failures, {due} is due");
    }
}

#[test]
fn a_penalty_costs_a_hundred_times_the_lowest_latency_at_most() {
    let (pool, _clock) = two(ms(1));
    (0..9).for_each(|_| fail(&pool, 0, FAILURE));
    let [failing, other] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((failing - other - 100.0).abs() < 0.5, "{failing} and {other}");
}

#[test]
fn a_penalty_costs_ten_times_the_lowest_latency_at_least() {
    let (pool, _clock) = two(Duration::from_secs(2));
    (0..9).for_each(|_| fail(&pool, 0, FAILURE));
    let [failing, other] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((failing - other - 20_000.0).abs() < 100.0, "{failing} and {other}");
}

#[test]
fn a_penalty_of_zero_costs_nothing() {
    let (pool, clock) = clocked(LogEwma::new().penalty(Duration::ZERO), &[1, 1], SEED);
    (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    let before = scores(&pool);
    (0..9).for_each(|_| fail(&pool, 0, FAILURE));
    assert_eq!(scores(&pool), before);
}

#[test]
fn endpoints_that_fail_do_not_excuse_each_other() {
    for failing in 1..8 {
        let (pool, clock) = clocked(LogEwma::new(), &[1; 8], SEED);
        for round in 0..300 {
            for at in 0..8 {
                if at < failing && round > 20 {
                    fail(&pool, at, FAILURE);
                } else {
                    answer(&pool, &clock, at, ms(10));
                }
            }
        }
        let scores = scores(&pool);
        let (bad, good) = scores.split_at(failing);
        let lowest = bad.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(good.iter().all(|score| 5.0 * score < lowest), "{failing} of 8 fail: {scores:?}");
    }
}

#[test]
fn retry_after_counts_although_others_fail_at_times() {
    let pause = Verdict::Unavailable { retry_after: Some(Duration::from_secs(20)) };
    let (pool, clock) = clocked(LogEwma::new(), &[1; 4], SEED);
    for round in 0..300 {
        for at in 0..4 {
            answer(&pool, &clock, at, ms(10));
            if round % 50 == 0 {
                fail(&pool, at, FAILURE);
            }
        }
    }
    clock.advance(ms(1_500));
    fail(&pool, 0, pause);
    let scores = scores(&pool);
    assert!(scores[0] > 500.0 * scores[1], "{scores:?}");
}

#[test]
fn a_success_does_not_raise_a_penalty() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 4], SEED);
    // The first endpoint has one request in ten seconds, and all others many.
    for _ in 0..10 {
        answer(&pool, &clock, 0, ms(10));
        for _ in 0..300 {
            (1..4).for_each(|at| answer(&pool, &clock, at, ms(11)));
        }
    }
    (0..4).for_each(|_| fail(&pool, 0, FAILURE));
    for _ in 0..300 {
        (1..4).for_each(|at| answer(&pool, &clock, at, ms(11)));
    }
    let before = scores(&pool)[0];
    lease_on(&pool, 0).finish(Verdict::Success);
    let after = scores(&pool)[0];
    assert!(after <= before, "{before} and {after}");
}

#[test]
fn a_penalty_counts_only_if_the_endpoint_fails_four_times_as_often_as_usual() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 5], SEED);
    for _ in 0..20 {
        (0..5).for_each(|at| answer(&pool, &clock, at, ms(10)));
    }
    (0..5).for_each(|at| fail(&pool, at, FAILURE));
    let equal = scores(&pool)[4];
    (0..2).for_each(|_| fail(&pool, 0, FAILURE));
    assert_eq!(scores(&pool)[0], equal, "three times as often");
    // A failure weighs 1 % in the share of failures: four failures are 3.94 %, and the odds are 4.06 times as high.
    fail(&pool, 0, FAILURE);
    assert!(scores(&pool)[0] > 1.1 * equal, "four times as often: {:?}", scores(&pool));
    fail(&pool, 0, FAILURE);
    assert!(scores(&pool)[0] > 5.0 * equal, "five times as often: {:?}", scores(&pool));
    assert_eq!(share_of(&pool, 0, 500), 0.0);
}

/// Creates a pool of five endpoints with a latency of 10 ms. All fail `often` of ten requests, and the first fails all.
fn one_fails_always(often: u32) -> Vec<f64> {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 5], SEED);
    for round in 0..1_000 {
        for at in 0..5 {
            if round >= 20 && (at == 0 || round % 10 < often) {
                fail(&pool, at, FAILURE);
            } else {
                answer(&pool, &clock, at, ms(10));
            }
        }
    }
    scores(&pool)
}

#[test]
fn an_endpoint_that_fails_always_is_avoided_even_if_others_fail_often() {
    for often in 0..=7 {
        let scores = one_fails_always(often);
        let most = scores[1..].iter().copied().fold(0.0, f64::max);
        assert!(scores[0] > 5.0 * most, "others fail {often} of ten: {scores:?}");
    }
}

#[test]
fn of_endpoints_that_all_fail_always_none_is_avoided() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 5], SEED);
    for _ in 0..20 {
        (0..5).for_each(|at| answer(&pool, &clock, at, ms(10)));
    }
    let before = scores(&pool);
    (0..600).for_each(|_| (0..5).for_each(|at| fail(&pool, at, FAILURE)));
    (0..300).for_each(|_| fail(&pool, 0, FAILURE));
    assert_eq!(scores(&pool), before);
}

#[test]
fn a_penalty_fades_and_a_success_takes_most_of_it_off() {
    let (pool, clock) = two(ms(100));
    (0..4).for_each(|_| fail(&pool, 0, FAILURE));
    let [failing, other] = scores(&pool)[..] else { panic!("two endpoints") };
    answer(&pool, &clock, 0, ms(100));
    let left = (scores(&pool)[0] - other) / (failing - other);
    assert!((0.2..0.26).contains(&left), "{left}");
    clock.advance(Duration::from_secs(60));
    let share = share_of(&pool, 0, 1_000);
    assert!(share > 0.4, "{share}");
}

#[test]
fn retry_after_holds_an_endpoint_that_has_not_answered_for_a_second() {
    let pause = Verdict::Unavailable { retry_after: Some(Duration::from_secs(20)) };
    let (pool, clock) = two(ms(1));
    clock.advance(ms(1_500));
    answer(&pool, &clock, 1, ms(1));
    fail(&pool, 0, pause);
    let served = |requests| {
        (0..requests)
            .filter(|_| {
                let lease = crate::common::pick(&pool);
                clock.advance(ms(1));
                let at = crate::common::at(&lease);
                lease.finish(Verdict::Success);
                at == 0
            })
            .count()
    };
    assert_eq!(served(19_000), 0, "within the pause");
    clock.advance(Duration::from_secs(60));
    assert!(served(1_000) > 300, "after the pause");
}

#[test]
fn retry_after_does_not_hold_an_endpoint_that_keeps_answering() {
    let pause = Verdict::Unavailable { retry_after: Some(Duration::from_secs(20)) };
    let (pool, clock) = two(ms(20));
    // The body of the response has not ended.
    let mut download = lease_on(&pool, 0);
    clock.advance(ms(1_500));
    download.response_head(Some(Verdict::Success), true);
    let before = scores(&pool)[0];
    fail(&pool, 0, pause);
    let cost = scores(&pool)[0] - before;
    assert!((cost - 62.5).abs() < 1.0, "as much as any first failure: {cost}");
}

#[test]
fn a_pause_is_capped_at_five_minutes_and_not_ended_by_a_late_success() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    let busy = || (0..20).for_each(|_| answer(&pool, &clock, 1, ms(1)));
    busy();
    let late = lease_on(&pool, 0);
    fail(&pool, 0, Verdict::Overloaded { retry_after: Some(Duration::MAX) });
    clock.advance(ms(1));
    late.finish(Verdict::Success);
    clock.advance(Duration::from_secs(299));
    busy();
    assert_eq!(share_of(&pool, 0, 500), 0.0);
    clock.advance(Duration::from_secs(60));
    busy();
    assert!(share_of(&pool, 0, 500) > 0.2);
}

//! A slow endpoint is tried again. The longer it has been slow, the less often.

use std::{sync::Arc, time::Duration};

use equipoise_core::{LogEwma, ManualClock, Pool, Verdict};

use crate::{
    SEED, answer,
    common::{at, clocked, pick},
    lease_on, ms, scores,
};

/// Sends requests one after the other. Those to the first endpoint take `slow`, and all others 1 ms. Returns the times at
/// which the requests to the first endpoint began.
fn trials(pool: &Pool<()>, clock: &ManualClock, slow: Duration, lasting: Duration) -> Vec<Duration> {
    let (mut now, mut trials) = (Duration::ZERO, Vec::new());
    while now < lasting {
        let lease = pick(pool);
        let takes = if at(&lease) == 0 { slow } else { ms(1) };
        if at(&lease) == 0 {
            trials.push(now);
        }
        clock.advance(takes);
        now += takes;
        lease.finish(Verdict::Success);
    }
    trials
}

/// Creates a pool of five endpoints, the first of which has just become slow.
fn one_slow(strategy: LogEwma) -> (Pool<()>, Arc<ManualClock>) {
    let (pool, clock) = clocked(strategy, &[1; 5], SEED);
    for _ in 0..20 {
        (1..5).for_each(|at| answer(&pool, &clock, at, ms(1)));
    }
    answer(&pool, &clock, 0, ms(20));
    (pool, clock)
}

#[test]
fn trials_of_an_endpoint_that_stays_slow_become_rare() {
    let (pool, clock) = one_slow(LogEwma::new());
    let trials = trials(&pool, &clock, ms(20), Duration::from_secs(120));
    let early = trials.iter().filter(|at| **at < Duration::from_secs(5)).count();
    let late = trials.iter().filter(|at| **at >= Duration::from_secs(60)).count();
    assert!((2..=7).contains(&early), "{early} in the first five seconds: {trials:?}");
    assert!((1..=7).contains(&late), "{late} in the second minute: {trials:?}");
}

#[test]
fn trials_keep_the_least_interval() {
    let strategy = LogEwma::new().min_trial_interval(ms(500)).max_trial_interval(ms(500));
    let (pool, clock) = one_slow(strategy);
    let trials = trials(&pool, &clock, ms(20), Duration::from_secs(60));
    let shortest = trials.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(shortest >= Some(ms(500)), "{shortest:?} of {trials:?}");
    assert!(trials.len() > 30, "{trials:?}");
}

#[test]
fn an_endpoint_that_has_recovered_gets_its_share_back_after_about_the_time_for_which_it_was_slow() {
    let (pool, clock) = one_slow(LogEwma::new());
    trials(&pool, &clock, ms(20), Duration::from_secs(10));
    trials(&pool, &clock, ms(1), Duration::from_secs(12));
    let picked = trials(&pool, &clock, ms(1), Duration::from_secs(2)).len();
    assert!((340..460).contains(&picked), "{picked} of 2000");
}

#[test]
fn one_fast_response_to_a_trial_does_not_bring_a_slow_endpoint_back() {
    let (pool, clock) = one_slow(LogEwma::new());
    let before = scores(&pool)[0];
    let mut tried = false;
    while !tried {
        let lease = pick(&pool);
        tried = at(&lease) == 0;
        clock.advance(ms(1));
        lease.finish(Verdict::Success);
    }
    let after = scores(&pool)[0];
    // 20 ms counts as 10 times the lowest before, and as 20^0.7 ms after.
    assert!((0.75..0.9).contains(&(after / before)), "{before} and {after}");
}

#[test]
fn a_trial_with_a_neutral_verdict_is_over() {
    let (pool, clock) = one_slow(LogEwma::new());
    let mut tried = false;
    while !tried {
        let lease = pick(&pool);
        tried = at(&lease) == 0;
        clock.advance(ms(1));
        lease.finish(if tried { Verdict::Neutral } else { Verdict::Success });
    }
    let before = scores(&pool)[0];
    answer(&pool, &clock, 0, ms(1));
    // The response to a trial would have moved the average by three tenths of the distance.
    let left = scores(&pool)[0] / before;
    assert!(left > 0.9, "{left}");
}

#[test]
fn at_a_low_rate_ten_turns_are_remembered_and_not_seconds() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 5], SEED);
    let serve = |requests: u32| {
        let serve = |_: &u32| {
            let lease = pick(&pool);
            let first = at(&lease) == 0;
            clock.advance(if first { ms(2_000) } else { ms(50) });
            lease.finish(Verdict::Success);
            clock.advance(Duration::from_secs(6));
            first
        };
        (0..requests).filter(serve).count()
    };
    serve(50);
    let slow = serve(400);
    // A turn takes 30 s, twelve fading times of 2.5 s.
    assert!(slow <= 24, "{slow} of 400");
}

#[test]
fn an_explanation_tries_no_endpoint() {
    let (pool, clock) = one_slow(LogEwma::new().max_trial_interval(Duration::ZERO).min_trial_interval(Duration::ZERO));
    for _ in 0..5_000 {
        scores(&pool);
    }
    clock.advance(ms(200));
    let before = scores(&pool)[0];
    answer(&pool, &clock, 0, ms(5));
    // The response to a trial would have moved the average by three tenths of the distance.
    let left = scores(&pool)[0] / before;
    assert!(left > 0.9, "{left}");
}

#[test]
fn an_endpoint_with_one_long_request_is_tried_and_stays_in_use() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 5], SEED);
    trials(&pool, &clock, ms(1), ms(500));
    let _long = lease_on(&pool, 0);
    clock.advance(ms(500));
    (1..5).for_each(|at| answer(&pool, &clock, at, ms(1)));
    let _busy: Vec<_> = (0..80).map(|at| lease_on(&pool, 1 + at % 4)).collect();
    let tried = trials(&pool, &clock, ms(1), ms(5_000)).len();
    assert!(tried > 100, "{tried} of 5000");
}

#[test]
fn an_endpoint_with_a_request_that_never_ends_is_tried() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 5], SEED);
    trials(&pool, &clock, ms(1), ms(500));
    let _endless = lease_on(&pool, 0);
    clock.advance(Duration::from_secs(86_400));
    (1..5).for_each(|at| answer(&pool, &clock, at, ms(1)));
    let tried = trials(&pool, &clock, ms(1), ms(100_000)).len();
    assert!(tried > 4, "{tried} of 100000");
}

#[test]
fn trials_that_are_given_up_become_rare_too() {
    let (pool, clock) = one_slow(LogEwma::new());
    let mut trials = Vec::new();
    for step in 0..120_000 {
        let lease = pick(&pool);
        clock.advance(ms(1));
        if at(&lease) == 0 {
            trials.push(step);
            drop(lease);
        } else {
            lease.finish(Verdict::Success);
        }
    }
    let late = trials.iter().filter(|step| **step >= 60_000).count();
    assert!((1..=7).contains(&late), "{late} in the second minute: {trials:?}");
}

#[test]
fn an_endpoint_that_was_fast_again_is_tried_early_when_it_becomes_slow_again() {
    let (pool, clock) = one_slow(LogEwma::new());
    trials(&pool, &clock, ms(20), Duration::from_secs(120));
    // It recovers through requests that are no trials.
    (0..200).for_each(|_| answer(&pool, &clock, 0, ms(1)));
    trials(&pool, &clock, ms(1), Duration::from_secs(25));
    (0..100).for_each(|_| answer(&pool, &clock, 0, ms(20)));
    let trials = trials(&pool, &clock, ms(20), Duration::from_secs(3));
    assert!(trials.len() >= 2, "{trials:?}");
}

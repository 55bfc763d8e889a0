//! The estimate: a moving average of the logarithm of latencies. While requests wait for unusually long without any
//! response, the estimate is at least that time.

use std::{collections::VecDeque, time::Duration};

use equipoise_core::{LogEwma, Timestamp, Verdict};

use crate::{SEED, add, answer, common::clocked, lease_on, ms, scores, share_of};

#[test]
fn one_response_that_takes_a_hundred_times_longer_does_not_make_an_endpoint_slow() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..100 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(1)));
    }
    answer(&pool, &clock, 0, ms(100));
    answer(&pool, &clock, 1, ms(1));
    let share = share_of(&pool, 0, 2_000);
    assert!((0.45..0.55).contains(&share), "{share}");
}

#[test]
fn a_hundred_slow_responses_make_an_endpoint_slow_however_fast_they_come() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..100 {
        (0..2).for_each(|at| answer(&pool, &clock, at, Duration::from_micros(100)));
    }
    for _ in 0..100 {
        answer(&pool, &clock, 0, Duration::from_micros(500));
        answer(&pool, &clock, 1, Duration::from_micros(100));
    }
    let [slow, fast] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((3.0..3.4).contains(&(slow / fast)), "{slow} and {fast}");
}

#[test]
fn of_slow_and_fast_responses_the_average_is_the_geometric_mean() {
    let (pool, clock) = clocked(LogEwma::new(), &[1], SEED);
    for _ in 0..500 {
        answer(&pool, &clock, 0, ms(1));
        answer(&pool, &clock, 0, ms(100));
    }
    let score = scores(&pool)[0];
    assert!((8.0..13.0).contains(&score), "{score}");
}

#[test]
fn an_endpoint_where_requests_wait_in_silence_is_as_slow_as_the_silence_is_long() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..100 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    }
    // A response every 20 ms: silence counts from 480 ms on.
    let waiting = lease_on(&pool, 0);
    clock.advance(ms(470));
    let [silent, other] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((silent / other - 2.0).abs() < 1e-9, "one request waits: {silent} and {other}");
    clock.advance(ms(20));
    let [silent, _] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((silent / 980.0 - 1.0).abs() < 0.01, "two times 490 ms: {silent}");
    drop(waiting);
}

#[test]
fn silence_begins_when_the_first_request_begins_to_wait() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..100 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    }
    clock.advance(ms(60_000));
    let waiting = lease_on(&pool, 0);
    clock.advance(ms(100));
    let [silent, other] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!(silent <= 2.0 * other + 1e-9, "{silent} and {other}");
    drop(waiting);
}

#[test]
fn a_response_ends_the_silence() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..100 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    }
    let (one, other) = (lease_on(&pool, 0), lease_on(&pool, 0));
    clock.advance(ms(1_000));
    assert!(scores(&pool)[0] > 2_000.0);
    one.finish(Verdict::Success);
    assert!(scores(&pool)[0] < 50.0, "{:?}", scores(&pool));
    drop(other);
}

#[test]
fn a_request_that_is_given_up_does_not_end_the_silence() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..100 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(10)));
    }
    let [early, _late] = [0, 0].map(|at| lease_on(&pool, at));
    clock.advance(ms(470));
    drop(early);
    clock.advance(ms(20));
    let [silent, _] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((silent / 980.0 - 1.0).abs() < 0.01, "two times 490 ms: {silent}");
}

#[test]
fn a_slow_endpoint_costs_ten_times_as_much_as_a_fast_one_at_most() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    answer(&pool, &clock, 1, ms(10));
    answer(&pool, &clock, 0, ms(5_000));
    let [slow, fast] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((slow / fast - 10.0).abs() < 1e-9, "{slow} and {fast}");
}

#[test]
fn a_new_endpoint_is_as_good_as_the_best() {
    let (pool, clock) = clocked(LogEwma::new(), &[1; 3], SEED);
    for _ in 0..20 {
        (0..3).for_each(|at| answer(&pool, &clock, at, ms(10)));
    }
    add(&pool, 3);
    let share = share_of(&pool, 3, 4_000);
    assert!((0.2..0.3).contains(&share), "{share}");
}

#[test]
fn a_request_given_up_in_silence_raises_the_estimate_to_its_waiting_time() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..20 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(100)));
    }
    let lease = lease_on(&pool, 0);
    clock.advance(ms(900));
    drop(lease);
    let score = scores(&pool)[0];
    // A response every 200 ms.
    let load = 1.0 + 900.0 / 200.0;
    assert!((score / (900.0 / load) - 1.0).abs() < 0.01, "{score}");
}

#[test]
fn of_two_requests_given_up_in_silence_the_longer_waiting_time_counts() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..20 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(100)));
    }
    let [early, late] = [0, 0].map(|at| lease_on(&pool, at));
    clock.advance(ms(300));
    drop(early);
    clock.advance(ms(600));
    drop(late);
    let score = scores(&pool)[0];
    // A response every 200 ms.
    let load = 1.0 + 900.0 / 200.0;
    assert!((score / (900.0 / load) - 1.0).abs() < 0.01, "{score}");
}

#[test]
fn a_request_given_up_while_others_are_answered_is_one_slow_response() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..20 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(100)));
    }
    let lease = lease_on(&pool, 0);
    for _ in 0..4 {
        (0..2).for_each(|at| answer(&pool, &clock, at, ms(100)));
    }
    drop(lease);
    let [given_up, other] = scores(&pool)[..] else { panic!("two endpoints") };
    assert!((given_up / other - 1.0).abs() < 1e-9, "{given_up} and {other}");
}

#[test]
fn a_request_given_up_at_once_does_not_renew_a_faded_estimate() {
    let (pool, clock) = clocked(LogEwma::new(), &[1, 1], SEED);
    for _ in 0..20 {
        answer(&pool, &clock, 0, ms(100));
        answer(&pool, &clock, 1, ms(20));
    }
    clock.advance(ms(20_000));
    answer(&pool, &clock, 1, ms(20));
    let before = scores(&pool)[0];
    drop(lease_on(&pool, 0));
    assert!((scores(&pool)[0] / before - 1.0).abs() < 1e-3, "{before} and {:?}", scores(&pool));
}

#[test]
fn the_usual_load_of_an_endpoint_counts_once() {
    let (pool, clock) = clocked(LogEwma::new(), &[1], SEED);
    // The endpoint has ten requests at a time, and responds to one of them every 10 ms, after 100 ms.
    let mut waiting: VecDeque<_> = (0..10).map(|_| lease_on(&pool, 0)).collect();
    for _ in 0..500 {
        clock.advance(ms(10));
        waiting.push_back(lease_on(&pool, 0));
        waiting.pop_front().expect("ten requests").finish(Verdict::Success);
    }
    let score = scores(&pool)[0];
    assert!((score / 100.0 - 1.0).abs() < 0.05, "the latency, and not eleven times the latency: {score}");
}

#[test]
fn a_response_with_a_slightly_earlier_time_comes_at_the_time_of_the_last_one() {
    // The clock reads `back` less than at the last response, and the responses before took 1 ms.
    let score_after = |back: Duration| {
        let (pool, clock) = clocked(LogEwma::new(), &[1], SEED);
        (0..100).for_each(|_| answer(&pool, &clock, 0, ms(1)));
        let late = lease_on(&pool, 0);
        clock.advance(ms(100));
        answer(&pool, &clock, 0, ms(1));
        let before = scores(&pool)[0];
        clock.set(Timestamp::from_nanos(ms(201).saturating_sub(back).as_nanos() as u64));
        late.finish(Verdict::Success);
        // The late request no longer waits.
        (before / 2.0, scores(&pool)[0])
    };
    for back in [0, 5, 900] {
        let (before, after) = score_after(Duration::from_micros(back));
        assert_eq!(before, after, "{back} µs earlier");
    }
    let (before, after) = score_after(ms(2));
    assert!(after > 1.02 * before, "the clock was set back: {before} and {after}");
}

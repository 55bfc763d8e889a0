//! Abandoned requests: the latency of the endpoint counts as at least the time that the request has waited.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use equipoise_core::{
    AnyStrategy, Entropy, Lease, LeastTime, PeakEwma, PickRequest, Pool, Rendezvous, SeededEntropy, SlowStart,
    Timestamp, Verdict,
};

use crate::common::{at, clocked, id, pick};

const SEED: u64 = 0x91f;

const USUAL: Duration = Duration::from_millis(10);

/// Returns the share of the requests that the first of four endpoints gets. It responds after a second. If `answers` is
/// false, it never responds, and its requests are given up after a second. The share is measured over five minutes,
/// after a minute of warm-up.
fn share_of_the_first(strategy: AnyStrategy, rate: f64, answers: bool) -> f64 {
    let (pool, clock) = clocked(strategy, &[1; 4], SEED);
    let chance = SeededEntropy::new(SEED);
    let mut under_way: BTreeMap<Reverse<(Timestamp, u32)>, Lease<()>> = BTreeMap::new();
    let (mut time, mut first, mut all) = (Timestamp::ZERO, 0, 0);
    let end = |lease: Lease<()>| if at(&lease) != 0 || answers { lease.finish(Verdict::Success) } else { drop(lease) };
    for number in 0.. {
        let unit = (chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        time = time + Duration::from_secs_f64(-(1.0 - unit).ln() / rate);
        if time.since(Timestamp::ZERO) > Duration::from_secs(360) {
            break;
        }
        while let Some(ended) = under_way.last_entry().filter(|entry| entry.key().0.0 <= time) {
            clock.set(ended.key().0.0);
            end(ended.remove());
        }
        clock.set(time);
        let lease = pick(&pool);
        if time.since(Timestamp::ZERO) > Duration::from_secs(60) {
            all += 1;
            first += u32::from(at(&lease) == 0);
        }
        let takes = if at(&lease) == 0 { Duration::from_secs(1) } else { USUAL };
        under_way.insert(Reverse((time + takes, number)), lease);
    }
    f64::from(first) / f64::from(all)
}

#[test]
fn an_endpoint_that_never_answers_gets_what_one_gets_that_answers_when_requests_are_given_up() {
    let strategies = || [AnyStrategy::new(PeakEwma::new()), AnyStrategy::new(SlowStart::new(PeakEwma::new()))];
    for rate in [1.0, 10.0] {
        for (silent, slow) in strategies().into_iter().zip(strategies()) {
            let silent = share_of_the_first(silent, rate, false);
            let slow = share_of_the_first(slow, rate, true);
            let spread = 4.0 * (slow.max(0.001) / (300.0 * rate)).sqrt();
            assert!((silent - slow).abs() <= spread, "{silent}, and {slow} where it answers, at {rate}/s");
        }
    }
}

#[test]
fn least_time_counts_a_request_given_up_as_an_answer_after_that_time() {
    for rate in [1.0, 10.0] {
        let silent = share_of_the_first(AnyStrategy::new(LeastTime::new()), rate, false);
        let slow = share_of_the_first(AnyStrategy::new(LeastTime::new()), rate, true);
        let spread = 4.0 * (slow.max(0.001) / (300.0 * rate)).sqrt();
        assert!((silent - slow).abs() <= spread, "{silent}, and {slow} where it answers, at {rate}/s");
    }
}

fn measuring() -> [AnyStrategy; 2] {
    [AnyStrategy::new(PeakEwma::new()), AnyStrategy::new(LeastTime::new())]
}

/// Returns the scores of both endpoints in an explanation.
fn scores(pool: &Pool<()>) -> [f64; 2] {
    let candidates = pool.explain(&PickRequest::new()).candidates;
    [0, 1].map(|at| candidates[at].score.expect("compared"))
}

#[test]
fn hanging_up_before_the_usual_latency_changes_nothing() {
    for strategy in measuring() {
        let (pool, clock) = clocked(strategy.clone(), &[1, 1], SEED);
        let to = |index: usize, time: Duration, answers: bool| {
            let bound = id(index);
            let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
            clock.advance(time);
            if answers { lease.finish(Verdict::Success) } else { drop(lease) }
        };
        (0..20).for_each(|turn| to(turn % 2, USUAL, true));
        let before = scores(&pool);
        (0..20).for_each(|_| to(0, Duration::from_millis(5), false));
        assert_eq!(scores(&pool), before, "{strategy:?}");
        let picked = (0..1000).filter(|_| at(&pick(&pool)) == 0).count();
        assert!((430..570).contains(&picked), "{picked} of 1000, {strategy:?}");
    }
}

#[test]
fn hanging_up_on_an_endpoint_without_answers_makes_it_neither_better_nor_worse() {
    for strategy in measuring() {
        let (pool, clock) = clocked(strategy.clone(), &[1, 1], SEED);
        let [first, second] = [id(0), id(1)];
        let lease = pool.pick(&PickRequest::new().prefer(&second)).expect("up");
        clock.advance(USUAL);
        lease.finish(Verdict::Success);
        for _ in 0..20 {
            let lease = pool.pick(&PickRequest::new().prefer(&first)).expect("up");
            clock.advance(Duration::from_millis(5));
            drop(lease);
        }
        let [one, other] = scores(&pool);
        assert_eq!(one, other, "{strategy:?}");
    }
}

#[test]
fn a_first_byte_or_a_neutral_verdict_is_no_request_given_up() {
    for strategy in measuring() {
        let (pool, clock) = clocked(strategy.clone(), &[1, 1], SEED);
        let first = id(0);
        let mut lease = pool.pick(&PickRequest::new().prefer(&first)).expect("up");
        clock.advance(USUAL);
        lease.first_byte();
        clock.advance(Duration::from_secs(60));
        drop(lease);
        let mut lease = pool.pick(&PickRequest::new().prefer(&first)).expect("up");
        clock.advance(Duration::from_secs(60));
        lease.record(Verdict::Neutral);
        drop(lease);
        let [one, other] = scores(&pool);
        assert!(one <= other, "{one} and {other}, {strategy:?}");
    }
}

#[test]
fn a_fallback_hears_of_requests_given_up() {
    let (pool, clock) = clocked(Rendezvous::new().fallback(PeakEwma::new()), &[1, 1], SEED);
    for answers in [true, false] {
        for index in [0, 1] {
            let bound = id(index);
            let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
            let hangs = index == 0 && !answers;
            clock.advance(if hangs { Duration::from_secs(1) } else { USUAL });
            if hangs { drop(lease) } else { lease.finish(Verdict::Success) }
        }
    }
    assert!((0..100).all(|_| {
        let lease = pick(&pool);
        clock.advance(USUAL);
        let index = at(&lease);
        lease.finish(Verdict::Success);
        index == 1
    }));
}

#[test]
fn a_request_given_up_never_lowers_an_average_that_has_halved_while_a_stream_was_open() {
    let (pool, clock) = clocked(LeastTime::new(), &[1, 1], SEED);
    let preferred = id(0);
    let to_first = || pool.pick(&PickRequest::new().prefer(&preferred)).expect("up");
    let lease = to_first();
    clock.advance(USUAL * 10);
    lease.finish(Verdict::Success);
    let _stream = to_first();
    clock.advance(Duration::from_secs(30));
    let score = || pool.explain(&PickRequest::new()).candidates[0].score.expect("compared");
    for waited in [20, 60, 99] {
        let before = score();
        let lease = to_first();
        clock.advance(Duration::from_millis(waited));
        drop(lease);
        assert_eq!(score(), before, "after {waited} ms");
    }
    let before = score();
    let lease = to_first();
    clock.advance(USUAL * 100);
    drop(lease);
    assert!(score() >= before, "after a longer wait than the average");
}

//! Averages of Peak-EWMA fade: an endpoint is always tried again, and a new one gets neither too few nor too many
//! requests.

use std::time::Duration;

use equipoise_core::{PeakEwma, PickRequest, Verdict};

use crate::{
    common::{at, clocked, id, pick, spec, specs},
    sim::{Sim, after_a_stall, serve},
};

const SEED: u64 = 0xfade;

const FAST: Duration = Duration::from_millis(10);

#[test]
fn an_endpoint_shunned_for_one_stall_is_tried_again_and_then_back() {
    for weights in [&[1, 1][..], &[1, 1, 1], &[2, 1], &[1; 10]] {
        let [soon, _, then] = after_a_stall(PeakEwma::new(), weights, [20, 100, 100], SEED);
        assert!(soon > 0.0, "not tried within eight fading times, weights {weights:?}");
        let due = f64::from(weights[0]) / f64::from(weights.iter().sum::<u32>());
        assert!(then > due * 0.9, "{then} where {due} is due, weights {weights:?}");
    }
}

#[test]
fn sequential_traffic_reaches_every_endpoint_though_latencies_differ() {
    for weights in [&[1, 1][..], &[1; 5], &[3, 1, 1]] {
        let (pool, clock) = clocked(PeakEwma::new(), weights, SEED);
        let mut last = vec![0; weights.len()];
        for turn in 0..60_000 {
            let time = |index| if index == 0 { FAST * 3 } else { FAST };
            last[serve(&pool, &clock, time)] = turn;
        }
        assert!(last.iter().all(|&turn| turn > 50_000), "last served at {last:?}, weights {weights:?}");
    }
}

#[test]
fn the_shunned_are_tried_by_one_request_and_not_by_a_flood() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1; 3], SEED);
    let bound = id(0);
    let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
    clock.advance(Duration::from_secs(5));
    lease.finish(Verdict::Success);
    for _ in 0..50 {
        serve(&pool, &clock, |_| FAST);
    }
    clock.advance(Duration::from_secs(60));
    let burst: Vec<_> = (0..9).map(|_| pick(&pool)).collect();
    let first = burst.iter().filter(|lease| at(lease) == 0).count();
    assert!((1..=5).contains(&first), "{first} of 9");
}

/// A strategy whose averages never fade, so that an idle endpoint comes back only by probes.
fn unfading() -> PeakEwma {
    PeakEwma::new().fade(Duration::MAX).expect("it is long enough")
}

#[test]
fn probes_of_a_slow_endpoint_cost_the_same_however_slow_it_is() {
    for n in [2, 3, 5, 20] {
        for slowness in [10, 100, 1000] {
            let (pool, clock) = clocked(unfading(), &vec![1; n], SEED);
            let time = |index| if index == 0 { FAST * slowness } else { FAST };
            (0..1000).for_each(|_| _ = serve(&pool, &clock, time));
            let picks = 1_000_000 / slowness;
            let tried = (0..100_000.max(picks)).filter(|_| serve(&pool, &clock, time) == 0).count() as f64;
            let part = tried * f64::from(slowness - 1) / f64::from(100_000.max(picks));
            // The expected cost is the constant for curiosity and noise, times the part 2/n of all comparisons that
            // contain the endpoint. The limit allows for random variation.
            let due = 0.15 * 2.0 / n as f64;
            let spread = 4.0 * (f64::from(slowness) / f64::from(100_000.max(picks)) / due).sqrt();
            assert!((part / due - 1.0).abs() < 0.15 + spread, "{part} where {due} is due, {n} endpoints, × {slowness}");
        }
    }
}

#[test]
fn fast_responses_to_probes_bring_an_endpoint_back() {
    for weights in [&[1, 1][..], &[1, 1, 1], &[2, 1, 1], &[1; 10]] {
        let (pool, clock) = clocked(unfading(), weights, SEED);
        let bound = id(0);
        let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
        clock.advance(Duration::from_secs(1));
        lease.finish(Verdict::Success);
        // The mean number of picks until the first probe is 1 / (0.15 × 2/n × 1/100). This is 3300 for ten endpoints.
        (0..30_000).for_each(|_| _ = serve(&pool, &clock, |_| FAST));
        let share = (0..10_000).filter(|_| serve(&pool, &clock, |_| FAST) == 0).count() as f64 / 1e4;
        let due = f64::from(weights[0]) / f64::from(weights.iter().sum::<u32>());
        assert!((share / due - 1.0).abs() < 0.1, "{share} where {due} is due, weights {weights:?}");
    }
}

#[test]
fn one_fast_response_to_a_probe_draws_no_burst() {
    for seed in SEED..SEED + 20 {
        let (pool, clock) = clocked(unfading(), &[1; 5], seed);
        let bound = id(0);
        let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
        clock.advance(Duration::from_secs(2));
        lease.finish(Verdict::Success);
        assert!((0..1_000_000).any(|_| serve(&pool, &clock, |_| FAST) == 0), "never tried");
        let burst: Vec<_> = (0..20).map(|_| pick(&pool)).collect();
        let first = burst.iter().filter(|lease| at(lease) == 0).count();
        assert!(first <= 4, "{first} of 20");
    }
}

#[test]
fn an_explanation_probes_no_endpoint() {
    let (pool, clock) = clocked(unfading(), &[1, 1], SEED);
    let bound = id(0);
    let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
    clock.advance(Duration::from_secs(1));
    lease.finish(Verdict::Success);
    serve(&pool, &clock, |_| FAST);
    let score = || pool.explain(&PickRequest::new()).candidates[0].score.expect("compared");
    let before = score();
    for _ in 0..10_000 {
        score();
    }
    let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("up");
    clock.advance(FAST);
    lease.finish(Verdict::Success);
    // The response to a probe would have reduced the average to a tenth. Any other response reduces it by 1 %.
    let left = score() / before;
    assert!((0.98..1.0).contains(&left), "{left}");
}

#[test]
fn a_new_endpoint_is_neither_starved_nor_flooded() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1; 4], SEED);
    let all = [0.01; 5];
    let sim = Sim { pool: &pool, clock: &clock, service: &all, gap: 0.003, failing: None, seed: SEED };
    sim.run(2_000);
    pool.add(spec(4), ()).expect("a new id");
    let counts = Sim { seed: SEED + 1, ..sim }.run(400);
    let new_endpoint = f64::from(counts[4]) / 400.0;
    assert!((0.1..=0.4).contains(&new_endpoint), "{new_endpoint} of {counts:?}");
}

#[test]
fn the_first_burst_after_an_endpoint_is_added_spreads() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1; 4], SEED);
    for _ in 0..100 {
        serve(&pool, &clock, |_| FAST);
    }
    pool.add(spec(4), ()).expect("a new id");
    let burst: Vec<_> = (0..50).map(|_| pick(&pool)).collect();
    let new_endpoint = burst.iter().filter(|lease| at(lease) == 4).count();
    assert!((5..=20).contains(&new_endpoint), "{new_endpoint} of 50");
}

#[test]
fn a_new_weighted_endpoint_is_neither_starved_nor_flooded() {
    let (pool, clock) = clocked(PeakEwma::new(), &[2, 4, 4], SEED);
    for _ in 0..200 {
        serve(&pool, &clock, |_| FAST);
    }
    let mut all = specs(&[2, 4, 4, 10]);
    all[3] = spec(3).weight(10);
    pool.update(all, |_| ()).expect("valid specs");
    let new_endpoint = (0..2000).filter(|_| serve(&pool, &clock, |_| FAST) == 3).count();
    assert!((850..1150).contains(&new_endpoint), "{new_endpoint} of 2000");
}

#[test]
fn memory_survives_updates() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1; 3], SEED);
    for _ in 0..300 {
        serve(&pool, &clock, |index| if index == 0 { FAST * 100 } else { FAST });
    }
    pool.update(specs(&[1; 4]), |_| ()).expect("valid specs");
    pool.update(specs(&[1; 3]), |_| ()).expect("valid specs");
    let slow = (0..100).filter(|_| at(&pick(&pool)) == 0).count();
    assert_eq!(slow, 0);
}

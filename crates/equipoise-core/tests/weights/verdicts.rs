//! The effect of failures and of `Retry-After` on the shares.

use std::time::Duration;

use equipoise_core::{Failure, PeakEwma, Verdict};

use crate::{
    common::{at, clocked, pick},
    shares::share,
    sim::{Sim, serve},
};

const SEED: u64 = 0xfa11;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn an_endpoint_that_fails_fast_draws_no_more_than_its_share() {
    let mut service = [0.01; 10];
    service[4] = 0.0001;
    let (pool, clock) = clocked(PeakEwma::new(), &[1; 10], SEED);
    let sim = Sim { pool: &pool, clock: &clock, service: &service, gap: 0.002, failing: Some(4), seed: SEED };
    let share = share(&sim.run(20_000), 4);
    assert!(0.0 < share && share <= 0.1, "{share}");
}

#[test]
fn an_endpoint_that_fails_fast_draws_no_more_than_its_share_where_weights_differ() {
    let weights: Vec<u32> = (0..10).map(|at| 1 + at % 2).collect();
    let mut service = [0.01; 10];
    service[4] = 0.0001;
    let (pool, clock) = clocked(PeakEwma::new(), &weights, SEED);
    let sim = Sim { pool: &pool, clock: &clock, service: &service, gap: 0.002, failing: Some(4), seed: SEED };
    let share = share(&sim.run(20_000), 4);
    assert!(0.0 < share && share <= 1.0 / 15.0, "{share}");
}

#[test]
fn an_endpoint_that_asks_for_a_pause_gets_it() {
    for (weights, most) in [(&[1, 1, 1][..], 0), (&[2, 1, 1], 40)] {
        let (pool, clock) = clocked(PeakEwma::new(), weights, SEED);
        for _ in 0..100 {
            serve(&pool, &clock, |_| MILLISECOND);
        }
        let asks = loop {
            let lease = pick(&pool);
            if at(&lease) == 0 {
                break lease;
            }
        };
        asks.finish(Verdict::Overloaded { retry_after: Some(Duration::from_secs(20)) });
        let during = (0..19_000).filter(|_| serve(&pool, &clock, |_| MILLISECOND) == 0).count();
        assert!(during <= most, "{during} of 19000 within the pause, weights {weights:?}");
        clock.advance(Duration::from_secs(60));
        let after = (0..1000).filter(|_| serve(&pool, &clock, |_| MILLISECOND) == 0).count();
        assert!(after > 200, "{after} of 1000 after the pause, weights {weights:?}");
    }
}

#[test]
fn a_pause_is_capped_at_five_minutes() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 1], SEED);
    let lease = pick(&pool);
    let asks = at(&lease);
    lease.finish(Verdict::Overloaded { retry_after: Some(Duration::MAX) });
    clock.advance(Duration::from_secs(299));
    assert!((0..500).all(|_| serve(&pool, &clock, |_| MILLISECOND) != asks));
    clock.advance(Duration::from_secs(60));
    assert!((0..500).any(|_| serve(&pool, &clock, |_| MILLISECOND) == asks));
}

#[test]
fn a_success_does_not_end_a_pause() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 1], SEED);
    let (one, other) = (pick(&pool), pick(&pool));
    let asks = at(&one);
    let late = equipoise_core::PickRequest::new();
    let id = crate::common::id(asks);
    let late = pool.pick(&late.prefer(&id)).expect("up");
    one.finish(Verdict::Overloaded { retry_after: Some(Duration::from_secs(30)) });
    late.finish(Verdict::Success);
    other.finish(Verdict::Success);
    assert!((0..1000).all(|_| serve(&pool, &clock, |_| MILLISECOND) != asks));
}

#[test]
fn a_request_cancelled_before_the_usual_latency_says_nothing() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 1], SEED);
    for _ in 0..200 {
        serve(&pool, &clock, |_| MILLISECOND * 10);
    }
    for _ in 0..200 {
        let lease = pick(&pool);
        clock.advance(if at(&lease) == 0 { MILLISECOND * 9 } else { MILLISECOND });
        drop(lease);
    }
    let first = (0..2000).filter(|_| at(&pick(&pool)) == 0).count();
    assert!((900..1100).contains(&first), "{first} of 2000");
}

#[test]
fn neutral_verdicts_take_no_latency() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 1], SEED);
    for _ in 0..200 {
        let lease = pick(&pool);
        clock.advance(if at(&lease) == 0 { Duration::from_secs(9) } else { MILLISECOND });
        lease.finish(Verdict::Neutral);
    }
    let first = (0..2000).filter(|_| at(&pick(&pool)) == 0).count();
    assert!((900..1100).contains(&first), "{first} of 2000");
}

#[test]
fn recovery_follows_success() {
    let (pool, clock) = clocked(PeakEwma::new(), &[1, 1, 1], SEED);
    for _ in 0..60 {
        let lease = pick(&pool);
        clock.advance(MILLISECOND);
        let broken = at(&lease) == 2;
        lease.finish(if broken { Verdict::Failure(Failure::Gateway) } else { Verdict::Success });
    }
    clock.advance(Duration::from_secs(30));
    let healed = (0..3000).filter(|_| serve(&pool, &clock, |_| MILLISECOND) == 2).count();
    assert!((900..1100).contains(&healed), "{healed} of 3000");
}

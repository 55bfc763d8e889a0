use std::time::Duration;

use equipoise_core::{AnyStrategy, Maglev, P2c, PeakEwma, Rendezvous, RoundRobin, Verdict};

use crate::{
    common::{at, clocked, pick, pool_of},
    keys::{SEED, keys, owner, placements},
};

#[test]
fn a_request_without_a_key_is_placed_at_random_by_default() {
    for (name, strategy) in placements() {
        let pool = pool_of(strategy, &[1, 3], SEED);
        let second = (0..4_000).filter(|_| at(&pick(&pool)) == 1).count();
        assert!((2_880..3_120).contains(&second), "{name}: {second}");
    }
}

#[test]
fn the_fallback_takes_its_turns_whatever_keys_do_meanwhile() {
    let pool = pool_of(Maglev::new().fallback(RoundRobin::new()), &[1; 3], SEED);
    let turns: Vec<usize> = keys(6, 50)
        .iter()
        .map(|key| {
            owner(&pool, key);
            at(&pick(&pool))
        })
        .collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn an_empty_key_is_a_key() {
    let pool = pool_of(Rendezvous::new(), &[1; 10], SEED);
    let first = owner(&pool, b"");
    assert!((0..50).all(|_| owner(&pool, b"") == first));
}

#[test]
fn a_fallback_learns_also_from_requests_with_a_key() {
    for fallback in [AnyStrategy::new(PeakEwma::new()), AnyStrategy::new(Maglev::new().fallback(PeakEwma::new()))] {
        let (pool, clock) = clocked(Maglev::new().fallback(fallback), &[1; 2], SEED);
        for key in keys(200, 51) {
            let lease = crate::keys::lease(&pool, &key);
            clock.advance(if at(&lease) == 0 { Duration::from_secs(1) } else { Duration::from_millis(1) });
            lease.finish(Verdict::Success);
        }
        let fast = (0..100).filter(|_| at(&pick(&pool)) == 1).count();
        assert_eq!(fast, 100, "the other is a thousand times slower");
    }
}

#[test]
fn a_fallback_keeps_its_memory_over_updates() {
    let (pool, clock) = clocked(Maglev::new().fallback(PeakEwma::new()), &[1; 2], SEED);
    for _ in 0..20 {
        let lease = pick(&pool);
        clock.advance(if at(&lease) == 0 { Duration::from_millis(500) } else { Duration::from_millis(1) });
        lease.finish(Verdict::Success);
    }
    pool.set_weight(crate::common::id(1), 2).expect("a member");
    let fast = (0..100).filter(|_| at(&pick(&pool)) == 1).count();
    assert_eq!(fast, 100);
}

#[test]
fn load_counts_for_a_fallback_that_looks_at_it() {
    let pool = pool_of(Maglev::new().fallback(P2c::new()), &[1; 2], SEED);
    let held = crate::keys::lease(&pool, b"key");
    assert_ne!(at(&pick(&pool)), at(&held));
}

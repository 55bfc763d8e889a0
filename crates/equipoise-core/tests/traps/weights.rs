//! Weights of zero, of zero for all endpoints, and very large weights.

use equipoise_core::{InvalidSpec, MAX_WEIGHT, PickError, Pool, RoundRobin, UpdateError};

use crate::{
    common::{at, id, pick, pool_of, spec, specs},
    strategies,
};

const SEED: u64 = 0x3e16;

#[test]
fn weight_zero_gets_no_work() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 0, 2], SEED);
        assert!((0..500).all(|_| at(&pick(&pool)) != 1));
    }
}

#[test]
fn all_weights_zero_are_refused_and_nothing_changes() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1], SEED);
        let before = (pool.revision(), pool.endpoints());
        let error = pool.update(specs(&[0, 0, 0]), |_| ()).unwrap_err();
        assert_eq!(error, UpdateError::Invalid(InvalidSpec::NoWeight { count: 3 }));
        pool.set_weight("e0", 0).unwrap();
        pool.set_weight("e0", 1).unwrap();
        assert_eq!(pool.endpoints(), before.1);
    }
}

#[test]
fn the_last_weight_cannot_be_taken_away() {
    let pool = pool_of(RoundRobin::new(), &[1, 0], SEED);
    let refused = Err(UpdateError::Invalid(InvalidSpec::NoWeight { count: 2 }));
    assert_eq!(pool.set_weight("e0", 0), refused);
    assert_eq!(pool.remove("e0"), Err(UpdateError::Invalid(InvalidSpec::NoWeight { count: 1 })));
    assert_eq!(at(&pick(&pool)), 0);
}

#[test]
fn the_largest_weight_is_taken_and_one_more_is_not() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::new(strategy);
        pool.update([spec(0).weight(MAX_WEIGHT), spec(1).weight(MAX_WEIGHT - 1)], |_| ()).unwrap();
        drop(pick(&pool));
        let refused = InvalidSpec::Weight { id: id(0), weight: MAX_WEIGHT + 1 };
        assert_eq!(pool.set_weight("e0", MAX_WEIGHT + 1), Err(UpdateError::Invalid(refused)));
        assert!(pool.set_weight("e0", u32::MAX).is_err());
    }
}

#[test]
fn a_thousand_of_the_largest_weight_overflow_nothing() {
    for strategy in strategies() {
        let weights: Vec<u32> = (0..1000).map(|at| MAX_WEIGHT - at % 2).collect();
        let pool = pool_of(strategy, &weights, SEED);
        for _ in 0..100 {
            drop(pick(&pool));
        }
    }
}

#[test]
fn closing_the_only_weight_is_an_error_of_the_pick() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[3, 0], SEED);
        pool.drain("e0").unwrap();
        let error = pool.pick(&equipoise_core::PickRequest::new()).unwrap_err();
        assert_eq!(error, PickError::Unavailable { members: 2 });
        assert!(error.is_temporary());
    }
}

//! An empty pool and a pool of one.

use equipoise_core::{Availability, PickError, PickRequest, Pool};

use crate::{
    common::{at, id, in_flight, pick, pool_of, spec},
    strategies,
};

const SEED: u64 = 1;

#[test]
fn an_empty_pool_says_so() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::new(strategy);
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Empty);
        assert_eq!(pool.explain(&PickRequest::new()).picked, Err(PickError::Empty));
        assert!(pool.endpoints().is_empty());
        assert!(pool.update([], |_| ()).unwrap().is_empty());
    }
}

#[test]
fn a_pool_can_be_emptied_and_filled_again() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 2], SEED);
        let lease = pick(&pool);
        pool.update([], |_| ()).unwrap();
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Empty);
        pool.add(spec(0), ()).unwrap();
        assert_eq!(at(&pick(&pool)), 0);
        drop(lease);
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[test]
fn a_pool_of_one_serves_every_request() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[7], SEED);
        let leases: Vec<_> = (0..50).map(|_| pick(&pool)).collect();
        assert!(leases.iter().all(|lease| !lease.has_alternatives()));
        assert_eq!(in_flight(&pool), [50]);
    }
}

#[test]
fn a_pool_of_one_serves_again_after_failures() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        for _ in 0..100 {
            pick(&pool).finish(equipoise_core::Verdict::Failure(equipoise_core::Failure::Connect));
        }
        assert_eq!(at(&pick(&pool)), 0);
    }
}

#[test]
fn the_only_endpoint_excluded_or_in_maintenance_is_two_different_errors() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        let tried = [id(0)];
        assert_eq!(pool.pick(&PickRequest::new().exclude(&tried)).unwrap_err(), PickError::Excluded);
        pool.set_availability("e0", Availability::Maintenance).unwrap();
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Unavailable { members: 1 });
    }
}

#[test]
fn unknown_ids_may_be_excluded() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        let tried = [id(7), id(8)];
        assert!(pool.pick(&PickRequest::new().exclude(&tried)).is_ok());
    }
}

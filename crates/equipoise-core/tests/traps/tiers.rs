//! The backup tier gets requests only if no primary endpoint can be picked.

use equipoise_core::{Availability, EndpointId, PickError, PickRequest, Pool, Tier};

use crate::{
    common::{at, id, pick, spec},
    strategies,
};

/// Creates a pool with two primary endpoints that take one request each, and two backups.
fn pool(strategy: equipoise_core::AnyStrategy) -> Pool<()> {
    let pool = Pool::new(strategy);
    let backups = [2, 3].map(|at| spec(at).tier(Tier::BACKUP));
    pool.update([0, 1].map(|at| spec(at).max_in_flight(1)).into_iter().chain(backups), |_| ()).expect("valid");
    pool
}

#[test]
fn backups_idle_while_a_primary_can_be_picked() {
    for strategy in strategies() {
        let pool = pool(strategy);
        assert!((0..100).all(|_| at(&pick(&pool)) < 2));
        pool.set_availability("e0", Availability::Maintenance).expect("valid");
        assert!((0..100).all(|_| at(&pick(&pool)) == 1));
    }
}

#[test]
fn backups_serve_when_all_primaries_are_in_maintenance_or_draining() {
    for strategy in strategies() {
        let pool = pool(strategy);
        pool.set_availability("e0", Availability::Maintenance).expect("valid");
        pool.drain("e1").expect("valid");
        assert!((0..100).all(|_| at(&pick(&pool)) >= 2));
        pool.set_availability("e1", Availability::Up).expect("valid");
        assert_eq!(at(&pick(&pool)), 1);
    }
}

#[test]
fn backups_serve_a_request_that_excludes_all_primaries() {
    for strategy in strategies() {
        let pool = pool(strategy);
        let tried: Vec<EndpointId> = [0, 1, 2].map(id).into();
        assert_eq!(at(&pool.pick(&PickRequest::new().exclude(&tried)).expect("valid")), 3);
        let all: Vec<EndpointId> = (0..4).map(id).collect();
        assert_eq!(pool.pick(&PickRequest::new().exclude(&all)).unwrap_err(), PickError::Excluded);
    }
}

#[test]
fn backups_serve_when_all_primaries_are_full() {
    for strategy in strategies() {
        let pool = pool(strategy);
        let full = [pick(&pool), pick(&pool)];
        assert!(full.iter().all(|lease| at(lease) < 2));
        assert!((0..20).all(|_| at(&pick(&pool)) >= 2));
        drop(full);
        assert!(at(&pick(&pool)) < 2);
    }
}

#[test]
fn primaries_of_weight_zero_do_not_hold_backups_back() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::new(strategy);
        pool.update([spec(0).weight(0), spec(1).tier(Tier::new(200))], |_| ()).expect("valid");
        assert_eq!(at(&pick(&pool)), 1);
    }
}

#[test]
fn full_and_excluded_together_read_as_saturated() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::new(strategy);
        pool.update([0, 1].map(|at| spec(at).max_in_flight(1)), |_| ()).expect("valid");
        let bound = id(0);
        let _full = pool.pick(&PickRequest::new().prefer(&bound)).expect("valid");
        let tried = [id(1)];
        assert_eq!(pool.pick(&PickRequest::new().exclude(&tried)).unwrap_err(), PickError::Saturated);
    }
}

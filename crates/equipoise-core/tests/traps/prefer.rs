//! Preferred endpoints, and each reason why a preferred endpoint is not picked.

use equipoise_core::{Availability, PickError, PickRequest};

use crate::{
    common::{at, id, in_flight, pool_of, spec},
    strategies,
};

const SEED: u64 = 3;

#[test]
fn endpoints_that_are_up_draining_or_weightless_are_honoured_and_one_in_maintenance_is_not() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1, 1, 0], SEED);
        pool.set_availability("e1", Availability::Draining).unwrap();
        pool.set_availability("e2", Availability::Maintenance).unwrap();
        for _ in 0..20 {
            for (index, honoured) in [(0, true), (1, true), (2, false), (3, true)] {
                let bound = id(index);
                let lease = pool.pick(&PickRequest::new().prefer(&bound)).unwrap();
                assert_eq!(lease.is_preferred(), honoured);
                assert_eq!(at(&lease), if honoured { index } else { 0 });
            }
        }
    }
}

#[test]
fn exclusion_beats_preference() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1], SEED);
        let bound = id(0);
        let tried = [id(0)];
        let lease = pool.pick(&PickRequest::new().prefer(&bound).exclude(&tried)).unwrap();
        assert_eq!((at(&lease), lease.is_preferred()), (1, false));
    }
}

#[test]
fn a_full_one_is_not_honoured() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1], SEED);
        pool.update([spec(0).max_in_flight(1), spec(1)], |_| ()).unwrap();
        let bound = id(0);
        let request = PickRequest::new().prefer(&bound);
        let first = pool.pick(&request).unwrap();
        let second = pool.pick(&request).unwrap();
        assert_eq!((at(&first), at(&second)), (0, 1));
        assert!(first.is_preferred() && !second.is_preferred());
        drop(first);
        assert!(pool.pick(&request).unwrap().is_preferred());
    }
}

#[test]
fn an_unknown_one_is_not_missed() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1], SEED);
        let bound = id(9);
        assert!(!pool.pick(&PickRequest::new().prefer(&bound)).unwrap().is_preferred());
    }
}

#[test]
fn a_backup_is_honoured_while_primaries_are_there() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        pool.add(spec(1).tier(equipoise_core::Tier::BACKUP), ()).unwrap();
        let bound = id(1);
        assert_eq!(at(&pool.pick(&PickRequest::new().prefer(&bound)).unwrap()), 1);
    }
}

#[test]
fn the_only_endpoint_serves_only_its_own_requests_while_it_drains() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        pool.drain("e0").unwrap();
        let bound = id(0);
        let lease = pool.pick(&PickRequest::new().prefer(&bound)).unwrap();
        assert!(!lease.has_alternatives());
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Unavailable { members: 1 });
        assert_eq!(in_flight(&pool), [1]);
    }
}

#[test]
fn a_draining_one_among_two_has_an_alternative() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1], SEED);
        pool.drain("e0").unwrap();
        let bound = id(0);
        assert!(pool.pick(&PickRequest::new().prefer(&bound)).unwrap().has_alternatives());
        assert!(!pool.pick(&PickRequest::new()).unwrap().has_alternatives());
    }
}

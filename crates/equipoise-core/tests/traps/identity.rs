//! Identity of endpoints: duplicate addresses, changed addresses, endpoints that leave while leased.

use equipoise_core::{Availability, EndpointId, EndpointSpec, PickRequest, Pool, RoundRobin, UpdateError};

use crate::{
    common::{at, in_flight, pick, pool_of, spec},
    strategies,
};

const SEED: u64 = 2;

#[test]
fn one_address_may_serve_under_several_ids() {
    for strategy in strategies() {
        let pool: Pool<u32> = Pool::new(strategy);
        let mut made = 0;
        let twins = ["a", "b"].map(|id| EndpointSpec::new("10.0.0.1:80").with_id(id));
        pool.update(twins, |_| {
            made += 1;
            made
        })
        .unwrap();
        let tried = [EndpointId::from("a")];
        let lease = pool.pick(&PickRequest::new().exclude(&tried)).unwrap();
        assert_eq!((lease.endpoint().id().as_str(), *lease.target()), ("b", 2));
        assert_eq!(in_flight(&pool), [0, 1]);
    }
}

#[test]
fn one_address_twice_without_ids_is_a_duplicate() {
    let pool: Pool<()> = Pool::default();
    let twins = ["10.0.0.1:80", "10.0.0.1:80"].map(EndpointSpec::new);
    assert!(matches!(pool.update(twins, |_| ()), Err(UpdateError::Invalid(_))));
    assert!(pool.endpoints().is_empty());
}

#[test]
fn a_lease_outlives_the_removal_of_its_endpoint() {
    for strategy in strategies() {
        let pool: Pool<String> = Pool::new(strategy);
        pool.update([spec(0), spec(1)], |spec| format!("to {}", spec.address())).unwrap();
        let bound = EndpointId::from("e0");
        let mut lease = pool.pick(&PickRequest::new().prefer(&bound)).unwrap();
        pool.remove("e0").unwrap();
        assert_eq!((lease.endpoint().address(), lease.target().as_str()), ("e0", "to e0"));
        lease.first_byte();
        lease.finish(equipoise_core::Verdict::Success);
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[test]
fn a_lease_outlives_its_pool() {
    let pool: Pool<String> = Pool::default();
    pool.add(spec(0), "client".to_owned()).unwrap();
    let lease = pick(&pool);
    drop(pool);
    assert_eq!(lease.target(), "client");
    lease.finish(equipoise_core::Verdict::Success);
}

#[test]
fn an_endpoint_that_gets_a_used_slot_does_not_inherit_its_load() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1], SEED);
        let leases: Vec<_> = (0..10).map(|_| pick(&pool)).collect();
        pool.update([spec(7), spec(8)], |_| ()).unwrap();
        assert_eq!(in_flight(&pool), [0, 0]);
        drop(leases);
        assert_eq!(in_flight(&pool), [0, 0]);
    }
}

#[test]
fn another_address_under_an_old_id_is_a_new_endpoint() {
    for strategy in strategies() {
        let pool: Pool<String> = Pool::new(strategy);
        let moved = |address: &str| EndpointSpec::new(address).with_id("db").max_in_flight(1);
        pool.update([moved("10.0.0.1:80")], |spec| spec.address().to_owned()).unwrap();
        let old = pick(&pool);
        pool.drain("db").unwrap();
        let changes = pool.update([moved("10.0.0.2:80")], |spec| spec.address().to_owned()).unwrap();
        assert_eq!(changes.replaced, [EndpointId::from("db")]);
        assert!(changes.added.is_empty() && changes.removed.is_empty() && changes.changed.is_empty());
        // The new endpoint is up and has free capacity, although the old endpoint drains and is full.
        let new = pick(&pool);
        assert_eq!((old.target().as_str(), new.target().as_str()), ("10.0.0.1:80", "10.0.0.2:80"));
        assert_eq!((old.endpoint().address(), new.endpoint().address()), ("10.0.0.1:80", "10.0.0.2:80"));
        drop(old);
        assert_eq!(in_flight(&pool), [1]);
    }
}

#[test]
fn one_that_leaves_and_returns_starts_anew() {
    let pool = pool_of(RoundRobin::new(), &[1, 1], SEED);
    let leases: Vec<_> = (0..4).map(|_| pick(&pool)).collect();
    pool.set_availability("e0", Availability::Maintenance).unwrap();
    pool.remove("e0").unwrap();
    pool.add(spec(0), ()).unwrap();
    assert_eq!(in_flight(&pool), [0, 2]);
    drop(leases);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[test]
fn the_order_of_an_update_does_not_affect_endpoints_that_stay() {
    let pool = pool_of(RoundRobin::new(), &[1, 1, 1], SEED);
    let before = pool.revision();
    let changes = pool.update([spec(2), spec(0), spec(1)], |_| panic!("no endpoint is new")).unwrap();
    assert!(changes.is_empty());
    assert_eq!(pool.revision(), before);
    assert_eq!((0..3).map(|_| at(&pick(&pool))).collect::<Vec<_>>(), [0, 1, 2]);
}

//! Weights and limits that were set at run time stay when specs change.

use equipoise_core::{
    AnyStrategy, BoundedLoad, Edf, FirstFit, InvalidSpec, Jump, LeastConnections, LeastTime, MAX_WEIGHT, Maglev, P2c,
    PickError, PickRequest, Pool, Rendezvous, Ring, RoundRobin, SlowStart, Subset, UpdateError, ZoneAware,
};
use futures::FutureExt;

use crate::{
    common::{at, id, pick, pool_of, spec},
    strategies,
};

const SEED: u64 = 17;

fn weights(pool: &Pool<()>) -> Vec<u32> {
    pool.endpoints().iter().map(|endpoint| endpoint.weight).collect()
}

#[test]
fn a_percentage_is_rounded_down_and_capped() {
    let pool = pool_of(P2c::new(), &[1, 3, 199, MAX_WEIGHT], SEED);
    for (percent, due) in [
        (99, [0, 2, 197, 990_000]),
        (50, [0, 1, 99, 500_000]),
        (0, [0, 0, 0, 0]),
        (200, [2, 6, 398, MAX_WEIGHT]),
        (u32::MAX, [MAX_WEIGHT; 4]),
        (100, [1, 3, 199, MAX_WEIGHT]),
    ] {
        for at in 0..4 {
            pool.set_weight_percent(id(at), percent).expect("valid");
        }
        assert_eq!(weights(&pool), due, "{percent} %");
    }
    assert_eq!(pool.set_weight_percent("e0", 100), Ok(false));
    assert_eq!(pool.set_weight_percent("e0", 10), Ok(true));
}

#[test]
fn a_percentage_shifts_work() {
    let pool = pool_of(RoundRobin::new(), &[100, 100], SEED);
    pool.set_weight_percent("e0", 25).expect("known");
    let counts = (0..500).fold([0, 0], |mut counts, _| {
        counts[at(&pick(&pool))] += 1;
        counts
    });
    assert_eq!(counts, [100, 400]);
    pool.set_weight_percent("e0", 0).expect("known");
    assert!((0..50).all(|_| at(&pick(&pool)) == 1));
    let bound = id(0);
    assert!(pool.pick(&PickRequest::new().prefer(&bound)).expect("as weight 0").is_preferred());
}

#[test]
fn both_survive_an_update_and_end_with_the_endpoint() {
    let pool = pool_of(P2c::new(), &[100, 100], SEED);
    pool.set_weight_percent("e0", 30).expect("known");
    pool.set_max_in_flight("e0", Some(2)).expect("known");
    let status = || (pool.endpoints()[0].weight, pool.endpoints()[0].max_in_flight);
    assert_eq!(status(), (30, Some(2)));
    pool.update([spec(0).weight(200).max_in_flight(9), spec(1)], |_| ()).expect("valid");
    assert_eq!(status(), (60, Some(2)));
    pool.set_weight("e0", 10).expect("known");
    assert_eq!(status(), (3, Some(2)));
    assert_eq!(pool.set_max_in_flight("e0", None), Ok(true));
    assert_eq!(status(), (3, Some(9)));
    pool.set_max_in_flight("e0", Some(1)).expect("known");
    let elsewhere = equipoise_core::EndpointSpec::new("elsewhere").with_id("e0").weight(5);
    pool.update([elsewhere, spec(1)], |_| ()).expect("valid");
    assert_eq!(status(), (5, None));
    pool.set_weight_percent("e0", 40).expect("known");
    pool.remove("e0").expect("known");
    pool.add(spec(0).weight(100), ()).expect("a new id");
    assert_eq!(status(), (100, None));
}

#[test]
fn a_limit_set_on_a_live_endpoint_is_exact_from_then_on() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1], SEED);
        let before: Vec<_> = (0..3).map(|_| pick(&pool)).collect();
        pool.set_max_in_flight("e0", Some(2)).expect("known");
        let after = [pick(&pool), pick(&pool)];
        let mut next = pool.acquire(&PickRequest::new());
        assert!((&mut next).now_or_never().is_none());
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
        drop(before);
        assert_eq!(pool.pick(&PickRequest::new()).unwrap_err(), PickError::Saturated);
        pool.set_max_in_flight("e0", None).expect("known");
        drop((futures::executor::block_on(next).expect("no limit"), after));
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    let pool = pool_of(P2c::new(), &[1], SEED);
    let before = pool.revision();
    assert_eq!(pool.set_max_in_flight("e0", Some(0)), Err(UpdateError::Invalid(InvalidSpec::Limit { id: id(0) })));
    assert_eq!(pool.set_max_in_flight("unknown", Some(1)), Err(UpdateError::Unknown { id: "unknown".into() }));
    assert_eq!(pool.set_weight_percent("unknown", 1), Err(UpdateError::Unknown { id: "unknown".into() }));
    assert_eq!(pool.set_max_in_flight("e0", None), Ok(false));
    assert_eq!(pool.revision(), before);
}

#[test]
fn a_pool_without_any_weight_left_says_so_and_comes_back() {
    let all = [
        AnyStrategy::new(LeastConnections::new()),
        AnyStrategy::new(LeastTime::new()),
        AnyStrategy::new(FirstFit::new()),
        AnyStrategy::new(Edf::new()),
        AnyStrategy::new(Maglev::new()),
        AnyStrategy::new(Ring::new()),
        AnyStrategy::new(Rendezvous::new()),
        AnyStrategy::new(Jump::new()),
        AnyStrategy::new(BoundedLoad::new(Maglev::new())),
        AnyStrategy::new(ZoneAware::new(P2c::new(), "here")),
        AnyStrategy::new(SlowStart::new(P2c::new())),
        AnyStrategy::new(Subset::new(Ring::new(), 2, 1)),
    ];
    for strategy in strategies().into_iter().chain(all) {
        let pool = pool_of(strategy.clone(), &[1, 1], SEED);
        for at in 0..2 {
            pool.set_weight_percent(id(at), 0).unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
        }
        let request = PickRequest::new().key(b"some");
        assert_eq!(pool.pick(&request).unwrap_err(), PickError::Unavailable { members: 2 }, "{strategy:?}");
        pool.update([spec(0).weight(3), spec(1)], |_| ()).unwrap_or_else(|error| panic!("{strategy:?}: {error}"));
        assert!(pool.pick(&request).is_err());
        pool.set_weight_percent("e1", 100).expect("known");
        assert_eq!(at(&pool.pick(&request).expect("one is back")), 1, "{strategy:?}");
    }
}

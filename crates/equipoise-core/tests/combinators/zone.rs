use equipoise_core::{CandidateResult, EndpointSpec, P2c, PickRequest, Pool, Random, RoundRobin, Strategy, ZoneAware};

use crate::{
    common::{at, id, pick, pool_of, spec},
    keyed::{ByKey, owners},
    maintenance,
    shares::{follow, idle},
    up, used,
};

const SEED: u64 = 0x203e;

/// Creates a pool with the zones `a`, `b` and so on. `sizes` has the number of endpoints of each zone. The client is in
/// zone `a`.
fn zones(strategy: impl Strategy, sizes: &[usize]) -> Pool<()> {
    let pool = pool_of(strategy, &[1], SEED);
    let zone_of = sizes.iter().enumerate().flat_map(|(zone, &size)| std::iter::repeat_n(zone, size));
    let specs = zone_of.enumerate().map(|(at, zone)| in_zone(at, zone));
    pool.update(specs, |_| ()).expect("valid specs");
    pool
}

fn in_zone(at: usize, zone: usize) -> EndpointSpec {
    spec(at).zone(["a", "b", "c", "d"][zone])
}

fn check(pool: &Pool<()>, weights: &[u32]) {
    // A weight of 0 means that the endpoint gets nearly no requests.
    let counts = idle(pool, weights.len(), 60_000);
    let (mut some, mut expected) = (Vec::new(), Vec::new());
    for (at, &weight) in weights.iter().enumerate() {
        if weight > 0 {
            some.push(counts[at]);
            expected.push(weight);
        } else {
            assert!(counts[at] < 5, "{counts:?} for {weights:?}");
        }
    }
    follow(&some, &expected).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn everything_stays_while_the_zone_holds_its_part() {
    let pool = zones(ZoneAware::new(P2c::new(), "a"), &[3, 3, 3]);
    check(&pool, &[1, 1, 1, 0, 0, 0, 0, 0, 0]);
    maintenance(&pool, [3]);
    assert_eq!(used(&pool, 1000), [0, 1, 2]);
}

#[test]
fn a_zone_that_is_short_spills_to_those_that_have_to_spare() {
    let pool = zones(ZoneAware::new(Random::new(), "a"), &[2, 2, 2]);
    maintenance(&pool, [0]);
    // The zone has 1/5 of the capacity and 1/3 of the callers, so 3/5 of the requests stay. Each other zone gets 1/5.
    check(&pool, &[0, 6, 1, 1, 1, 1]);
    // The zone has 1/4 of the capacity and 1/3 of the callers, so 3/4 of the requests stay. The second zone has too
    // little capacity as well, so the third zone gets the rest.
    maintenance(&pool, [2]);
    check(&pool, &[0, 6, 0, 0, 1, 1]);
}

#[test]
fn the_spread_of_callers_over_zones_can_be_configured() {
    let strategy = ZoneAware::new(Random::new(), "a").callers([("a", 3), ("b", 1)]);
    let pool = zones(strategy, &[2, 2]);
    // The zone has 1/2 of the capacity and 3/4 of the callers.
    check(&pool, &[2, 2, 1, 1]);
    let none = ZoneAware::new(Random::new(), "a").callers([("a", 0)]);
    assert_eq!(used(&zones(none, &[2, 2]), 500), [0, 1]);
}

#[test]
fn capacity_is_weight() {
    let pool = zones(ZoneAware::new(Random::new(), "a"), &[1, 1]);
    pool.update([in_zone(0, 0).weight(1), in_zone(1, 1).weight(3)], |_| ()).expect("valid specs");
    check(&pool, &[1, 1]);
}

#[test]
fn without_endpoints_in_the_zone_all_serve_by_weight() {
    for (zone, sizes) in [("z", [2, 2, 2]), ("a", [0, 2, 4])] {
        let pool = zones(ZoneAware::new(Random::new(), zone), &sizes);
        check(&pool, &[1; 6]);
    }
}

#[test]
fn below_the_minimum_zones_are_disregarded() {
    let pool = zones(ZoneAware::new(Random::new(), "a").min_eligible(2), &[2, 2, 2]);
    assert_eq!(used(&pool, 500), [0, 1]);
    maintenance(&pool, [1]);
    check(&pool, &[1, 0, 1, 1, 1, 1]);
    up(&pool, 1);
    assert_eq!(used(&pool, 500), [0, 1]);
}

#[test]
fn a_request_that_the_zone_cannot_serve_goes_elsewhere() {
    let pool = zones(ZoneAware::new(P2c::new(), "a"), &[2, 2]);
    let tried = [id(0), id(1)];
    let lease = pool.pick(&PickRequest::new().exclude(&tried)).expect("two are left");
    assert!(at(&lease) >= 2);
    drop(lease);
    pool.update((0..4).map(|at| in_zone(at, at / 2).max_in_flight(1)), |_| ()).expect("valid specs");
    let full: Vec<_> = (0..4).map(|_| pick(&pool)).collect();
    assert!(full[..2].iter().all(|lease| at(lease) < 2));
}

#[test]
fn endpoints_without_a_zone_are_elsewhere() {
    let pool = zones(ZoneAware::new(P2c::new(), "a"), &[1, 1]);
    pool.update([in_zone(0, 0), spec(1), spec(2).zone("")], |_| ()).expect("valid specs");
    // All callers are in the only named zone, which has 1/3 of the capacity.
    check(&pool, &[1, 1, 1]);
}

#[test]
fn an_endpoint_that_changes_zones_keeps_its_load() {
    let pool = zones(ZoneAware::new(P2c::new(), "a"), &[1, 1]);
    let lease = pick(&pool);
    assert_eq!(lease.endpoint().zone().as_deref(), Some("a"));
    let changes = pool.update([in_zone(0, 1), in_zone(1, 0)], |_| ()).expect("valid specs");
    assert_eq!(changes.changed.len(), 2);
    assert_eq!(lease.endpoint().zone().as_deref(), Some("b"));
    assert_eq!((pool.endpoints()[0].in_flight, pool.endpoints()[0].zone.as_deref()), (1, Some("b")));
    assert_eq!(used(&pool, 100), [1]);
}

#[test]
fn turns_go_on_within_the_zone_while_the_availability_of_others_changes() {
    let pool = zones(ZoneAware::new(RoundRobin::new(), "a"), &[3, 3]);
    let mut counts = [0; 6];
    for turn in 0..300 {
        if turn % 2 == 0 {
            maintenance(&pool, [4]);
        } else {
            up(&pool, 4);
        }
        counts[at(&pick(&pool))] += 1;
    }
    assert_eq!(counts, [100, 100, 100, 0, 0, 0]);
}

#[test]
fn requests_of_one_key_go_one_way() {
    let pool = zones(ZoneAware::new(ByKey, "a"), &[2, 2, 2]);
    maintenance(&pool, [0]);
    let first = owners(&pool, 3000);
    assert_eq!(first, owners(&pool, 3000));
    let near = first.iter().filter(|&&at| at < 2).count() as u32;
    follow(&[near, 3000 - near], &[3, 2]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_explanation_says_which_endpoints_are_outside_the_zone() {
    let pool = zones(ZoneAware::new(P2c::new(), "a"), &[2, 3]);
    let explanation = pool.explain(&PickRequest::new());
    let far =
        explanation.candidates.iter().filter(|candidate| candidate.result == CandidateResult::FilteredOut).count();
    assert_eq!(far, 3);
}

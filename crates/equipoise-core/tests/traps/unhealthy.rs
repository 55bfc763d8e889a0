//! Unhealthy endpoints get no requests, unless so few endpoints of the tier are healthy that it panics.

use std::{ops::Range, sync::Arc};

use equipoise_core::{
    AnyStrategy, Availability, CandidateResult, PickError, PickRequest, Pool, Random, SeededEntropy, Spillover, Tier,
};

use crate::{
    common::{at, id, pick, pool_of, spec},
    strategies,
};

const SEED: u64 = 19;

fn set(pool: &Pool<()>, indices: impl IntoIterator<Item = usize>, availability: Availability) {
    let result = pool.set_availabilities(indices.into_iter().map(|at| (id(at), availability))).expect("valid");
    assert!(result.unknown.is_empty());
}

/// Returns whether the pool panics: at least one of 200 picks returns an unhealthy endpoint.
fn panics(pool: &Pool<()>) -> bool {
    let endpoints = pool.endpoints();
    (0..200).any(|_| endpoints[at(&pick(pool))].availability == Availability::Unhealthy)
}

fn of(strategy: AnyStrategy, n: usize) -> Pool<()> {
    pool_of(strategy, &vec![1; n], SEED)
}

#[test]
fn an_unhealthy_endpoint_is_never_picked_nor_honoured_while_enough_are_healthy() {
    for strategy in strategies() {
        let pool = of(strategy, 4);
        set(&pool, [0, 1], Availability::Unhealthy);
        assert!(!panics(&pool), "half of the endpoints are healthy");
        let bound = id(0);
        let lease = pool.pick(&PickRequest::new().prefer(&bound)).expect("two endpoints are healthy");
        assert!(!lease.is_preferred() && at(&lease) > 1);
        let explanation = pool.explain(&PickRequest::new());
        assert_eq!(explanation.candidates[0].result, CandidateResult::Unhealthy);
        let tried = [id(2), id(3)];
        assert_eq!(pool.pick(&PickRequest::new().exclude(&tried)).unwrap_err(), PickError::Excluded);
    }
}

#[test]
fn below_half_the_tier_is_used_whole_and_at_half_no_more() {
    for strategy in strategies() {
        let pool = of(strategy, 4);
        set(&pool, 0..3, Availability::Unhealthy);
        let picked: Vec<usize> = (0..400).map(|_| at(&pick(&pool))).collect();
        assert!((0..4).all(|one| picked.contains(&one)));
        let bound = id(0);
        assert!(pool.pick(&PickRequest::new().prefer(&bound)).expect("a panic").is_preferred());
        set(&pool, [0], Availability::Up);
        assert!(!panics(&pool));
    }
}

#[test]
fn an_endpoint_in_maintenance_neither_counts_nor_serves_in_a_panic() {
    for strategy in strategies() {
        let pool = pool_of(strategy, &[1, 1, 1, 1, 0], SEED);
        set(&pool, [0], Availability::Maintenance);
        set(&pool, [1], Availability::Draining);
        set(&pool, [2], Availability::Unhealthy);
        assert!(!panics(&pool), "of the two endpoints that count, one is healthy");
        set(&pool, [3], Availability::Unhealthy);
        let picked: Vec<usize> = (0..100).map(|_| at(&pick(&pool))).collect();
        assert!(picked.iter().all(|one| [2, 3].contains(one)));
        assert!([2, 3].iter().all(|one| picked.contains(one)));
    }
}

#[test]
fn a_pool_of_one_is_never_emptied() {
    for strategy in strategies() {
        let pool = of(strategy, 1);
        set(&pool, [0], Availability::Unhealthy);
        assert_eq!(at(&pick(&pool)), 0);
        let pool: Pool<()> = Pool::<()>::builder(Random::new()).panic_threshold(0.0).build();
        pool.add(spec(0), ()).expect("valid");
        set(&pool, [0], Availability::Unhealthy);
        let refused = pool.pick(&PickRequest::new()).unwrap_err();
        assert_eq!(refused, PickError::Unavailable { members: 1 }, "a threshold of 0 turns panics off");
    }
}

#[test]
fn strict_tiers_do_not_panic_while_a_backup_can_carry_it() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::new(strategy);
        pool.update((0..4).map(|at| spec(at).tier(Tier::new(u8::from(at > 1)))), |_| ()).expect("valid");
        set(&pool, 0..2, Availability::Unhealthy);
        assert!((0..50).all(|_| at(&pick(&pool)) > 1));
        set(&pool, 2..4, Availability::Unhealthy);
        assert!((0..50).all(|_| at(&pick(&pool)) < 2), "both tiers panic, and the first tier has priority");
    }
}

/// Picks from a pool with two tiers of 20 endpoints. `healthy` is the number of healthy endpoints of each tier. Returns
/// the share of the picks that the first tier gets, and for each tier whether it panics.
fn tiers_of_twenty(healthy: [usize; 2]) -> (f64, [bool; 2]) {
    const PICKS: usize = 20_000;
    let builder = Pool::<()>::builder(Random::new()).spillover(Spillover::ENVOY);
    let pool: Pool<()> = builder.entropy(Arc::new(SeededEntropy::new(SEED))).build();
    pool.update((0..40).map(|at| spec(at).tier(Tier::new(u8::from(at > 19)))), |_| ()).expect("valid");
    let unhealthy: [Range<usize>; 2] = [healthy[0]..20, 20 + healthy[1]..40];
    set(&pool, unhealthy.clone().into_iter().flatten(), Availability::Unhealthy);
    let picked: Vec<usize> = (0..PICKS).map(|_| at(&pick(&pool))).collect();
    let first = picked.iter().filter(|&&at| at < 20).count();
    (first as f64 / PICKS as f64, unhealthy.map(|unhealthy| picked.iter().any(|at| unhealthy.contains(at))))
}

#[test]
fn tiers_that_share_panic_as_envoys_do() {
    // Healthy in the first and the second tier: 25 % and 25 %, then 5 % and 65 %, then 50 % and 100 %.
    for (healthy, share, panics) in
        [([5, 5], 0.5, [true, true]), ([1, 13], 0.07, [true, false]), ([10, 20], 0.7, [false, false])]
    {
        let (first, panicked) = tiers_of_twenty(healthy);
        assert!((first - share).abs() < 0.015, "{healthy:?}: {first}");
        assert_eq!(panicked, panics, "{healthy:?}");
    }
}

use equipoise_core::{ManualClock, P2c, PickRequest, Pool, Random, SeededEntropy, Spillover, Strategy, Tier};
use std::sync::Arc;

use crate::{
    common::{at, id, spec},
    keyed::{ByKey, owners},
    maintenance,
    shares::{follow, idle},
    up,
};

const SEED: u64 = 0x5b111;

/// Creates a pool with `n` endpoints in each tier. The endpoints of a tier have consecutive positions.
fn tiered(strategy: impl Strategy, spillover: Spillover, n: usize, tiers: usize) -> Pool<()> {
    let builder = Pool::<()>::builder(strategy).clock(Arc::new(ManualClock::new())).spillover(spillover);
    let pool = builder.entropy(Arc::new(SeededEntropy::new(SEED))).stripes(1).build();
    let specs = (0..n * tiers).map(|at| spec(at).tier(Tier::new((at / n) as u8)));
    pool.update(specs, |_| ()).expect("valid specs");
    pool
}

/// Returns how many of `picks` picks each tier gets.
fn by_tier(pool: &Pool<()>, n: usize, tiers: usize, picks: u32) -> Vec<u32> {
    idle(pool, n * tiers, picks).chunks(n).map(|tier| tier.iter().sum()).collect()
}

#[test]
fn shares_are_envoys() {
    // Each tier has 20 endpoints. For example, 5 and 5 that are up are 25 % of each tier, and 1 and 13 are 5 % and 65
    // %.
    for (left, expected) in [([5, 5], [1, 1]), ([1, 13], [7, 91]), ([10, 20], [70, 30]), ([5, 20], [35, 65])] {
        let pool = tiered(Random::new(), Spillover::ENVOY, 20, 2);
        maintenance(&pool, (left[0]..20).chain(20 + left[1]..40));
        follow(&by_tier(&pool, 20, 2, 50_000), &expected).unwrap_or_else(|error| panic!("{left:?}: {error}"));
    }
}

#[test]
fn three_tiers_share_in_order() {
    let pool = tiered(P2c::new(), Spillover::ENVOY, 8, 3);
    maintenance(&pool, (2..8).chain(10..16));
    // The first two tiers have 25 % of their endpoints and get 35 % each. The third tier gets the rest.
    follow(&by_tier(&pool, 8, 3, 50_000), &[35, 35, 30]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_tier_keeps_everything_until_it_has_lost_more_than_it_has_to_spare() {
    let pool = tiered(P2c::new(), Spillover::ENVOY, 7, 2);
    maintenance(&pool, [0, 1]);
    assert_eq!(by_tier(&pool, 7, 2, 1000), [1000, 0]);
    maintenance(&pool, [2]);
    let counts = by_tier(&pool, 7, 2, 50_000);
    follow(&counts, &[80, 20]).unwrap_or_else(|error| panic!("{error}"));
    up(&pool, 1);
    assert_eq!(by_tier(&pool, 7, 2, 1000), [1000, 0]);
}

#[test]
fn nothing_spills_unless_asked() {
    let pool = tiered(P2c::new(), Spillover::default(), 7, 2);
    maintenance(&pool, 0..6);
    assert_eq!(by_tier(&pool, 7, 2, 1000), [1000, 0]);
}

#[test]
fn an_unusable_drawn_endpoint_is_followed_by_the_others_in_order() {
    let pool = tiered(P2c::new(), Spillover::ENVOY, 2, 3);
    maintenance(&pool, [0, 2]);
    // Tiers 0 and 1 get 70 % and 30 % of the requests. If the last endpoint of tier 0 is excluded, tier 1 gets all
    // requests, and so on.
    for (tried, next) in [(vec![1], 3), (vec![3], 1), (vec![1, 3, 4], 5)] {
        let tried: Vec<_> = tried.into_iter().map(id).collect();
        for _ in 0..200 {
            let lease = pool.pick(&PickRequest::new().exclude(&tried)).expect("an endpoint is left");
            assert_eq!(at(&lease), next, "without {tried:?}");
        }
    }
}

#[test]
fn endpoints_of_weight_zero_are_not_missed() {
    let pool = tiered(P2c::new(), Spillover::ENVOY, 4, 2);
    let weightless = (0..8).map(|at| spec(at).tier(Tier::new(at as u8 / 4)).weight(u32::from(at >= 3)));
    pool.update(weightless, |_| ()).expect("valid specs");
    assert_eq!(by_tier(&pool, 4, 2, 1000), [1000, 0]);
}

#[test]
fn requests_of_one_key_go_to_one_tier() {
    let pool = tiered(ByKey, Spillover::ENVOY, 4, 2);
    maintenance(&pool, 0..2);
    let first = owners(&pool, 2000);
    assert_eq!(first, owners(&pool, 2000));
    let counts = first.iter().fold([0, 0], |[near, far], &at| if at < 4 { [near + 1, far] } else { [near, far + 1] });
    follow(&counts, &[70, 30]).unwrap_or_else(|error| panic!("{error}"));
}

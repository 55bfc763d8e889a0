//! If an endpoint is down, draining, excluded or full, only its own keys move.

use std::collections::BTreeSet;

use equipoise_core::{Availability, EndpointId, PickError, PickRequest};
use proptest::prelude::*;

use crate::{
    common::{at, id, pool_of},
    keys::{SEED, keys, lease, owners, placements},
};

/// Random weights, and a random sequence of endpoints that go down or come back.
fn worlds() -> impl Strategy<Value = (Vec<u32>, Vec<usize>, u64)> {
    let weights = prop_oneof![
        (1..25usize).prop_map(|n| vec![1; n]),
        prop::collection::vec(1..6u32, 1..25),
        prop::collection::vec(prop_oneof![Just(0), Just(1), Just(1_000)], 2..12),
    ];
    let weights = weights.prop_filter("an endpoint has weight", |weights| weights.iter().any(|&weight| weight > 0));
    weights.prop_flat_map(|weights| {
        let n = weights.len();
        (Just(weights), prop::collection::vec(0..n, 1..8), any::<u64>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_availability_change_moves_the_keys_of_that_endpoint_only((weights, changed, seed) in worlds()) {
        let keys = keys(120, seed);
        for (name, strategy) in placements() {
            let pool = pool_of(strategy, &weights, SEED);
            let (mut unavailable, mut before) = (BTreeSet::new(), owners(&pool, &keys));
            for &index in &changed {
                let comes_back = unavailable.remove(&index);
                let availability = if comes_back {
                    Availability::Up
                } else if index % 2 == 0 {
                    Availability::Maintenance
                } else {
                    Availability::Draining
                };
                pool.set_availability(id(index), availability).expect("a member");
                if !comes_back {
                    unavailable.insert(index);
                }
                if (0..weights.len()).all(|at| unavailable.contains(&at) || weights[at] == 0) {
                    let none = pool.pick(&PickRequest::new().key(b"any")).map(drop);
                    prop_assert_eq!(none, Err(PickError::Unavailable { members: weights.len() }));
                    break;
                }
                let after = owners(&pool, &keys);
                for (before, after) in before.iter().zip(&after) {
                    prop_assert!(!unavailable.contains(after) && weights[*after] > 0, "{}: {} is not up", name, after);
                    let affected = if comes_back { after } else { before };
                    prop_assert!(
                        before == after || *affected == index,
                        "{name}: {before} to {after} when {index} changes"
                    );
                }
                before = after;
            }
        }
    }

    #[test]
    fn an_excluded_or_full_endpoint_is_skipped_as_if_it_were_down((weights, changed, seed) in worlds()) {
        let down: BTreeSet<usize> = changed.into_iter().collect();
        prop_assume!((0..weights.len()).any(|at| !down.contains(&at) && weights[at] > 0));
        let tried: Vec<EndpointId> = down.iter().copied().map(id).collect();
        let keys = keys(120, seed);
        for (name, strategy) in placements() {
            let pool = pool_of(strategy, &weights, SEED);
            let excluding: Vec<usize> = keys
                .iter()
                .map(|key| pool.pick(&PickRequest::new().key(key).exclude(&tried)).map(|lease| at(&lease)))
                .collect::<Result<_, _>>()
                .expect("an endpoint is left");
            let limited = crate::common::specs(&weights).into_iter().enumerate();
            let limited = limited.map(|(at, spec)| if down.contains(&at) { spec.max_in_flight(1) } else { spec });
            pool.update(limited, |_| ()).expect("valid");
            let held: Vec<_> = tried.iter().map(|id| pool.pick(&PickRequest::new().prefer(id)).expect("room")).collect();
            let passing = owners(&pool, &keys);
            drop(held);
            for id in &tried {
                pool.set_availability(id.clone(), Availability::Maintenance).expect("a member");
            }
            prop_assert_eq!(&excluding, &owners(&pool, &keys), "{}: excluded", name);
            prop_assert_eq!(&passing, &excluding, "{}: full", name);
        }
    }
}

#[test]
fn a_usable_endpoint_is_found_however_few_there_are() {
    let keys = keys(300, 20);
    for (name, strategy) in placements() {
        for weights in [vec![1; 200], (0..200).map(|at| if at == 7 { 1 } else { 100_000 }).collect()] {
            let pool = pool_of(strategy.clone(), &weights, SEED);
            let others: Vec<EndpointId> = (0..200).filter(|&at| at != 7).map(id).collect();
            for key in &keys {
                let only = pool.pick(&PickRequest::new().key(key).exclude(&others)).map(|lease| at(&lease));
                assert_eq!(only, Ok(7), "{name}");
            }
            let all: Vec<EndpointId> = (0..200).map(id).collect();
            let none = pool.pick(&PickRequest::new().key(&keys[0]).exclude(&all)).map(drop);
            assert_eq!(none, Err(PickError::Excluded), "{name}");
        }
    }
}

#[test]
fn the_keys_of_one_that_is_down_spread_over_all_others() {
    let keys = keys(12_000, 21);
    for (name, strategy) in placements() {
        let pool = pool_of(strategy, &[1; 11], SEED);
        let before = owners(&pool, &keys);
        pool.set_availability(id(4), Availability::Maintenance).expect("a member");
        let mut got = [0u32; 11];
        let theirs = keys.iter().zip(before).filter(|&(_, owner)| owner == 4);
        theirs.for_each(|(key, _)| got[at(&lease(&pool, key))] += 1);
        // The mean is about 109 keys. With a ring, the numbers differ more, because the points of some endpoints follow
        // the points of endpoint 4 more often.
        let (least, most) = if name == "ring" { (30, 250) } else { (70, 155) };
        for (at, &got) in got.iter().enumerate().filter(|&(at, _)| at != 4) {
            assert!((least..most).contains(&got), "{name}: {got} to {at}");
        }
    }
}

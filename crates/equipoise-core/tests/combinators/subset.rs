use std::collections::BTreeSet;

use equipoise_core::{CandidateResult, EndpointId, Maglev, P2c, PickRequest, Pool, Random, Subset};

use crate::{
    common::{at, id, pick, pool_of, spec, specs},
    keyed::owners,
    maintenance,
    shares::follow,
    up, used,
};

const SEED: u64 = 0x5b5e7;

fn subset(size: usize, client: u64, members: usize) -> Pool<()> {
    pool_of(Subset::new(Random::new(), size, client), &vec![1; members], SEED)
}

#[test]
fn a_client_keeps_to_as_many_as_it_may() {
    let pools = [1, 1, 2].map(|client| used(&subset(5, client, 50), 500));
    assert!(pools.iter().all(|used| used.len() == 5));
    assert_eq!(pools[0], pools[1], "the same seed chooses the same");
    assert_ne!(pools[0], pools[2]);
}

#[test]
fn weights_count_within_the_subset_and_weight_zero_is_left_out() {
    let weights: Vec<u32> = (0..30).map(|at| at % 3).collect();
    let pool = pool_of(Subset::new(Random::new(), 6, 3), &weights, SEED);
    let picked = used(&pool, 1000);
    assert_eq!(picked.len(), 6);
    let mut counts = vec![0; 6];
    for _ in 0..30_000 {
        counts[picked.binary_search(&at(&pick(&pool))).expect("seen before")] += 1;
    }
    let weights: Vec<u32> = picked.iter().map(|&at| weights[at]).collect();
    assert!(weights.iter().all(|&weight| weight > 0));
    follow(&counts, &weights).unwrap_or_else(|error| panic!("{error}"));
}

fn names(pool: &Pool<()>) -> BTreeSet<EndpointId> {
    (0..300).map(|_| pick(pool).endpoint().id().clone()).collect()
}

#[test]
fn at_most_one_entry_changes_with_each_member_that_joins_or_leaves() {
    for client in 0..10 {
        let pool = subset(8, client, 40);
        let mut members: Vec<usize> = (0..40).collect();
        let mut last = names(&pool);
        for turn in 0..30 {
            if turn % 3 == 0 {
                members.push(40 + turn);
            } else {
                members.remove((turn * 7) % members.len());
            }
            pool.update(members.iter().map(|&at| spec(at)), |_| ()).expect("valid specs");
            let now = names(&pool);
            assert_eq!(now.len(), 8);
            assert!(now.difference(&last).count() <= 1, "client {client}, turn {turn}");
            last = now;
        }
    }
}

#[test]
fn an_endpoint_that_goes_down_is_replaced_by_one_until_it_is_back() {
    let pool = subset(5, 7, 30);
    let before = used(&pool, 300);
    maintenance(&pool, [before[0]]);
    let meanwhile = used(&pool, 300);
    assert_eq!(meanwhile.len(), 5);
    assert_eq!(meanwhile.iter().filter(|at| before.contains(at)).count(), 4);
    up(&pool, before[0]);
    assert_eq!(used(&pool, 300), before);
    // Changes of endpoints outside of the subset have no effect.
    maintenance(&pool, (0..30).filter(|at| !before.contains(at)));
    assert_eq!(used(&pool, 300), before);
}

#[test]
fn a_subset_that_may_shrink_is_topped_up_when_it_is_empty() {
    let pool = pool_of(Subset::new(Random::new(), 3, 11).min_eligible(1), &[1; 12], SEED);
    let before = used(&pool, 200);
    maintenance(&pool, before[..2].iter().copied());
    assert_eq!(used(&pool, 200), before[2..]);
    maintenance(&pool, [before[2]]);
    let after = used(&pool, 200);
    assert!(after.len() == 1 && !before.contains(&after[0]));
}

#[test]
fn with_few_left_all_of_them_serve() {
    let pool = subset(5, 13, 20);
    maintenance(&pool, 3..20);
    assert_eq!(used(&pool, 200), [0, 1, 2]);
    assert_eq!(used(&subset(5, 13, 4), 200), [0, 1, 2, 3]);
    assert_eq!(used(&subset(0, 13, 4), 200).len(), 1);
}

#[test]
fn a_request_that_the_subset_cannot_serve_goes_outside() {
    let pool = subset(3, 17, 10);
    let tried: Vec<EndpointId> = used(&pool, 200).into_iter().map(id).collect();
    let outside = pool.pick(&PickRequest::new().exclude(&tried)).expect("seven are left");
    assert!(!tried.contains(outside.endpoint().id()));
    pool.update(specs(&[1; 10]).into_iter().map(|spec| spec.max_in_flight(1)), |_| ()).expect("valid specs");
    let all: Vec<_> = (0..10).map(|_| pick(&pool)).collect();
    assert_eq!(all.iter().map(at).collect::<BTreeSet<_>>().len(), 10);
}

#[test]
fn clients_spread_over_all_endpoints() {
    let mut counts = vec![0u32; 50];
    for client in 0..500 {
        used(&subset(10, client, 50), 150).into_iter().for_each(|at| counts[at] += 1);
    }
    // The mean is 100 clients per endpoint. The bounds are four standard deviations of sqrt(500 · 0.2 · 0.8) = 9.
    assert!(counts.iter().all(|count| (64..=136).contains(count)), "{counts:?}");
}

#[test]
fn tables_of_a_hashing_strategy_follow_the_subset() {
    let pool = pool_of(Subset::new(Maglev::new(), 6, 19), &[1; 30], SEED);
    let before = owners(&pool, 2000);
    let picked: BTreeSet<usize> = before.iter().copied().collect();
    assert_eq!(picked.len(), 6);
    let down = before[0];
    maintenance(&pool, [down]);
    let meanwhile: BTreeSet<usize> = owners(&pool, 2000).into_iter().collect();
    assert_eq!(meanwhile.len(), 6);
    assert!(!meanwhile.contains(&down));
    up(&pool, down);
    assert_eq!(owners(&pool, 2000), before);
}

#[test]
fn a_hashing_strategy_in_a_subset_that_may_shrink_keeps_the_keys_of_the_healthy() {
    let pool = pool_of(Subset::new(Maglev::new(), 6, 19).min_eligible(1), &[1; 30], SEED);
    let before = owners(&pool, 2000);
    maintenance(&pool, [before[0]]);
    let moved = before.iter().zip(owners(&pool, 2000)).filter(|&(&was, is)| was != is && was != before[0]).count();
    assert_eq!(moved, 0);
}

#[test]
fn an_explanation_says_which_endpoints_are_outside() {
    let pool = pool_of(Subset::new(P2c::new(), 2, 23), &[1; 6], SEED);
    let explanation = pool.explain(&PickRequest::new());
    let outside =
        explanation.candidates.iter().filter(|candidate| candidate.result == CandidateResult::FilteredOut).count();
    assert_eq!(outside, 4);
}

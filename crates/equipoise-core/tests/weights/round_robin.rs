//! Round robin is exact.

use equipoise_core::{EndpointId, PickRequest, RoundRobin};

use crate::{
    common::{id, pool_of, specs},
    shares::{idle, share},
};

const SEED: u64 = 0;

#[test]
fn every_turn_gives_each_endpoint_its_share() {
    for weights in [&[1, 1, 1][..], &[5, 1, 1], &[198, 1, 1], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] {
        let pool = pool_of(RoundRobin::new(), weights, SEED);
        let turn = weights.iter().sum();
        for _ in 0..5 {
            assert_eq!(idle(&pool, weights.len(), turn), weights);
        }
    }
}

#[test]
fn huge_weights_with_a_common_divisor_are_exact() {
    let pool = pool_of(RoundRobin::new(), &[1_000_000, 500_000, 250_000], SEED);
    assert_eq!(idle(&pool, 3, 700), [400, 200, 100]);
}

#[test]
fn huge_weights_without_a_common_divisor_stay_within_a_few_of_their_share() {
    for weights in [&[1_000_000, 999_983][..], &[999_983, 1_000_000, 1_000_000, 31], &[1_000_000, 1]] {
        let pool = pool_of(RoundRobin::new(), weights, SEED);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let mut counts = vec![0; weights.len()];
        for round in 1..=200 {
            let more = idle(&pool, weights.len(), 500);
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
            for (&count, &weight) in counts.iter().zip(weights) {
                let due = f64::from(round * 500) * f64::from(weight) / total;
                assert!((f64::from(count) - due).abs() < 6.0, "{count} of {} where {due} were due", round * 500);
            }
        }
    }
}

#[test]
fn weight_changes_keep_the_shares_exact_afterwards() {
    let pool = pool_of(RoundRobin::new(), &[1, 1, 1], SEED);
    idle(&pool, 3, 100);
    pool.update(specs(&[3, 2, 1]), |_| ()).unwrap();
    let counts = idle(&pool, 3, 6000);
    for (count, due) in counts.into_iter().zip([3000u32, 2000, 1000]) {
        assert!(count.abs_diff(due) <= 3, "{count} where {due} were due");
    }
}

#[test]
fn endless_weight_changes_starve_no_endpoint() {
    let pool = pool_of(RoundRobin::new(), &[5, 1, 1], SEED);
    let mut counts = vec![0; 3];
    for turn in 0..3000 {
        pool.update(specs(&[5, 1 + turn % 2, 1]), |_| ()).unwrap();
        let more = idle(&pool, 3, 1);
        counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
    }
    assert!(share(&counts, 0) > 0.6 && share(&counts, 1) > 0.1 && share(&counts, 2) > 0.1, "{counts:?}");
}

#[test]
fn endless_changes_of_huge_weights_starve_no_endpoint() {
    let pool = pool_of(RoundRobin::new(), &[1_000_000, 999_983, 999_979], SEED);
    let mut counts = vec![0; 3];
    for turn in 0..3000 {
        pool.update(specs(&[1_000_000, 999_983 - turn % 2, 999_979]), |_| ()).unwrap();
        let more = idle(&pool, 3, 1);
        counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
    }
    assert!(counts.iter().all(|&count| (900..1100).contains(&count)), "{counts:?}");
}

#[test]
fn a_turn_whose_owner_is_excluded_is_taken_by_another_usable_one() {
    let pool = pool_of(RoundRobin::new(), &[1; 10], SEED);
    let tried: Vec<EndpointId> = (1..10).map(id).collect();
    for _ in 0..50 {
        let lease = pool.pick(&PickRequest::new().exclude(&tried)).unwrap();
        assert_eq!(crate::common::at(&lease), 0);
    }
}

//! Earliest deadline first: shares are exact, and several balancers do not pick the same endpoint at the same time.

use equipoise_core::{Edf, EndpointId, PickRequest, Pool, RoundRobin};

use crate::{
    common::{at, id, pick, pool_of, specs},
    shares::idle,
};

const SEED: u64 = 0xedf;

#[test]
fn every_turn_gives_each_endpoint_its_share() {
    for weights in [&[1, 1, 1][..], &[5, 1, 1], &[198, 1, 1], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &[1; 500]] {
        let pool = pool_of(Edf::seeded(SEED), weights, SEED);
        let turn = weights.iter().sum();
        for _ in 0..5 {
            assert_eq!(idle(&pool, weights.len(), turn), weights);
        }
    }
}

#[test]
fn within_a_turn_no_endpoint_differs_from_its_share_by_two() {
    let weights = [7, 3, 2, 5];
    for seed in 0..50 {
        let pool = pool_of(Edf::seeded(seed), &weights, SEED);
        let mut counts = [0u32; 4];
        for served in 1..=17 {
            counts[at(&pick(&pool))] += 1;
            for (&count, &weight) in counts.iter().zip(&weights) {
                let due = f64::from(weight) * f64::from(served) / 17.0;
                assert!((f64::from(count) - due).abs() < 2.0, "{count} of {served}, seed {seed}");
            }
        }
    }
}

#[test]
fn many_balancers_do_not_begin_with_the_same_endpoint() {
    let mut first = [0u32; 10];
    for seed in 0..1000 {
        first[at(&pick(&pool_of(Edf::seeded(seed), &[1; 10], SEED)))] += 1;
    }
    assert!(first.iter().all(|&count| (60..=140).contains(&count)), "{first:?}");
    let together = at(&pick(&pool_of(RoundRobin::new(), &[1; 10], SEED)));
    assert_eq!(together, 0, "which is what the other does");
}

#[test]
fn the_start_is_the_pool_s_chance() {
    let turn = |pool: &Pool<()>| (0..30).map(|_| at(&pick(pool))).collect::<Vec<_>>();
    let seeded = |seed| turn(&pool_of(Edf::new(), &[1; 30], seed));
    assert_eq!(seeded(SEED), seeded(SEED));
    assert_ne!(seeded(SEED), seeded(SEED + 1));
    let one_of_many = || {
        let pool = Pool::new(Edf::new());
        pool.update(specs(&[1; 30]), |_| ()).expect("valid specs");
        turn(&pool)
    };
    assert_ne!(one_of_many(), one_of_many());
}

#[test]
fn the_start_is_kept() {
    // An update that changes only a limit computes the cycle again, from the same start.
    let pool = pool_of(Edf::new(), &[1; 30], SEED);
    let turn = || (0..30).map(|_| at(&pick(&pool))).collect::<Vec<_>>();
    let before = turn();
    pool.update(specs(&[1; 30]).into_iter().map(|spec| spec.max_in_flight(9)), |_| ()).expect("valid specs");
    assert_eq!(turn(), before);
}

#[test]
fn updates_that_change_nothing_for_the_others_keep_the_position() {
    let pool = pool_of(Edf::seeded(SEED), &[5, 3, 1], SEED);
    let undisturbed = pool_of(Edf::seeded(SEED), &[5, 3, 1], SEED);
    for turn in 0..200u32 {
        pool.update(specs(&[5, 3, 1, turn % 2]), |_| ()).unwrap();
        let index = at(&pick(&pool));
        if index == 3 {
            continue;
        }
        assert_eq!(index, at(&pick(&undisturbed)));
    }
}

#[test]
fn endless_changes_starve_no_endpoint() {
    for weights in [[5, 1, 1], [1, 1, 1], [6, 4, 2]] {
        let pool = pool_of(Edf::seeded(SEED), &weights, SEED);
        let mut counts = vec![0; 3];
        for turn in 0..3000 {
            pool.update(specs(&[weights[0], weights[1] + turn % 2, weights[2]]), |_| ()).unwrap();
            let more = idle(&pool, 3, 1);
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
        let total: u32 = weights.iter().sum();
        for (&count, weight) in counts.iter().zip(weights) {
            assert!(f64::from(count) > 0.6 * 3000.0 * f64::from(weight) / f64::from(total), "{weights:?}: {counts:?}");
        }
    }
}

#[test]
fn availability_changes_keep_the_shares_of_the_others() {
    let pool = pool_of(Edf::seeded(SEED), &[4, 2, 1, 1], SEED);
    let mut counts = vec![0; 4];
    for turn in 0..4000 {
        let availability =
            if turn % 2 == 0 { equipoise_core::Availability::Maintenance } else { equipoise_core::Availability::Up };
        pool.set_availability(id(3), availability).unwrap();
        counts[at(&pick(&pool))] += 1;
    }
    assert!((f64::from(counts[0]) / f64::from(counts[1]) - 2.0).abs() < 0.1, "{counts:?}");
    assert!((f64::from(counts[1]) / f64::from(counts[2]) - 2.0).abs() < 0.1, "{counts:?}");
}

#[test]
fn huge_weights_stay_near_their_shares_from_a_random_point() {
    let weights = [999_983, 1_000_000, 1_000_000, 31];
    let pool = pool_of(Edf::seeded(SEED), &weights, SEED);
    let counts = idle(&pool, 4, 30_000);
    for (&count, due) in counts.iter().zip([10_000.0, 10_000.0, 10_000.0, 0.3]) {
        assert!((f64::from(count) - due).abs() < 8.0, "{counts:?}");
    }
}

#[test]
fn a_turn_whose_owner_is_excluded_is_taken_by_another_usable_one() {
    let pool = pool_of(Edf::seeded(SEED), &[1; 100], SEED);
    let tried: Vec<EndpointId> = (1..100).map(id).collect();
    for _ in 0..50 {
        assert_eq!(at(&pool.pick(&PickRequest::new().exclude(&tried)).unwrap()), 0);
    }
}

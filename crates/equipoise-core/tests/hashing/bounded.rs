use equipoise_core::{
    AnyStrategy, Availability, BoundedLoad, Jump, Lease, Maglev, PickError, PickRequest, Pool, Rendezvous, Tier,
};

use crate::{
    common::{at, id, in_flight, pool_of, spec, specs},
    keys::{SEED, home, keys, lease, placements},
    zipf::Zipf,
};

/// The most that each may have, of `total` in all.
fn cap(factor: f64, total: u32, weight: u32, all: u32) -> u32 {
    (factor * f64::from(total) * f64::from(weight) / f64::from(all)).ceil() as u32
}

#[derive(Debug, Default)]
struct Outcome {
    /// Of the requests, how many came to their key's own endpoint, in percent.
    first_choice: f64,
    /// The highest load that anybody ever had, over the mean.
    peak: f64,
}

/// A thousand in flight over fifty endpoints on ten thousand keys, a request ending at random whenever one comes;
/// the average over some placements. Each time somebody is picked, `check` sees who, and how much each one has.
fn closed_loop(strategy: impl Fn(Maglev) -> AnyStrategy, mut check: impl FnMut(usize, &[u32])) -> Outcome {
    let (mut outcome, placements, requests) = (Outcome::default(), 12, 4_000);
    for seed in 0..placements {
        let maglev = Maglev::new().seed(seed);
        let (pool, plain) = (pool_of(strategy(maglev), &[1; 50], SEED), pool_of(maglev, &[1; 50], SEED));
        let (zipf, mut leases, mut load) = (Zipf::new(10_000, 70 + seed), Vec::<Lease<()>>::new(), vec![0u32; 50]);
        let (mut first, mut peak) = (0, 0);
        for request in 0..2_000 + requests {
            if leases.len() == 1_000 {
                let ends = leases.swap_remove(zipf.below(1_000));
                load[at(&ends)] -= 1;
            }
            let key = zipf.key();
            let lease = lease(&pool, &key);
            let who = at(&lease);
            load[who] += 1;
            leases.push(lease);
            check(who, &load);
            if request >= 2_000 {
                first += u32::from(home(&plain, &key) == who);
                peak = peak.max(load[who]);
            }
        }
        outcome.first_choice += 100.0 * f64::from(first) / f64::from(requests) / placements as f64;
        outcome.peak += f64::from(peak) / 20.0 / placements as f64;
    }
    outcome
}

#[test]
fn under_zipfs_keys_no_load_is_above_its_bound_and_most_come_where_they_belong() {
    // Percentages as measured elsewhere.
    for (factor, percent) in [(1.25, 69.0), (1.5, 79.0), (2.0, 87.0)] {
        let bounded = |maglev| AnyStrategy::new(BoundedLoad::new(maglev).factor(factor).expect("at least 1"));
        let outcome = closed_loop(bounded, |who, load| {
            let most = cap(factor, load.iter().sum(), 1, 50);
            assert!(load[who] <= most, "{} at {who}, where {most} is the bound", load[who]);
        });
        assert!((outcome.first_choice - percent).abs() < 3.0, "{factor}: {outcome:?}");
        assert!(outcome.peak <= factor, "{factor}: {outcome:?}");
    }
}

#[test]
fn without_a_bound_the_hottest_has_seven_times_the_mean() {
    let outcome = closed_loop(AnyStrategy::new, |_, _| ());
    assert!((outcome.first_choice - 100.0).abs() < 1e-9, "{outcome:?}");
    // Measured elsewhere: 7.4, on one placement; here from 5.5 to 8.3, by who shares an endpoint with the hottest key.
    assert!((outcome.peak - 7.4).abs() < 1.0, "{outcome:?}");
}

/// Takes leases on one hot key and says who gets them.
fn hot(pool: &Pool<()>, count: usize) -> Vec<Lease<()>> {
    (0..count).map(|_| lease(pool, b"hot")).collect()
}

#[test]
fn a_hot_key_fills_its_own_endpoint_up_to_the_bound_exactly() {
    for (name, strategy) in placements() {
        let pool = pool_of(BoundedLoad::new(strategy.clone()), &[3, 1, 2, 2], SEED);
        let own = home(&pool_of(strategy, &[3, 1, 2, 2], SEED), b"hot");
        let weight = [3, 1, 2, 2][own];
        let mut held = Vec::new();
        for total in 1..=200 {
            let before = in_flight(&pool);
            held.push(lease(&pool, b"hot"));
            let fits = before[own] < cap(1.25, total, weight, 8);
            assert_eq!(at(&held[held.len() - 1]) == own, fits, "{name}: request {total} with {before:?}");
            for (at, &load) in in_flight(&pool).iter().enumerate() {
                assert!(load <= cap(1.25, total, [3, 1, 2, 2][at], 8), "{name}: {at} has {load} of {total}");
            }
        }
    }
}

#[test]
fn a_factor_of_one_deals_out_evenly() {
    for strategy in [AnyStrategy::new(Maglev::new()), AnyStrategy::new(Jump::new())] {
        let pool = pool_of(BoundedLoad::new(strategy).factor(1.0).expect("at least 1"), &[1; 10], SEED);
        let held = hot(&pool, 50);
        assert_eq!(in_flight(&pool), [5; 10]);
        drop(held);
    }
}

#[test]
fn the_mean_is_over_the_eligible() {
    let pool = pool_of(BoundedLoad::new(Rendezvous::new()).factor(1.0).expect("at least 1"), &[1; 4], SEED);
    let before = hot(&pool, 40);
    assert_eq!(in_flight(&pool), [10; 4]);
    for down in [0, 1] {
        pool.set_availability(id(down), Availability::Closed).expect("a member");
    }
    // The twenty of those that are down do not make room for more at the others.
    let more = hot(&pool, 20);
    assert_eq!(in_flight(&pool), [10, 10, 20, 20]);
    pool.set_availability(id(0), Availability::Open).expect("a member");
    let third = hot(&pool, 10);
    assert_eq!(in_flight(&pool), [20, 10, 20, 20]);
    drop((before, more, third));
    pool.set_availability(id(1), Availability::Open).expect("a member");
    let held = hot(&pool, 8);
    assert_eq!(in_flight(&pool), [2; 4]);
    drop(held);
}

#[test]
fn counts_stay_right_while_members_come_go_and_change_tiers() {
    let pool = pool_of(BoundedLoad::new(Rendezvous::new()).factor(1.0).expect("at least 1"), &[1; 4], SEED);
    let held = hot(&pool, 8);
    // One leaves with its two, one becomes a backup, one is new.
    let next = [spec(0), spec(1).weight(2), spec(2).tier(Tier::BACKUP), spec(4)];
    pool.update(next, |_| ()).expect("valid");
    // Weights 1, 2 and 1: four there already make eight with the next four.
    let more = hot(&pool, 4);
    assert_eq!(load(&pool), [("e0", 2), ("e1", 4), ("e2", 2), ("e4", 2)].map(|(id, load)| (id.to_owned(), load)));
    drop(held);
    drop(more);
    pool.update(specs(&[1; 4]), |_| ()).expect("valid");
    let held = hot(&pool, 12);
    assert_eq!(load(&pool), ["e0", "e1", "e2", "e3"].map(|id| (id.to_owned(), 3)));
    drop(held);
    assert!(load(&pool).iter().all(|(_, load)| *load == 0));
}

fn load(pool: &Pool<()>) -> Vec<(String, u32)> {
    let mut load: Vec<_> =
        pool.endpoints().into_iter().map(|endpoint| (endpoint.id.to_string(), endpoint.in_flight)).collect();
    load.sort_unstable();
    load
}

#[test]
fn who_is_bound_to_an_endpoint_is_bounded_there_too() {
    let pool = pool_of(BoundedLoad::new(Maglev::new()), &[1; 4], SEED);
    let own = id(2);
    let bound: Vec<_> = (0..8).map(|_| pool.pick(&PickRequest::new().prefer(&own)).expect("room")).collect();
    // ⌈1.25 · 8 / 4⌉
    assert_eq!(bound.iter().filter(|lease| lease.is_preferred()).count(), 3);
    assert_eq!(in_flight(&pool)[2], 3);
    // Who drains has no bound: it takes those bound to it only.
    pool.drain(own.clone()).expect("a member");
    assert!(pool.pick(&PickRequest::new().prefer(&own)).expect("room").is_preferred());
}

#[test]
fn the_bound_holds_where_nobody_else_may_be_picked() {
    let pool = pool_of(BoundedLoad::new(Maglev::new()), &[1; 2], SEED);
    let others = [id(1)];
    let request = PickRequest::new().key(b"key").exclude(&others);
    let held = pool.pick(&request).expect("the first");
    assert!(matches!(pool.pick(&request).map(drop), Ok(()) | Err(PickError::Declined)));
    let more: Vec<_> = (0..10).filter_map(|_| pool.pick(&request).ok()).collect();
    assert!(in_flight(&pool)[0] <= cap(1.25, in_flight(&pool).iter().sum(), 1, 2).max(2), "{more:?}");
    drop(held);
}

#[test]
fn requests_without_a_key_are_bounded_too() {
    let pool = pool_of(BoundedLoad::new(Maglev::new()), &[1; 10], SEED);
    let held: Vec<_> = (0..400).map(|_| crate::common::pick(&pool)).collect();
    assert!(in_flight(&pool).iter().all(|&load| load <= 50), "{:?}", in_flight(&pool));
    drop(held);
    assert_eq!(keys(1, 71).iter().filter(|key| home(&pool, *key) < 10).count(), 1);
}

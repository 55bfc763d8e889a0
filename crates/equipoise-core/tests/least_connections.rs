//! Compares exact least connections with a model that looks at all endpoints, and tests it with several threads.
#![cfg(not(loom))]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use common::{at, id, in_flight, pick, pool_of, specs};
use equipoise_core::{Availability, EndpointId, Entropy, Lease, LeastConnections, PickRequest, Pool, SeededEntropy};
use proptest::prelude::*;

const SEED: u64 = 0xeca7;

#[derive(Clone, Debug)]
enum Op {
    Take { exclude: Vec<usize> },
    End(usize),
    Change(usize),
    Reweigh(usize, u32),
    Limit(usize, u32),
    Prefer(usize),
}

fn op(n: usize) -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => prop::collection::vec(0..n, 0..4).prop_map(|exclude| Op::Take { exclude }),
        4 => Just(Op::Take { exclude: Vec::new() }),
        8 => any::<prop::sample::Index>().prop_map(|at| Op::End(at.index(1 << 20))),
        1 => (0..n).prop_map(Op::Change),
        1 => (0..n, 1u32..5).prop_map(|(at, weight)| Op::Reweigh(at, weight)),
        1 => (0..n, 1u32..4).prop_map(|(at, limit)| Op::Limit(at, limit)),
        1 => (0..n).prop_map(Op::Prefer),
    ]
}

fn scenario() -> impl Strategy<Value = (Vec<u32>, Vec<Op>)> {
    (prop_oneof![1..8usize, 15..20usize, 30..40usize, 250..300usize], any::<bool>()).prop_flat_map(|(n, equal)| {
        let weights = prop::collection::vec(if equal { 1..2u32 } else { 1..6 }, n);
        (weights, prop::collection::vec(op(n), 1..150))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_picked_endpoint_carries_more_than_another_would_with_half_a_request_more(
        (mut weights, ops) in scenario(),
    ) {
        let pool = pool_of(LeastConnections::new(), &weights, SEED);
        let mut limits: Vec<Option<u32>> = vec![None; weights.len()];
        let mut up = vec![true; weights.len()];
        let mut permits = vec![0u32; weights.len()];
        let mut leases: Vec<(Lease<()>, bool)> = Vec::new();
        for op in ops {
            match op {
                Op::End(which) if !leases.is_empty() => {
                    let (lease, permit) = leases.swap_remove(which % leases.len());
                    permits[at(&lease)] -= u32::from(permit);
                }
                Op::End(_) => {}
                Op::Change(index) => {
                    up[index] = !up[index];
                    let availability = if up[index] { Availability::Up } else { Availability::Maintenance };
                    pool.set_availability(id(index), availability).expect("a member");
                }
                Op::Prefer(index) => {
                    let bound = id(index);
                    if let Ok(lease) = pool.pick(&PickRequest::new().prefer(&bound)) {
                        let permit = limits[at(&lease)].is_some();
                        permits[at(&lease)] += u32::from(permit);
                        leases.push((lease, permit));
                    }
                }
                Op::Reweigh(index, _) | Op::Limit(index, _) => {
                    match op {
                        Op::Reweigh(_, weight) => weights[index] = weight,
                        Op::Limit(_, limit) => limits[index] = Some(limit),
                        _ => unreachable!("matched above"),
                    }
                    let all = specs(&weights).into_iter().zip(&limits).map(|(spec, limit)| match limit {
                        Some(limit) => spec.max_in_flight(*limit),
                        None => spec,
                    });
                    pool.update(all, |_| ()).expect("valid");
                }
                Op::Take { exclude } => {
                    let carried = in_flight(&pool);
                    let usable = |index: &usize| {
                        up[*index]
                            && !exclude.contains(index)
                            && limits[*index].is_none_or(|limit| permits[*index] < limit)
                    };
                    let with = |index: usize, more: f64| (f64::from(carried[index]) + more) / f64::from(weights[index]);
                    let usable: Vec<usize> = (0..weights.len()).filter(usable).collect();
                    let level = usable.iter().map(|&index| with(index, 0.5)).fold(f64::INFINITY, f64::min);
                    let tried: Vec<EndpointId> = exclude.iter().map(|&index| id(index)).collect();
                    match pool.pick(&PickRequest::new().exclude(&tried)) {
                        Ok(lease) => {
                            let index = at(&lease);
                            prop_assert!(usable.contains(&index));
                            prop_assert!(
                                with(index, 0.0) <= level + 1e-9,
                                "{} carries {}, level {level}", index, carried[index]
                            );
                            let permit = limits[index].is_some();
                            permits[index] += u32::from(permit);
                            leases.push((lease, permit));
                        }
                        Err(error) => prop_assert!(usable.is_empty(), "{error} though {usable:?} could serve"),
                    }
                }
            }
        }
        drop(leases);
        prop_assert!(in_flight(&pool).iter().all(|&carried| carried == 0));
    }
}

#[test]
fn threads_leave_nothing_behind_that_is_not_exact() {
    for n in [5, 40, 300] {
        let pool = pool_of(LeastConnections::new(), &vec![1; n], SEED);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut held = Vec::new();
                    for turn in 0..4000 {
                        held.push(pick(&pool));
                        if held.len() > 1 + turn % 7 {
                            drop(held.swap_remove(turn % held.len()));
                        }
                    }
                });
            }
            scope.spawn(|| {
                for turn in 0..200 {
                    pool.update(specs(&vec![1; n - turn % 2]), |_| ()).expect("valid");
                }
            });
        });
        pool.update(specs(&vec![1; n]), |_| ()).expect("valid");
        assert!(in_flight(&pool).iter().all(|&carried| carried == 0));
        let burst: Vec<_> = (0..2 * n).map(|_| pick(&pool)).collect();
        assert_eq!(in_flight(&pool), vec![2; n]);
        drop(burst);
    }
}

#[test]
fn without_an_update_too_the_tree_is_exact_after_threads_have_used_it() {
    let n = 300;
    let pool = pool_of(LeastConnections::new(), &vec![1; n], SEED);
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut held: Vec<_> = (0..150).map(|_| pick(&pool)).collect();
                    for turn in 0..3000 {
                        let at = turn % held.len();
                        held[at] = pick(&pool);
                    }
                });
            }
        });
        let _burst: Vec<_> = (0..2 * n).map(|_| pick(&pool)).collect();
        assert_eq!(in_flight(&pool), vec![2; n]);
    }
}

#[test]
fn threads_do_not_herd() {
    let (n, threads) = (200, 4);
    let pool = pool_of(LeastConnections::new(), &vec![1; n], SEED);
    let held: Vec<Vec<_>> = std::thread::scope(|scope| {
        let take = || (0..n).map(|_| pick(&pool)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let carried = in_flight(&pool);
    assert!(carried.iter().all(|&carried| (2..=6).contains(&carried)), "{carried:?}");
    drop(held);
}

#[test]
fn one_strategy_in_two_pools_counts_for_each() {
    let strategy = equipoise_core::AnyStrategy::new(LeastConnections::new());
    let (one, other) = (pool_of(strategy.clone(), &[1; 20], SEED), pool_of(strategy, &[1; 20], SEED));
    let held: Vec<_> = (0..20).map(|_| pick(&one)).collect();
    let burst: Vec<_> = (0..20).map(|_| pick(&other)).collect();
    assert_eq!((in_flight(&one), in_flight(&other)), (vec![1; 20], vec![1; 20]));
    drop((held, burst));
}

#[test]
fn a_preferred_endpoint_s_leases_count() {
    let pool = pool_of(LeastConnections::new(), &[1; 30], SEED);
    let bound = id(7);
    let held: Vec<_> = (0..3).map(|_| pool.pick(&PickRequest::new().prefer(&bound)).expect("up")).collect();
    let others: Vec<_> = (0..29 * 3).map(|_| pick(&pool)).collect();
    assert_eq!(in_flight(&pool), vec![3; 30]);
    drop((held, others));
}

#[test]
fn an_endpoint_that_comes_back_under_another_address_starts_empty() {
    let pool = pool_of(LeastConnections::new(), &[1; 20], SEED);
    let held: Vec<_> = (0..40).map(|_| pick(&pool)).collect();
    let mut all = specs(&[1; 20]);
    all[4] = equipoise_core::EndpointSpec::new("elsewhere").with_id(id(4));
    pool.update(all, |_| ()).expect("valid");
    let next: Vec<_> = (0..2).map(|_| pick(&pool)).collect();
    assert!(next.iter().all(|lease| at(lease) == 4));
    // The leases on the old endpoint end without changing the count of the new endpoint.
    drop(held);
    let more: Vec<_> = (0..38).map(|_| pick(&pool)).collect();
    assert_eq!(in_flight(&pool), vec![2; 20]);
    drop((next, more));
}

/// A source of random numbers whose position the test can set.
#[derive(Default)]
struct Luck(AtomicU64);

impl Entropy for Luck {
    fn next_u64(&self) -> u64 {
        SeededEntropy::new(self.0.fetch_add(1, Ordering::Relaxed)).next_u64()
    }
}

#[test]
fn explanations_change_no_later_pick() {
    let picks = |explained: bool| -> Vec<usize> {
        let luck = Arc::new(Luck::default());
        let pool = Pool::<()>::builder(LeastConnections::new()).entropy(luck.clone()).build();
        pool.update(specs(&[1; 20]), |_| ()).expect("valid specs");
        let pick_by = |number: u64| {
            if explained {
                luck.0.store(1_000 + number, Ordering::Relaxed);
                drop(pool.explain(&PickRequest::new()));
            }
            luck.0.store(SEED + number, Ordering::Relaxed);
            at(&pick(&pool))
        };
        (0..60).map(|number| pick_by(100 * number)).collect()
    };
    assert_eq!(picks(true), picks(false));
}

/// Each pool takes `leases` leases at once. Returns how often each endpoint is picked, over all pools.
fn taken_by_many(pools: u64, n: usize, leases: usize) -> Vec<usize> {
    let mut taken = vec![0; n];
    for number in 0..pools {
        let pool = pool_of(LeastConnections::new(), &vec![1; n], SEED ^ (number << 32));
        let held: Vec<_> = (0..leases).map(|_| pick(&pool)).collect();
        held.iter().for_each(|lease| taken[at(lease)] += 1);
    }
    taken
}

#[test]
fn independent_balancers_favour_no_endpoint() {
    // With 17 endpoints, one endpoint is alone in its node of the tree.
    for n in [10, 17, 33, 100] {
        let (pools, leases) = (1_000, n / 2);
        let taken = taken_by_many(pools, n, leases);
        let share = leases as f64 / n as f64;
        let (mean, deviation) = (share * pools as f64, (share * (1.0 - share) * pools as f64).sqrt());
        let off = |&taken: &usize| (taken as f64 - mean).abs() / deviation;
        assert!(taken.iter().map(off).fold(0.0, f64::max) < 5.0, "{n}: {taken:?}");
    }
}

#[test]
fn a_slower_endpoint_gets_less_also_if_it_is_done_before_all_others_had_their_turn() {
    for n in [16usize, 20] {
        let pool = pool_of(LeastConnections::new(), &vec![1; n], SEED);
        let (mut slow, picks) = (std::collections::VecDeque::new(), 20_000);
        let mut to_slow = 0;
        for now in 0..picks {
            while slow.front().is_some_and(|&(until, _)| until <= now) {
                slow.pop_front();
            }
            let lease = pick(&pool);
            if at(&lease) == 0 {
                to_slow += 1;
                slow.push_back((now + 10, lease));
            }
        }
        // The slow endpoint is idle for n picks on average, and then busy for ten.
        let expected = f64::from(picks) / (n as f64 + 10.0);
        assert!((f64::from(to_slow) / expected - 1.0).abs() < 0.15, "{n}: {to_slow}, {expected}");
    }
}

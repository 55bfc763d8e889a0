use equipoise_core::{
    AnyStrategy, Availability, BoundedLoad, Jump, Lease, Maglev, P2c, PickError, PickRequest, Pool, Rendezvous, Ring,
    Tier,
};

use crate::{
    common::{at, id, in_flight, pool_of, spec, specs},
    keys::{SEED, even, keys, lease, owner, placements},
    zipf::Zipf,
};

/// Returns the bound of an endpoint: the maximum number of its requests in flight. `total` is the number of requests in
/// flight, `all` the sum of the weights.
fn cap(factor: f64, total: u32, weight: u32, all: u32) -> u32 {
    (factor * f64::from(total) * f64::from(weight) / f64::from(all)).ceil() as u32
}

/// Averages over several placements.
#[derive(Debug, Default)]
struct Outcome {
    /// The percentage of requests that went to the first endpoint of their key.
    first_choice: f64,
    /// The highest load of any endpoint at any time, divided by the mean load.
    peak: f64,
}

/// A run: the strategy that places the keys, the wrapper around it, and the number of keys.
struct Run<'a> {
    placement: fn(u64) -> AnyStrategy,
    around: &'a dyn Fn(AnyStrategy) -> AnyStrategy,
    keys: usize,
}

const PLACEMENTS: u64 = 12;

impl Run<'_> {
    /// Keeps 1000 requests in flight at 50 endpoints: for each new request, a random one ends. After each pick, `check`
    /// gets the picked endpoint and the load of all endpoints.
    fn run(&self, mut check: impl FnMut(usize, &[u32])) -> Outcome {
        let (mut outcome, requests) = (Outcome::default(), 4_000);
        for seed in 0..PLACEMENTS {
            let plain = even((self.placement)(seed), 50);
            let pool = even((self.around)((self.placement)(seed)), 50);
            let (zipf, mut leases, mut load) = (Zipf::new(self.keys, 70 + seed), Vec::<Lease<()>>::new(), [0u32; 50]);
            let (mut first, mut peak) = (0, 0);
            for request in 0..2_000 + requests {
                if leases.len() == 1_000 {
                    let ends = leases.swap_remove(zipf.below(1_000));
                    load[at(&ends)] -= 1;
                }
                let key = zipf.key();
                let lease = lease(&pool, &key);
                let index = at(&lease);
                load[index] += 1;
                leases.push(lease);
                check(index, &load);
                if request >= 2_000 {
                    first += u32::from(owner(&plain, &key) == index);
                    peak = peak.max(load[index]);
                }
            }
            outcome.first_choice += 100.0 * f64::from(first) / f64::from(requests) / PLACEMENTS as f64;
            outcome.peak += f64::from(peak) / 20.0 / PLACEMENTS as f64;
        }
        outcome
    }

    /// [`run`](Self::run) with a bound of this factor. Checks that no endpoint exceeds its bound.
    fn bounded(placement: fn(u64) -> AnyStrategy, factor: f64, keys: usize) -> Outcome {
        let around = &|inner| AnyStrategy::new(BoundedLoad::new(inner).factor(factor).expect("at least 1"));
        let outcome = Run { placement, around, keys }.run(|index, load| {
            let most = cap(factor, load.iter().sum(), 1, 50);
            assert!(load[index] <= most, "{} at {index}, where {most} is the bound", load[index]);
        });
        assert!(outcome.peak <= factor, "{factor}, {keys} keys: {outcome:?}");
        outcome
    }
}

fn maglev(seed: u64) -> AnyStrategy {
    AnyStrategy::new(Maglev::new().seed(seed))
}

fn ring(seed: u64) -> AnyStrategy {
    AnyStrategy::new(Ring::new().seed(seed))
}

fn rendezvous(seed: u64) -> AnyStrategy {
    AnyStrategy::new(Rendezvous::new().seed(seed))
}

// The percentage of requests that go to the first endpoint of their key depends on the number of keys, and hardly on
// the strategy. Of K keys, the most frequent one has 1 / H(K) of the requests, where H(K) is the sum of 1 / n up to K:
// 10.2 % with 10 000 keys, 9.2 % with 30 000 and 8.3 % with 100 000. The bound of its endpoint is c / 50 of the
// requests, which is 2.5 % for c = 1.25. With fewer keys, more requests therefore go to other endpoints. The published
// figures (69 % for c = 1.25, 79 % for 1.5, 87 % for 2) correspond to 30 000 keys. In simulations with c = 1.25, the
// percentage is 66, 68, 69, 70 and 72 % for 10 000, 20 000, 30 000, 50 000 and 100 000 keys. For Maglev, a ring of 160
// points and rendezvous it is the same to within half a point. The standard deviation is about 2 for one placement, and
// 0.6 for the average of twelve.

#[test]
fn of_thirty_thousand_zipf_keys_no_load_is_above_its_bound_and_most_come_where_they_belong() {
    for (factor, percent) in [(1.25, 69.0), (1.5, 79.0), (2.0, 87.0)] {
        let outcome = Run::bounded(maglev, factor, 30_000);
        assert!((outcome.first_choice - percent).abs() < 3.0, "{factor}: {outcome:?}");
    }
}

#[test]
fn it_makes_no_difference_what_places_the_keys() {
    for (name, placement) in [("ring", ring as fn(u64) -> AnyStrategy), ("rendezvous", rendezvous)] {
        let outcome = Run::bounded(placement, 1.25, 30_000);
        assert!((outcome.first_choice - 69.0).abs() < 3.0, "{name}: {outcome:?}");
    }
}

#[test]
fn the_fewer_the_keys_the_fewer_come_where_they_belong() {
    let [few, many] = [3_000, 300_000].map(|keys| Run::bounded(maglev, 1.25, keys).first_choice);
    assert!(few < 66.0 && many > 72.0, "{few} and {many}");
}

#[test]
fn without_a_bound_the_hottest_of_ten_thousand_keys_makes_seven_times_the_mean() {
    let outcome = Run { placement: maglev, around: &|inner| inner, keys: 10_000 }.run(|_, _| ());
    assert!((outcome.first_choice - 100.0).abs() < 1e-9, "{outcome:?}");
    // Of 1000 requests in flight, 102 have the most frequent key, and 18 are its endpoint's share of the other keys.
    // This is 6 times the mean, and the highest load is more. The published figure is 7.4, for one placement. In
    // simulations it is 7.1 with a standard deviation of 1, which comes from the other keys at the same endpoint. With
    // 30 000 keys it is 6.5, and with 3000 keys 7.9.
    assert!((outcome.peak - 7.4).abs() < 1.0, "{outcome:?}");
}

/// Takes leases on one hot key and returns their endpoints.
fn hot(pool: &Pool<()>, count: usize) -> Vec<Lease<()>> {
    (0..count).map(|_| lease(pool, b"hot")).collect()
}

#[test]
fn a_hot_key_fills_its_own_endpoint_up_to_the_bound_exactly() {
    for (name, strategy) in placements() {
        let pool = pool_of(BoundedLoad::new(strategy.clone()), &[3, 1, 2, 2], SEED);
        let own = owner(&pool_of(strategy, &[3, 1, 2, 2], SEED), b"hot");
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
fn rounding_makes_no_room_for_one_more() {
    for (factor, tenths) in [(1.1, 11), (1.2, 12), (1.3, 13), (1.4, 14), (1.6, 16), (1.7, 17)] {
        for weights in [&[1; 10][..], &[1; 7], &[1, 2, 3], &[1, 1, 2, 4]] {
            let pool = pool_of(BoundedLoad::new(Ring::new()).factor(factor).expect("at least 1"), weights, SEED);
            let all: u32 = weights.iter().sum();
            let mut held = Vec::new();
            for total in 1..=300u32 {
                held.push(lease(&pool, b"hot"));
                for (load, weight) in in_flight(&pool).into_iter().zip(weights) {
                    let most = (tenths * total * weight).div_ceil(10 * all);
                    assert!(load <= most, "{factor}: weight {weight} of {all} has {load} of {total}, {most} at most");
                }
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
        pool.set_availability(id(down), Availability::Maintenance).expect("a member");
    }
    // The 20 requests at the endpoints in maintenance do not raise the bounds of the other endpoints.
    let more = hot(&pool, 20);
    assert_eq!(in_flight(&pool), [10, 10, 20, 20]);
    pool.set_availability(id(0), Availability::Up).expect("a member");
    let third = hot(&pool, 10);
    assert_eq!(in_flight(&pool), [20, 10, 20, 20]);
    drop((before, more, third));
    pool.set_availability(id(1), Availability::Up).expect("a member");
    let held = hot(&pool, 8);
    assert_eq!(in_flight(&pool), [2; 4]);
    drop(held);
}

#[test]
fn counts_stay_right_while_members_come_go_and_change_tiers() {
    let pool = pool_of(BoundedLoad::new(Rendezvous::new()).factor(1.0).expect("at least 1"), &[1; 4], SEED);
    let held = hot(&pool, 8);
    // One endpoint leaves with its two requests, one becomes a backup, and one is new.
    let next = [spec(0), spec(1).weight(2), spec(2).tier(Tier::BACKUP), spec(4)];
    pool.update(next, |_| ()).expect("valid");
    // The eligible endpoints have the weights 1, 2 and 1. The four requests there and the four new ones are eight.
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
fn requests_with_a_binding_are_bounded_too() {
    let pool = pool_of(BoundedLoad::new(Maglev::new()), &[1; 4], SEED);
    let own = id(2);
    let bound: Vec<_> = (0..8).map(|_| pool.pick(&PickRequest::new().prefer(&own)).expect("room")).collect();
    // ⌈1.25 · 8 / 4⌉
    assert_eq!(bound.iter().filter(|lease| lease.is_preferred()).count(), 3);
    assert_eq!(in_flight(&pool)[2], 3);
    // A draining endpoint has no bound, because it accepts only requests that are bound to it.
    pool.drain(own.clone()).expect("a member");
    assert!(pool.pick(&PickRequest::new().prefer(&own)).expect("room").is_preferred());
}

#[test]
fn the_bound_holds_where_no_other_endpoint_may_be_picked() {
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
    assert_eq!(keys(1, 71).iter().filter(|key| owner(&pool, *key) < 10).count(), 1);
}

#[test]
fn a_fallback_that_bounds_the_load_refuses_nothing_that_goes_by_key() {
    let pool = pool_of(Maglev::new().fallback(BoundedLoad::new(P2c::new())), &[1, 1], SEED);
    let (hot, plain) = (PickRequest::new().key(b"hot"), PickRequest::new());
    let bounded = |leases: &[Lease<()>]| {
        let most = cap(1.25, leases.len() as u32, 1, 2);
        in_flight(&pool).iter().all(|&carried| carried <= most)
    };
    for round in 0..3 {
        let mut held: Vec<_> = (0..20).map(|_| pool.pick(&hot).expect("its own endpoint")).collect();
        let own = at(&held[0]);
        assert!(held.iter().all(|lease| at(lease) == own), "round {round}");
        // The fallback strategy has counted these leases, so it sends most requests without a key to the other
        // endpoint.
        let others: Vec<_> = (0..4).map(|_| pool.pick(&plain).expect("the other")).collect();
        assert!(others.iter().filter(|lease| at(lease) == own).count() <= 2, "round {round}");
        // The order differs between the rounds, so that leases that the fallback counts end before and after those that
        // it does not count.
        if round == 1 {
            drop(others);
            held.clear();
        } else {
            held.clear();
            drop(others);
        }
        assert_eq!(in_flight(&pool), [0, 0]);
        let mut held = Vec::new();
        for _ in 0..12 {
            held.push(pool.pick(&plain).expect("room"));
            assert!(bounded(&held), "round {round}: {:?}", in_flight(&pool));
        }
    }
}

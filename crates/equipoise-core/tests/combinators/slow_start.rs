use std::{sync::Arc, time::Duration};

use equipoise_core::{
    Clock, EndpointId, InvalidCombinator, ManualClock, P2c, PeakEwma, PickRequest, Pool, Random, RoundRobin, SlowStart,
    Strategy, Timestamp,
};

use crate::{
    common::{at, clocked, id, pick, spec, specs},
    keyed::{ByKey, owners},
    maintenance,
    shares::{follow, idle, share},
    up,
};

const SEED: u64 = 0x510;
const WINDOW: Duration = Duration::from_secs(30);

/// Creates a pool of four endpoints with their full share and a fifth that has just joined.
fn four_and_one(strategy: impl Strategy) -> (Pool<()>, Arc<ManualClock>) {
    let (pool, clock) = clocked(SlowStart::new(strategy), &[1; 4], SEED);
    pool.add(spec(4), ()).expect("a new endpoint");
    (pool, clock)
}

/// Returns the share of an endpoint, relative to its share without slow start.
fn part(pool: &Pool<()>, index: usize, n: usize) -> f64 {
    share(&idle(pool, n, 40_000), index) * n as f64
}

fn close_to(part: f64, expected: f64) {
    // Four standard deviations of 40 000 draws are 0.01 for a share of a fifth, or 0.04 relative to this share.
    assert!((part - expected).abs() < 0.04, "{part} is not about {expected}");
}

#[test]
fn the_weight_of_a_new_endpoint_rises_from_a_tenth_to_its_share() {
    for strategy in [0, 1] {
        let (pool, clock) = if strategy == 0 { four_and_one(P2c::new()) } else { four_and_one(Random::new()) };
        for (seconds, expected) in [(0, 0.1), (3, 0.1), (12, 0.5), (7, 0.73), (7, 0.97), (1, 1.0), (100, 1.0)] {
            clock.advance(Duration::from_secs(seconds));
            close_to(part(&pool, 4, 5), expected);
        }
    }
}

#[test]
fn aggression_and_floor_bend_the_rise() {
    let strategy = SlowStart::new(Random::new()).aggression(2.0).and_then(|s| s.floor(0.3)).expect("valid");
    let (pool, clock) = clocked(strategy.window(Duration::from_secs(100)), &[1; 4], SEED);
    pool.add(spec(4), ()).expect("a new endpoint");
    close_to(part(&pool, 4, 5), 0.3);
    clock.advance(Duration::from_secs(25));
    close_to(part(&pool, 4, 5), 0.5);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let start = SlowStart::new(P2c::new());
    for aggression in [0.0, -1.0, f64::INFINITY] {
        assert_eq!(start.aggression(aggression).expect_err("refused"), InvalidCombinator::Aggression { aggression });
    }
    for floor in [0.0, 1.1] {
        assert_eq!(start.floor(floor).expect_err("refused"), InvalidCombinator::Floor { floor });
    }
    assert!(start.floor(f64::NAN).is_err() && start.aggression(f64::NAN).is_err());
}

#[test]
fn a_window_of_zero_turns_it_off() {
    let (pool, _) = clocked(SlowStart::new(Random::new()).window(Duration::ZERO), &[1; 4], SEED);
    pool.add(spec(4), ()).expect("a new endpoint");
    close_to(part(&pool, 4, 5), 1.0);
}

#[test]
fn the_first_members_are_warm() {
    let (pool, _) = clocked(SlowStart::new(Random::new()), &[1; 4], SEED);
    let counts = idle(&pool, 4, 40_000);
    follow(&counts, &[1; 4]).unwrap_or_else(|error| panic!("{error}"));
    // With `include_first_members`, an endpoint that joins after 10 s has the factor 0.1. The other factors are 1/3,
    // and the factors are divided by the largest one.
    let (pool, clock) = clocked(SlowStart::new(Random::new()).include_first_members(), &[1; 4], SEED);
    follow(&idle(&pool, 4, 40_000), &[1; 4]).unwrap_or_else(|error| panic!("{error}"));
    clock.advance(Duration::from_secs(10));
    pool.add(spec(4), ()).expect("a new endpoint");
    close_to(part(&pool, 4, 5), 0.3);
}

#[test]
fn an_endpoint_that_comes_back_starts_slowly_and_the_others_do_not() {
    let (pool, clock) = clocked(SlowStart::new(Random::new()), &[1; 5], SEED);
    maintenance(&pool, [2]);
    clock.advance(Duration::from_secs(100));
    up(&pool, 2);
    close_to(part(&pool, 2, 5), 0.1);
    close_to(part(&pool, 1, 5), 0.9 / 4.0 + 1.0);
    clock.advance(WINDOW);
    close_to(part(&pool, 2, 5), 1.0);
}

#[test]
fn a_new_endpoint_does_not_restart_the_others() {
    let (pool, clock) = four_and_one(Random::new());
    clock.advance(WINDOW / 2);
    pool.add(spec(5), ()).expect("a new endpoint");
    let counts = idle(&pool, 6, 60_000);
    // The factors are 0.5 and 0.1. Each endpoint also gets a few of the requests that the other one loses.
    close_to(share(&counts, 4) * 6.0, 0.59);
    close_to(share(&counts, 5) * 6.0, 0.11);
    // Changes of availability and weights and a removal do not restart an endpoint either.
    maintenance(&pool, [0]);
    pool.update((1..6).map(|at| spec(at).weight(2)), |_| ()).expect("valid specs");
    clock.advance(WINDOW / 4);
    let counts = idle(&pool, 6, 60_000);
    close_to(share(&counts, 4) * 5.0, 0.89);
    close_to(share(&counts, 5) * 5.0, 0.27);
    clock.advance(WINDOW / 4);
    close_to(share(&idle(&pool, 6, 40_000), 4) * 5.0, 1.0 + 0.5 / 4.0);
}

#[test]
fn a_replaced_endpoint_starts_slowly_in_its_old_slot() {
    let (pool, _) = clocked(SlowStart::new(Random::new()), &[1; 4], SEED);
    let moved = specs(&[1; 3]).into_iter().chain([equipoise_core::EndpointSpec::new("elsewhere").with_id("e3")]);
    assert_eq!(pool.update(moved, |_| ()).expect("valid specs").replaced.len(), 1);
    close_to(part(&pool, 3, 4), 0.1);
}

#[test]
fn a_start_goes_on_without_traffic() {
    let (pool, clock) = four_and_one(Random::new());
    clock.advance(WINDOW);
    assert!(idle(&pool, 5, 50)[4] > 0);
    close_to(part(&pool, 4, 5), 1.0);
}

#[test]
fn no_endpoint_loses_traffic_when_all_are_starting() {
    let (pool, clock) = clocked(SlowStart::new(RoundRobin::new()), &[1; 4], SEED);
    pool.update([4, 5, 6, 7].map(spec), |_| ()).expect("valid specs");
    assert_eq!(idle(&pool, 4, 400), [100; 4]);
    clock.advance(WINDOW / 2);
    maintenance(&pool, [4]);
    up(&pool, 4);
    // The factors are divided by the largest one, so 0.5 becomes 1 and 0.1 becomes 0.2.
    let counts = idle(&pool, 4, 40_000);
    close_to(f64::from(counts[0]) / f64::from(counts[1]), 0.2);
}

#[test]
fn a_starting_endpoint_serves_when_no_other_can() {
    let (pool, _) = four_and_one(P2c::new());
    let tried: Vec<EndpointId> = (0..4).map(id).collect();
    for _ in 0..100 {
        assert_eq!(at(&pool.pick(&PickRequest::new().exclude(&tried)).expect("the new endpoint")), 4);
    }
    maintenance(&pool, 0..4);
    assert!((0..100).all(|_| at(&pick(&pool)) == 4));
}

#[test]
fn taking_turns_stays_even_among_the_others() {
    // Half of the endpoints are new, and they are next to each other in the order of turns.
    let (pool, clock) = clocked(SlowStart::new(RoundRobin::new()), &[1; 6], SEED);
    (6..12).for_each(|at| drop(pool.add(spec(at), ()).expect("a new endpoint")));
    clock.advance(WINDOW / 4);
    let counts = idle(&pool, 12, 24_000);
    let warm: u32 = counts[..6].iter().sum();
    let due = f64::from(warm) / 6.0;
    assert!(counts[..6].iter().all(|&count| (f64::from(count) - due).abs() < 0.06 * due), "{counts:?}");
    for &count in &counts[6..] {
        close_to(f64::from(count) / f64::from(warm) * 6.0, 0.25);
    }
}

#[test]
fn a_new_endpoint_gets_traffic_under_least_request_and_is_not_flooded() {
    // The other endpoints have ten requests in flight. The new endpoint has none, so it wins each comparison in which
    // it is drawn.
    let (pool, clock) = clocked(SlowStart::new(P2c::new()), &[1; 10], SEED);
    let _busy: Vec<_> = (0..100).map(|_| pick(&pool)).collect();
    pool.add(spec(10), ()).expect("a new endpoint");
    for (seconds, expected) in [(0, 0.1), (15, 0.5), (15, 1.0)] {
        clock.advance(Duration::from_secs(seconds));
        let got = share(&idle(&pool, 11, 40_000), 10);
        // The endpoint is drawn in two of eleven picks.
        assert!((got - expected * 2.0 / 11.0).abs() < 0.01, "{got} after {seconds} s");
    }
}

#[test]
fn a_starting_endpoint_is_given_its_keys_one_by_one() {
    let (pool, clock) = four_and_one(ByKey);
    let mut last = owners(&pool, 4000);
    let mut owned = Vec::new();
    for _ in 0..10 {
        clock.advance(WINDOW / 10);
        let now = owners(&pool, 4000);
        assert_eq!(now, owners(&pool, 4000), "a key stays while the clock stands");
        assert!(last.iter().zip(&now).all(|(was, is)| was == is || *is == 4), "keys move to the new endpoint only");
        owned.push(now.iter().filter(|&&at| at == 4).count());
        last = now;
    }
    assert!(owned.is_sorted() && owned[0] < owned[9] / 5 && owned[4] > owned[9] / 3, "{owned:?}");
}

#[test]
fn a_clock_that_is_set_back_does_not_prolong_a_start() {
    let (pool, clock) = clocked(SlowStart::new(PeakEwma::new()), &[1; 4], SEED);
    clock.set(Timestamp::ZERO + Duration::from_secs(100_000));
    pool.add(spec(4), ()).expect("a new endpoint");
    close_to(part(&pool, 4, 5), 0.1);
    clock.set(Timestamp::from_nanos(1));
    close_to(part(&pool, 4, 5), 1.0);
}

/// A clock that counts how often it is read.
#[derive(Default)]
struct Counting(ManualClock, std::sync::atomic::AtomicU64);

impl Clock for Counting {
    fn now(&self) -> Timestamp {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.now()
    }
}

#[test]
fn the_clock_is_read_during_a_start_only() {
    let clock = Arc::new(Counting::default());
    let pool: Pool<()> = Pool::<()>::builder(SlowStart::new(P2c::new())).clock(clock.clone()).build();
    let readings = |pool: &Pool<()>| {
        let before = clock.1.load(std::sync::atomic::Ordering::Relaxed);
        (0..100).for_each(|_| drop(pick(pool)));
        clock.1.load(std::sync::atomic::Ordering::Relaxed) - before
    };
    pool.update(specs(&[1; 4]), |_| ()).expect("valid specs");
    assert_eq!(readings(&pool), 0);
    pool.add(spec(4), ()).expect("a new endpoint");
    assert_eq!(readings(&pool), 100);
    clock.0.advance(WINDOW);
    assert_eq!(readings(&pool), 1, "the pick that finds out");
    assert_eq!(readings(&pool), 0);
}

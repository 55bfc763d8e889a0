//! Model checking of the lock-free code: loom runs each test in every order that the memory model allows. Run it with
//! `RUSTFLAGS="--cfg loom" cargo test -p equipoise-core --test loom --release`.
//!
//! `Arc` is that of the standard library and is not modelled. Locks, atomics and the swapped pointer are those of loom.
//! Pools are built inside the model and use seeds, because loom repeats runs: the same schedule must give the same
//! picks. All schedules take about 20 s. With `LOOM_MAX_PREEMPTIONS=3` they take about 1 s.
#![cfg(loom)]

#[path = "loom/hooked.rs"]
mod hooked;
#[path = "loom/queue.rs"]
mod queue;

use std::sync::Arc;

use equipoise_core::{
    Availability, BoundedLoad, EndpointId, EndpointSpec, Lease, ManualClock, P2c, PickError, PickRequest, Pool,
    RoundRobin, SeededEntropy, Strategy, Verdict,
};
use loom::{model, thread};

fn pool(strategy: impl Strategy, specs: impl IntoIterator<Item = EndpointSpec>) -> Pool<u32> {
    let builder = Pool::<u32>::builder(strategy).stripes(1);
    let builder = builder.entropy(Arc::new(SeededEntropy::new(0x100))).clock(Arc::new(ManualClock::new()));
    let pool = builder.build();
    let mut made = 0;
    pool.update(specs, |_| {
        made += 1;
        made
    })
    .expect("valid specs");
    pool
}

fn two() -> [EndpointSpec; 2] {
    ["a", "b"].map(EndpointSpec::new)
}

fn pick(pool: &Pool<u32>) -> Result<Lease<u32>, PickError> {
    pool.pick(&PickRequest::new())
}

fn name(lease: &Lease<u32>) -> String {
    lease.endpoint().id().to_string()
}

fn in_flight(pool: &Pool<u32>) -> Vec<u32> {
    pool.endpoints().iter().map(|endpoint| endpoint.in_flight).collect()
}

#[test]
fn leases_are_counted_while_two_threads_take_and_end_them() {
    model(|| {
        let pool = pool(RoundRobin::new(), [EndpointSpec::new("a")]);
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let lease = pick(&other).expect("up");
            assert!(in_flight(&other)[0] >= 1);
            lease.finish(Verdict::Success);
        });
        let lease = pick(&pool).expect("up");
        assert!(in_flight(&pool)[0] >= 1);
        thread.join().expect("no panic");
        assert_eq!(in_flight(&pool), [1]);
        drop(lease);
        assert_eq!(in_flight(&pool), [0]);
    });
}

#[test]
fn a_lease_ends_right_whatever_an_update_does_meanwhile() {
    model(|| {
        let pool = pool(RoundRobin::new(), two());
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let lease = pick(&other).expect("an endpoint is always up");
            assert_eq!(*lease.target(), if name(&lease) == "a" { 1 } else { 2 });
            drop(lease);
        });
        pool.update([EndpointSpec::new("b").weight(2)], |_| unreachable!("no endpoint is new")).expect("valid");
        thread.join().expect("no panic");
        assert_eq!(in_flight(&pool), [0]);
        assert_eq!(name(&pick(&pool).expect("up")), "b");
    });
}

#[test]
fn in_flight_survives_an_update_made_while_the_lease_ends() {
    model(|| {
        let pool = pool(P2c::new(), [EndpointSpec::new("a")]);
        let (held, ends) = (pick(&pool).expect("up"), pick(&pool).expect("up"));
        let thread = thread::spawn(move || drop(ends));
        pool.add(EndpointSpec::new("b"), 2).expect("a new id");
        thread.join().expect("no panic");
        assert_eq!(in_flight(&pool), [1, 0]);
        drop(held);
        assert_eq!(in_flight(&pool), [0, 0]);
    });
}

#[test]
fn a_limit_is_never_exceeded_and_every_permit_comes_back() {
    model(|| {
        let pool = pool(RoundRobin::new(), [EndpointSpec::new("a").max_in_flight(1)]);
        let other = pool.clone();
        let serve = |pool: &Pool<u32>| match pick(pool) {
            Ok(lease) => {
                assert_eq!(in_flight(pool), [1]);
                drop(lease);
                true
            }
            Err(error) => {
                assert!(matches!(error, PickError::Saturated | PickError::Declined));
                false
            }
        };
        let thread = thread::spawn(move || serve(&other));
        let here = serve(&pool);
        let there = thread.join().expect("no panic");
        assert!(here || there, "both were refused");
        let lease = pick(&pool).expect("all permits are back");
        assert!(matches!(pick(&pool), Err(PickError::Saturated)));
        drop(lease);
    });
}

#[test]
fn a_limit_lowered_while_permits_are_taken_holds_afterwards() {
    model(|| {
        let pool = pool(RoundRobin::new(), [EndpointSpec::new("a").max_in_flight(2)]);
        let other = pool.clone();
        let thread = thread::spawn(move || drop((pick(&other).ok(), pick(&other).ok())));
        pool.update([EndpointSpec::new("a").max_in_flight(1)], |_| unreachable!("no endpoint is new")).expect("valid");
        thread.join().expect("no panic");
        let lease = pick(&pool).expect("all permits are back");
        assert!(matches!(pick(&pool), Err(PickError::Saturated)));
        drop(lease);
    });
}

#[test]
fn two_threads_get_different_endpoints_of_two() {
    model(|| {
        let pool = pool(RoundRobin::new(), two());
        let other = pool.clone();
        let thread = thread::spawn(move || pick(&other).expect("up"));
        let here = pick(&pool).expect("up");
        let there = thread.join().expect("no panic");
        assert_ne!(name(&here), name(&there));
        assert_eq!(in_flight(&pool), [1, 1]);
    });
}

#[test]
fn an_availability_change_is_seen_whole_by_concurrent_picks() {
    model(|| {
        let pool = pool(RoundRobin::new(), two());
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let lease = pick(&other).expect("b is up all the time");
            drop(lease);
        });
        assert!(pool.set_availability("a", Availability::Maintenance).expect("known"));
        assert_eq!(name(&pick(&pool).expect("up")), "b", "an endpoint in maintenance does not get it");
        thread.join().expect("no panic");
        assert_eq!(in_flight(&pool), [0, 0]);
    });
}

#[test]
fn two_writers_lose_no_change() {
    model(|| {
        let pool = pool(RoundRobin::new(), two());
        let other = pool.clone();
        let before = pool.revision().get();
        let thread = thread::spawn(move || other.set_weight("a", 5).expect("known"));
        pool.set_availability("b", Availability::Draining).expect("known");
        thread.join().expect("no panic");
        let endpoints = pool.endpoints();
        assert_eq!((endpoints[0].weight, endpoints[1].availability), (5, Availability::Draining));
        assert_eq!(pool.revision().get(), before + 2);
    });
}

#[test]
fn a_bound_is_kept_by_two_threads_and_nothing_is_lost_of_its_counts() {
    model(|| {
        let pool = pool(BoundedLoad::new(RoundRobin::new()).factor(1.0).expect("at least 1"), two());
        let other = pool.clone();
        let thread = thread::spawn(move || pick(&other).expect("one of the two has room"));
        let here = pick(&pool).expect("one of the two has room");
        let there = thread.join().expect("no panic");
        assert_eq!(in_flight(&pool), [1, 1]);
        let thread = thread::spawn(move || drop(there));
        drop(here);
        thread.join().expect("no panic");
        let again = [pick(&pool), pick(&pool)];
        assert!(again.iter().all(Result::is_ok));
        assert_eq!(in_flight(&pool), [1, 1]);
    });
}

#[test]
fn an_endpoint_that_goes_down_takes_its_count_along_while_leases_come_and_go() {
    // Limits the preemptions, because all schedules would take many minutes.
    let mut bounded = model::Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(|| {
        let pool = pool(BoundedLoad::new(RoundRobin::new()).factor(1.0).expect("at least 1"), two());
        let other = pool.clone();
        let thread = thread::spawn(move || drop(pick(&other)));
        pool.set_availability("a", Availability::Maintenance).expect("known");
        pool.set_availability("a", Availability::Up).expect("known");
        thread.join().expect("no panic");
        let held: Vec<_> = (0..2).map(|_| pick(&pool).expect("there is room")).collect();
        assert_eq!(in_flight(&pool), [1, 1]);
        drop(held);
    });
}

#[test]
fn one_of_two_threads_tries_an_endpoint_and_a_cancelled_try_is_handed_on() {
    model(|| {
        let pool = pool(RoundRobin::new(), ["a", "b", "c"].map(EndpointSpec::new));
        pool.set_availability("a", Availability::Probation).expect("known");
        let other = pool.clone();
        let try_it = |pool: &Pool<u32>| {
            let bound = EndpointId::from("a");
            pool.pick(&PickRequest::new().prefer(&bound)).ok().filter(|lease| name(lease) == "a")
        };
        let thread = thread::spawn(move || try_it(&other));
        let here = try_it(&pool);
        let there = thread.join().expect("no panic");
        assert!(here.is_some() != there.is_some());
        let thread = thread::spawn(move || drop((here, there)));
        let meanwhile = try_it(&pool);
        thread.join().expect("no panic");
        match meanwhile {
            Some(lease) => lease.finish(Verdict::Success),
            None => try_it(&pool).expect("handed on").finish(Verdict::Success),
        }
        assert!(try_it(&pool).is_none());
    });
}

//! Threads that pick, exclude and change the pool at the same time.

use std::sync::atomic::{AtomicBool, Ordering};

use equipoise_core::{Availability, EndpointId, PickRequest, Pool, Verdict};

use crate::{
    common::{at, id, in_flight, pick, spec, specs},
    strategies,
};

#[test]
fn two_threads_with_nine_of_ten_excluded_do_not_starve() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::new(strategy);
        pool.update(specs(&[1; 10]), |_| ()).expect("valid");
        std::thread::scope(|scope| {
            for left in [2, 7] {
                let pool = &pool;
                scope.spawn(move || {
                    let tried: Vec<EndpointId> = (0..10).filter(|&at| at != left).map(id).collect();
                    for _ in 0..3000 {
                        let lease = pool.pick(&PickRequest::new().exclude(&tried)).expect("one is left");
                        assert_eq!(at(&lease), left);
                    }
                });
            }
        });
        assert!(in_flight(&pool).iter().all(|&n| n == 0));
    }
}

#[test]
fn exclusion_by_one_thread_takes_no_share_from_the_other() {
    let pool: Pool<()> = Pool::new(equipoise_core::RoundRobin::new());
    pool.update(specs(&[1; 10]), |_| ()).expect("valid");
    let tried: Vec<EndpointId> = (1..10).map(id).collect();
    let mut served = [0u32; 10];
    for _ in 0..1000 {
        drop(pool.pick(&PickRequest::new().exclude(&tried)).expect("valid"));
        drop(pool.pick(&PickRequest::new().exclude(&tried)).expect("valid"));
        served[at(&pick(&pool))] += 1;
    }
    assert_eq!(served, [100; 10]);
}

#[test]
fn picks_during_updates_see_whole_states_and_lose_no_count() {
    for strategy in strategies() {
        let pool: Pool<u32> = Pool::new(strategy);
        // The pool has either e0 and e1 or e2 and e3, and never a mixture. The target contains the number of the update
        // that created it.
        let pair = |generation: u32| [0, 1].map(|at| spec(at + 2 * (generation as usize % 2)).weight(1 + at as u32));
        pool.update(pair(0), |_| 0).expect("valid");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let lease = pick(&pool);
                        let odd = *lease.target() % 2;
                        let name = lease.endpoint().id().as_str();
                        assert_eq!(odd == 1, matches!(name, "e2" | "e3"), "{name} of {odd}");
                        lease.finish(Verdict::Success);
                    }
                });
            }
            for generation in 1..300 {
                pool.update(pair(generation), |_| generation).expect("valid");
                pool.set_availability(format!("e{}", 2 * (generation % 2)), Availability::Maintenance).expect("valid");
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(in_flight(&pool), [0, 0]);
    }
}

#[test]
fn stripes_add_up() {
    for strategy in strategies() {
        let pool: Pool<()> = Pool::<()>::builder(strategy).stripes(4).build();
        pool.update(specs(&[1, 1, 1]), |_| ()).expect("valid");
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..6).map(|_| scope.spawn(|| (0..10).map(|_| pick(&pool)).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("valid")).collect()
        });
        assert_eq!(in_flight(&pool).iter().sum::<u32>(), 60);
        pool.add(spec(3), ()).expect("valid");
        assert_eq!(in_flight(&pool).iter().sum::<u32>(), 60, "counts survive an update");
        drop(held);
        assert_eq!(in_flight(&pool), [0, 0, 0, 0]);
    }
}

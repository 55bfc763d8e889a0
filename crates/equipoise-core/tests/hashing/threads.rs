//! The bound of bounded load with several threads, and the counts after all leases have ended.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use equipoise_core::{Availability, BoundedLoad, Lease, Maglev, Pool, Ring, Tier};

use crate::{
    common::{id, in_flight, pool_of, spec, specs},
    keys::{SEED, lease},
    zipf::Zipf,
};

const THREADS: u64 = 4;

#[test]
fn no_load_is_above_its_bound_when_threads_take_leases_together() {
    for round in 0..20 {
        let pool = pool_of(BoundedLoad::new(Ring::new()), &[1; 20], SEED);
        let take = |thread: u64| {
            let zipf = Zipf::new(100, 80 + round * THREADS + thread);
            (0..250).map(|_| lease(&pool, &zipf.key())).collect::<Vec<Lease<()>>>()
        };
        let held: Vec<Vec<Lease<()>>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let take = &take;
                    scope.spawn(move || take(thread))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        // The total has only risen, so an endpoint that was within its bound at its last pick still is. The bound is
        // ⌈1.25 · 1000 / 20⌉.
        assert!(in_flight(&pool).iter().all(|&load| load <= 63), "{:?}", in_flight(&pool));
        drop(held);
        assert_eq!(in_flight(&pool), [0; 20]);
    }
}

#[test]
fn nothing_is_lost_or_invented_while_threads_and_updates_run_together() {
    let pool = pool_of(BoundedLoad::new(Maglev::new()).factor(1.0).expect("at least 1"), &[1; 8], SEED);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let pool = &pool;
                scope.spawn(move || churn(pool, thread_seed(thread)))
            })
            .collect();
        scope.spawn(|| {
            let mut turn = 0;
            while !done.load(Ordering::Acquire) {
                change(&pool, turn);
                turn += 1;
            }
        });
        for worker in workers {
            worker.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
    });
    pool.update(specs(&[1; 8]), |_| ()).expect("valid");
    for at in 0..8 {
        pool.set_availability(id(at), Availability::Up).expect("a member");
    }
    // With a factor of 1, a count that is wrong by one would change the result.
    let held: Vec<_> = (0..80).map(|_| lease(&pool, b"hot")).collect();
    assert_eq!(in_flight(&pool), [10; 8]);
    drop(held);
}

fn thread_seed(thread: u64) -> u64 {
    0x7468 + thread
}

/// Takes leases and ends them, some of them later.
fn churn(pool: &Pool<()>, seed: u64) {
    let zipf = Zipf::new(50, seed);
    let mut held = Vec::new();
    for _ in 0..3_000 {
        if held.len() == 20 {
            drop(held.swap_remove(zipf.below(20)));
        }
        // The pick may fail: another thread can take the last free capacity between the choice of an endpoint and its
        // lease.
        held.extend(pool.pick(&equipoise_core::PickRequest::new().key(&zipf.key())));
    }
}

fn change(pool: &Pool<()>, turn: usize) {
    let availability = [Availability::Maintenance, Availability::Up][turn % 2];
    // Ignores errors, because the endpoint may not be a member at this moment.
    drop(pool.set_availability(id(turn / 2 % 3), availability));
    if turn.is_multiple_of(4) {
        let backup = if turn.is_multiple_of(8) { Tier::BACKUP } else { Tier::PRIMARY };
        let specs = (0..8).filter(|&at| at != 3 + turn / 4 % 3).map(|at| {
            let spec = spec(at).weight(1 + (turn / 4 % 2) as u32);
            if at == 7 { spec.tier(backup) } else { spec }
        });
        pool.update(specs, |_| ()).expect("valid");
    }
}

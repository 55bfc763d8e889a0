use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::*;

const THREADS: usize = 4;

#[test]
fn one_of_the_threads_that_bind_or_move_a_session_at_once_wins() {
    let (table, _) = table(1_000);
    let barrier = Barrier::new(THREADS);
    let names: Vec<_> = (0..THREADS).map(|n| id(&format!("winner-{n}"))).collect();
    let won: Vec<Vec<(EndpointId, EndpointId)>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|at| {
                let (table, barrier, names) = (&table, &barrier, &names);
                scope.spawn(move || {
                    (0..500u32)
                        .map(|round| {
                            let key = round.to_be_bytes();
                            barrier.wait();
                            table.bind(&key, &names[at], None);
                            let first = bound(table, &key).unwrap();
                            barrier.wait();
                            table.bind(&key, &id(&format!("moved-{at}")), Some(&first));
                            (first, bound(table, &key).unwrap())
                        })
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for others in &won[1..] {
        assert_eq!(others, &won[0], "all threads see the same winners");
    }
}

#[test]
fn threads_that_do_everything_at_once_keep_the_bound_and_the_books() {
    let (table, clock) = table_with(SessionTable::builder().capacity(500).idle_timeout(secs(2)));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..THREADS as u64 {
            let (table, clock, over) = (&table, &clock, &over);
            scope.spawn(move || {
                let mut random = seed;
                for _ in 0..100_000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (what, key) = (random >> 60, (random >> 33) as u32 % 1_000);
                    let (key, endpoint) = (key.to_be_bytes(), id(&format!("{}", random >> 40 & 7)));
                    match what {
                        0..6 => drop(bound(table, &key)),
                        6..12 => table.bind(&key, &endpoint, None),
                        12 => table.unbind(&key),
                        13 if random >> 50 & 31 == 0 => table.left(&endpoint),
                        14 if random >> 50 & 31 == 0 => clock.advance(secs(1)),
                        15 if random >> 50 & 31 == 0 => drop(table.sweep()),
                        _ => {}
                    }
                    if table.len() > table.capacity() {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(!over.into_inner());
    clock.advance(secs(100));
    table.sweep();
    assert_eq!((table.len(), table.sessions().count()), (0, 0));
}

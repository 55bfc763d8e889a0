//! What it costs two threads to share the idle connections.

use std::hint::black_box;

use equipoise_benches::timing::together;
use equipoise_http::__private::Idle;

const ROUNDS: usize = 15;
const CALLS: u64 = 2_000_000;

/// Compares one list with several ones, for one and for two threads.
pub(crate) fn compare() {
    println!("| lists | threads | ns per take and store |");
    println!("| ---: | ---: | ---: |");
    for (lists, threads) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
        let idle = Idle::with_stripes(1024, lists);
        (0..16).for_each(|connection: u64| assert!(idle.push(connection).is_none()));
        let mut nanos: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let time = together(threads, CALLS, || {
                    if let Some(connection) = idle.pop(|_| true) {
                        let _ = black_box(idle.push(black_box(connection)));
                    }
                });
                time.as_nanos() as f64 / CALLS as f64
            })
            .collect();
        nanos.sort_by(f64::total_cmp);
        println!("| {lists} | {threads} | {:.1} |", nanos[ROUNDS / 2]);
    }
}

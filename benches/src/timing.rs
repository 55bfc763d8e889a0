//! Timing one thread and several, in turn, so that a machine that slows down slows both.

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

/// How long `threads` threads take for `iterations` of `f` each, side by side.
pub fn together(threads: usize, iterations: u64, f: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let run = || {
        barrier.wait();
        let start = Instant::now();
        for _ in 0..iterations {
            f();
        }
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        all.into_iter().map(|thread| thread.join().expect("benches do not panic")).max().unwrap_or_default()
    })
}

/// Nanoseconds per call of `f` on one thread.
pub fn nanos(iterations: u64, f: impl Fn() + Sync) -> f64 {
    let start = Instant::now();
    for _ in 0..iterations {
        f();
    }
    start.elapsed().as_nanos() as f64 / iterations as f64
}

/// The throughput of two threads together, as a multiple of that of one alone.
pub fn two_to_one(iterations: u64, f: impl Fn() + Sync) -> f64 {
    let one = together(1, iterations, &f).as_secs_f64();
    let two = together(2, iterations, &f).as_secs_f64();
    2.0 * one / two
}

/// What [`two_to_one`] gives for pure arithmetic: near 2 where the machine has two cores to spare.
pub fn calibration() -> f64 {
    two_to_one(2_000_000, || {
        let mut x = black_box(7u64);
        for _ in 0..16 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17);
        }
        black_box(x);
    })
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

//! Timing things in turn, and threads against each other, so that a machine that slows down slows all alike.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Untimed calls ahead of the timed ones (never more than those): what ran before has left the caches to itself.
const WARM_UP: u64 = 20_000;

/// What a thread takes at a time when several share the calls: long enough that taking costs nothing.
const PORTION: u64 = 1_024;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often everything has its turn.
    pub rounds: usize,
    /// How many calls a turn is.
    pub calls: u64,
}

impl Effort {
    /// Turns of some milliseconds, and enough of them that a median shrugs off a neighbour's burst.
    pub const FULL: Self = Self { rounds: 25, calls: 200_000 };

    /// Enough to see that everything runs.
    pub const SMOKE: Self = Self { rounds: 1, calls: 20 };
}

/// Nanoseconds per call of `f` on this thread.
pub fn nanos(calls: u64, mut f: impl FnMut()) -> f64 {
    for _ in 0..calls.min(WARM_UP) {
        f();
    }
    let start = Instant::now();
    for _ in 0..calls {
        f();
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// How long `threads` threads take for `calls` calls of `f` between them.
///
/// They take portions of the calls as they go, so all are busy until the end, also where one is slower.
///
/// # Panics
///
/// When `f` does.
pub fn together(threads: usize, calls: u64, f: impl Fn() + Sync) -> Duration {
    let (ready, taken) = (AtomicUsize::new(0), AtomicU64::new(0));
    let run = || {
        for _ in 0..calls.min(WARM_UP) {
            f();
        }
        // No barrier that sleeps: waking up takes longer than many a measurement.
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < threads {
            thread::yield_now();
        }
        let start = Instant::now();
        loop {
            let first = taken.fetch_add(PORTION, Ordering::Relaxed);
            if first >= calls {
                return (start, Instant::now());
            }
            for _ in first..calls.min(first + PORTION) {
                f();
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let times: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("f does not panic")).collect();
        let start = times.iter().map(|time| time.0).min();
        let end = times.iter().map(|time| time.1).max();
        start.zip(end).map_or(Duration::ZERO, |(start, end)| end - start)
    })
}

/// Nanoseconds per call of `f` when `threads` threads make them together: their total throughput, upside down.
pub fn nanos_together(threads: usize, calls: u64, f: impl Fn() + Sync) -> f64 {
    together(threads, calls, f).as_nanos() as f64 / calls as f64
}

/// Pure arithmetic that keeps a core's multipliers busy: eight chains that do not wait for each other. (One chain would
/// leave most of a core idle, and two hyper-threads of one core would pass for two cores.)
#[inline]
pub fn arithmetic() {
    let mut chains: [u64; 8] = black_box([1, 2, 3, 4, 5, 6, 7, 8]);
    for _ in 0..4 {
        for x in &mut chains {
            *x = x.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17);
        }
    }
    black_box(chains);
}

/// Gives each of `turns` its turn, round after round, each round starting with the next; answers what each answered.
pub fn in_turn<const N: usize>(rounds: usize, turns: [&dyn Fn() -> f64; N]) -> [Vec<f64>; N] {
    let mut answers: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds {
        for at in 0..N {
            let at = (round + at) % N;
            answers[at].push(turns[at]());
        }
    }
    answers
}

/// The median over rounds of `f` of a round.
pub fn median_of<const N: usize>(answers: &[Vec<f64>; N], f: impl Fn([f64; N]) -> f64) -> f64 {
    let rounds = answers.iter().map(Vec::len).min().unwrap_or_default();
    median((0..rounds).map(|round| f(std::array::from_fn(|at| answers[at][round]))).collect())
}

/// The median; the upper one of two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_make_the_calls_between_them() {
        for (threads, calls) in [(1, 10), (2, 10), (2, 5_000), (3, PORTION)] {
            let count = AtomicU64::new(0);
            together(threads, calls, || {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), calls + threads as u64 * calls.min(WARM_UP));
        }
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // The machine is twice as slow in the second round and ten times in the third.
        let answers = [vec![10.0, 20.0, 100.0], vec![30.0, 60.0, 300.0]];
        assert_eq!(median_of(&answers, |[floor, subject]| subject / floor), 3.0);
    }

    #[test]
    fn every_turn_comes_once_a_round() {
        let answers = in_turn(3, [&|| 1.0, &|| 2.0]);
        assert_eq!(answers, [vec![1.0; 3], vec![2.0; 3]]);
    }
}

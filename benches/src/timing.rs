//! Timing of alternating subjects and of several threads, so that changes in the speed of the machine affect all alike.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Maximum number of untimed calls before the timed ones. They fill the caches. There are never more of them than timed
/// calls.
const WARM_UP: u64 = 20_000;

/// Number of calls that a thread takes at a time if several threads share the calls. It is so large that the time for
/// taking them does not matter.
const PORTION: u64 = 1_024;

/// The length of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Number of rounds.
    pub rounds: usize,
    /// Number of calls of a subject in each round.
    pub calls: u64,
}

impl Effort {
    /// A full measurement. A round takes some milliseconds. There are enough rounds that a burst of other load does not
    /// change the median.
    pub const FULL: Self = Self { rounds: 25, calls: 200_000 };

    /// A short run that only shows that the bench works.
    pub const SMOKE: Self = Self { rounds: 1, calls: 20 };
}

/// Returns nanoseconds per call of `f` on this thread.
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

/// Returns the time that `threads` threads take for `calls` calls of `f` in all.
///
/// Threads take portions of the calls one after the other, so all are busy until the end, even if one is slower.
///
/// # Panics
///
/// `f` panics.
pub fn together(threads: usize, calls: u64, f: impl Fn() + Sync) -> Duration {
    let (ready, taken) = (AtomicUsize::new(0), AtomicU64::new(0));
    let run = || {
        for _ in 0..calls.min(WARM_UP) {
            f();
        }
        // Spins, because waking up from a sleeping barrier takes longer than some measurements.
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

/// Returns nanoseconds per call of `f` if `threads` threads share the calls: the inverse of their total throughput.
pub fn nanos_together(threads: usize, calls: u64, f: impl Fn() + Sync) -> f64 {
    together(threads, calls, f).as_nanos() as f64 / calls as f64
}

/// Pure arithmetic in eight independent chains, which keeps the multipliers of a core busy. With one chain, two
/// hyper-threads of one core would look like two cores.
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

/// Runs each of `turns` once per round, and starts each round with the next one. Returns the results by turn.
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

/// Returns the median over rounds of `f` applied to a round.
pub fn median_of<const N: usize>(answers: &[Vec<f64>; N], f: impl Fn([f64; N]) -> f64) -> f64 {
    let rounds = answers.iter().map(Vec::len).min().unwrap_or_default();
    median((0..rounds).map(|round| f(std::array::from_fn(|at| answers[at][round]))).collect())
}

/// Returns the median; of two middle values, the upper one.
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
        // In the second round the machine is twice as slow as in the first, in the third ten times.
        let answers = [vec![10.0, 20.0, 100.0], vec![30.0, 60.0, 300.0]];
        assert_eq!(median_of(&answers, |[floor, subject]| subject / floor), 3.0);
    }

    #[test]
    fn every_turn_comes_once_a_round() {
        let answers = in_turn(3, [&|| 1.0, &|| 2.0]);
        assert_eq!(answers, [vec![1.0; 3], vec![2.0; 3]]);
    }
}

//! Random numbers: the trait for the source that a pool draws from, a source with a seed, the default generator of each
//! thread, and the conversions of random bits into numbers.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering};

/// A source of random numbers for a pool and its strategy. Set it with
/// [`PoolBuilder::entropy`](crate::PoolBuilder::entropy).
///
/// By default a pool has no such source. Each thread then uses a generator of its own, which is seeded once from the
/// operating system. With a [`SeededEntropy`], the picks of a pool are repeatable.
pub trait Entropy: Send + Sync + 'static {
    /// Returns 64 uniformly distributed random bits. Many threads may call this method at the same time. A pick calls
    /// it at most a few times.
    fn next_u64(&self) -> u64;
}

/// A repeatable sequence of random numbers that several threads can share. It must not be used for secrets.
///
/// The same seed gives the same sequence on every platform. If several threads draw from the sequence, the scheduler of
/// the operating system decides which thread gets which number. The generator is `SplitMix64` with one atomic counter.
/// Source: Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014.
///
/// ```
/// use equipoise_core::{Entropy, SeededEntropy};
///
/// let (one, other) = (SeededEntropy::new(7), SeededEntropy::new(7));
/// assert_eq!(one.next_u64(), other.next_u64());
/// ```
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// Creates the sequence of random numbers that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        mix(self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA))
    }
}

/// Returns the next random number of this thread's generator. It must not be used for secrets.
#[inline]
pub(crate) fn thread_random() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(GAMMA);
        state.set(next);
        mix(next)
    })
}

/// Calls `call`, and then sets this thread's generator back: the random numbers after the call are the same that the call
/// has drawn.
pub fn repeating<R>(call: impl FnOnce() -> R) -> R {
    struct SetBack(u64);

    impl Drop for SetBack {
        fn drop(&mut self) {
            STATE.set(self.0);
        }
    }

    let _set_back = SetBack(STATE.get());
    call()
}

thread_local! {
    #[expect(clippy::disallowed_methods, reason = "the one place that seeds the default generator")]
    static STATE: Cell<u64> = Cell::new(rand::random());
}

/// 2⁶⁴ / φ, rounded to an odd number: the amount by which `SplitMix64` increases its counter at each step.
pub(crate) const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Converts 64 random bits into a number above 0 and below 1.
#[inline]
pub(crate) fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Returns a number below `n`, computed from 32 random bits by multiplication and shift. Its bias is below n / 2³².
#[inline]
pub(crate) fn below(n: usize, bits: u32) -> usize {
    ((n as u64 * u64::from(bits)) >> 32) as usize
}

/// Returns an exponentially distributed number of mean 1, computed from 32 random bits: −ln U with U between 0 and 1.
///
/// The logarithm is computed from the number of leading zeros and a polynomial of the other bits. Its absolute error is
/// below 5 · 10⁻⁵. This is several times faster than `f64::ln`, which matters because a race draws one number for each
/// contender.
#[inline]
pub(crate) fn exponential(bits: u32) -> f64 {
    let u = bits | 1;
    // u = 2^(31 - zeros) · (1 + t), and U = u / 2³².
    let zeros = u.leading_zeros();
    let t = f64::from((u << zeros) << 1) * (1.0 / 4_294_967_296.0);
    let log2 = t * (1.0 + (1.0 - t) * (0.442_418_58 + t * (-0.269_578_01 + t * (0.150_533_20 + t * -0.044_873_96))));
    (f64::from(zeros + 1) - log2) * std::f64::consts::LN_2
}

/// The output function of `SplitMix64`: a bijection in which every bit of the result depends on every bit of `z`.
#[inline]
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64_of_its_seed() {
        // Vectors of the reference implementation for seed 1234567.
        let entropy = SeededEntropy::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| entropy.next_u64()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn the_numbers_of_a_repeated_call_come_again() {
        let first = repeating(|| [thread_random(), thread_random()]);
        assert_eq!([thread_random(), thread_random()], first);
    }

    #[test]
    fn agrees_with_the_logarithm() {
        for bits in [0, 1, 2, 3, 1000, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX] {
            let exact = -(f64::from(bits | 1) / 2f64.powi(32)).ln();
            assert!((exponential(bits) - exact).abs() < 5e-5, "{bits}: {} and {exact}", exponential(bits));
        }
    }
}

//! Counts of picks, and the random variation that they may have.

use equipoise_core::Pool;

use crate::common::{at, pick};

/// Returns how often each of `n` endpoints is picked, if every lease ends at once.
pub(crate) fn idle(pool: &Pool<()>, n: usize, picks: u32) -> Vec<u32> {
    let mut counts = vec![0; n];
    for _ in 0..picks {
        counts[at(&pick(pool))] += 1;
    }
    counts
}

pub(crate) fn share(counts: &[u32], at: usize) -> f64 {
    f64::from(counts[at]) / f64::from(counts.iter().sum::<u32>())
}

/// Checks whether `counts` can be random draws in proportion to `weights`, by Pearson's chi-squared test at 99.99 %
/// (with the approximation of Wilson and Hilferty).
pub(crate) fn follow(counts: &[u32], weights: &[u32]) -> Result<(), String> {
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let drawn: f64 = counts.iter().copied().map(f64::from).sum();
    let expected: Vec<f64> = weights.iter().map(|&weight| drawn * f64::from(weight) / total).collect();
    assert!(expected.iter().all(|&expected| expected > 5.0), "too few draws for a chi-square test");
    let chi: f64 =
        counts.iter().zip(&expected).map(|(&n, expected)| (f64::from(n) - expected).powi(2) / expected).sum();
    let k = weights.len() as f64 - 1.0;
    let spread = 2.0 / (9.0 * k);
    let limit = k * (1.0 - spread + 3.72 * spread.sqrt()).powi(3);
    if chi < limit { Ok(()) } else { Err(format!("chi² {chi:.1} above {limit:.1}: {counts:?} for {weights:?}")) }
}

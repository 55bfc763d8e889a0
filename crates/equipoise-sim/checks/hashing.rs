//! Placement of keys by hashing strategies, picked directly from pools.

use std::error::Error;

use equipoise_core::{
    EndpointSpec, Entropy, Jump, Maglev, PickError, PickRequest, Pool, Ring, SeededEntropy, Strategy, UpdateError,
};
use equipoise_sim::Spread;

use super::finding::Findings;

/// A pool of this number of endpoints of equal weight.
fn pool(strategy: impl Strategy, endpoints: usize) -> Result<Pool<()>, UpdateError> {
    let pool = Pool::new(strategy);
    pool.update((0..endpoints).map(endpoint), |_| ())?;
    Ok(pool)
}

fn endpoint(number: usize) -> EndpointSpec {
    EndpointSpec::new(format!("endpoint-{number}"))
}

/// Returns the slots of this number of random keys.
fn owners(pool: &Pool<()>, keys: usize, seed: u64) -> Result<Vec<usize>, PickError> {
    let stream = SeededEntropy::new(seed);
    let owner = |_| {
        let lease = pool.pick(&PickRequest::new().key(&stream.next_u64().to_le_bytes()))?;
        Ok(lease.endpoint().slot().index())
    };
    (0..keys).map(owner).collect()
}

/// Returns the percentage of keys that moved.
fn moved(before: &[usize], after: &[usize]) -> f64 {
    let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
    100.0 * moved as f64 / before.len() as f64
}

/// Returns each endpoint's share of the keys, relative to the mean.
fn shares(owners: &[usize], endpoints: usize) -> Vec<f64> {
    let mut shares = vec![0.0; endpoints];
    for &owner in owners {
        shares[owner] += endpoints as f64 / owners.len() as f64;
    }
    shares
}

fn variance(shares: &[f64]) -> f64 {
    shares.iter().map(|share| (share - 1.0).powi(2)).sum::<f64>() / shares.len() as f64
}

/// Measures many rings, because one ring of 100 endpoints estimates the deviation with an error of 7 %.
pub(super) fn ring(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    let (n, rings, each) = (100, found.pick(15, 60), found.pick(1_000, 5_000));
    let (mut variances, mut peaks) = (0.0, Vec::new());
    for seed in 0..rings {
        let shares = shares(&owners(&pool(Ring::new().points(160)?.seed(seed), n)?, n * each, seed)?, n);
        // Subtracts the variance that the sample of keys adds.
        variances += (variance(&shares) - 1.0 / each as f64) / rings as f64;
        peaks.push(shares.into_iter().fold(0.0, f64::max));
    }
    found.near("standard deviation of the shares", 1.0 / 160_f64.sqrt(), variances.sqrt(), 0.05);
    found.show("the largest", "1.21", Spread::of(peaks));
    Ok(())
}

/// Each endpoint has ⌊M/N⌋ or ⌈M/N⌉ of the M entries, so shares vary by the sample of keys and by at most half an
/// entry.
pub(super) fn maglev(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    for (n, percent) in [(10, 10.25), (100, 1.56), (1_000, 0.67)] {
        let keys = found.pick(300_000, 3_000_000);
        let pool = pool(Maglev::new(), n)?;
        let before = owners(&pool, keys, 1)?;
        pool.remove(endpoint(3).id().clone())?;
        found.near(format!("of {n} one leaves: moved, %"), percent, moved(&before, &owners(&pool, keys, 1)?), 0.1);
        if n == 1_000 {
            let (entries, each) = (65_537.0 / n as f64, keys as f64 / n as f64);
            let over: f64 = entries.fract();
            let expected = over * (1.0 - over) / entries.powi(2) + 1.0 / each;
            let deviation = variance(&shares(&before, n)).sqrt();
            found.near("standard deviation of 1000 shares", expected.sqrt(), deviation, 0.1);
        }
    }
    Ok(())
}

pub(super) fn jump(found: &mut Findings) -> Result<(), Box<dyn Error>> {
    // A hundredth of the keys moves. The standard deviation of this number is 1 % with a million keys, 0.5 % with four
    // million.
    let keys = found.pick(1_000_000, 4_000_000);
    let pool = pool(Jump::new(), 100)?;
    let before = owners(&pool, keys, 1)?;
    pool.add(endpoint(100), ())?;
    let after = owners(&pool, keys, 1)?;
    found.near("moved, %", 100.0 / 101.0, moved(&before, &after), 0.02);
    let elsewhere = before.iter().zip(&after).filter(|(before, after)| before != after && **after != 100).count();
    found.at_most("moved to others than the new endpoint", 0.0, elsewhere as f64);
    Ok(())
}

use equipoise_core::{Entropy, SeededEntropy};

/// Draws keys with a Zipf distribution: the n-th most frequent key is drawn 1 / n times as often as the first.
pub(crate) struct Zipf {
    sums: Vec<f64>,
    chance: SeededEntropy,
}

impl Zipf {
    pub(crate) fn new(keys: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=keys)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self { sums, chance: SeededEntropy::new(seed) }
    }

    /// Returns a random number below `n`.
    pub(crate) fn below(&self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    fn unit(&self) -> f64 {
        (self.chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn key(&self) -> [u8; 8] {
        let drawn = self.unit() * self.sums.last().copied().unwrap_or_default();
        (self.sums.partition_point(|&sum| sum < drawn) as u64).to_le_bytes()
    }
}
